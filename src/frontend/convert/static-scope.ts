import { expandAt } from '../parse/expand.ts';
import { instructionError } from '../parse/flags.ts';
import type { Instruction } from '../parse/instructions.ts';
import type { RawFlag, RawInstruction } from '../parse/parser.ts';
import type { FrontendContext } from '../types.ts';
import { buildArg, isExported } from './args.ts';
import type { Stage } from './stages.ts';

export interface FromPlace {
  readonly context: FrontendContext;
  /** All stages by index. */
  readonly stages: readonly Stage[];
  readonly stage: Stage;
  /** Instructions of the stage that stand before the one that asks. */
  readonly before: readonly Instruction[];
  readonly raw: RawInstruction;
  /** The flag that holds the text; default `--from`. */
  readonly flag?: RawFlag;
}

/**
 * A `--from` or `from=` with its variables, in files that begin with `# syntax=ocibuild`: they are needed before
 * anything is resolved, so ARG and ENV of the stage and of the stages below it count, and nothing of base images.
 * @throws DOCKERFILE_FLAG_INVALID where the file may not hold variables here, or where nothing is left of them
 */
export function expandFrom(text: string, place: FromPlace): string {
  if (!text.includes('$')) return text;
  const { stage, raw } = place;
  const flag = place.flag ?? raw.flags.find(({ name }) => name === 'from');
  const range = flag?.range ?? raw.range;
  const shown = place.flag === undefined ? `--from=${text}` : `from=${text}`;
  if (!stage.scope.extended) {
    throw instructionError(raw, 'DOCKERFILE_FLAG_INVALID', {
      message: `Cannot use "${shown}": variables are not expanded here`,
      hint: 'begin the Dockerfile with "# syntax=ocibuild", or name a stage by "FROM ... AS name" and use that name',
      range,
    });
  }
  const expanded = expandAt(raw, text, variablesOf(place), stage.scope.escapeChar);
  if (expanded !== '') return expanded;
  throw instructionError(raw, 'DOCKERFILE_FLAG_INVALID', {
    message: `Cannot use "${shown}": it is empty after expansion`,
    hint: 'only ARG and ENV of the Dockerfile count here; declare a global ARG in the stage too',
    range,
  });
}

function variablesOf(place: Omit<FromPlace, 'raw' | 'flag'>): Map<string, string> {
  const { context, stages, stage, before } = place;
  const { base, scope } = stage;
  const below = base.kind === 'stage' ? stages[base.index] : undefined;
  const values =
    below === undefined || below.index >= stage.index
      ? new Map<string, string>()
      : variablesOf({ context, stages, stage: below, before: below.instructions });
  for (const instruction of before) {
    if (instruction.kind === 'ENV') {
      const pairs = instruction.pairs.map(({ key, value }) => [
        expandAt(instruction.raw, key, values, scope.escapeChar),
        expandAt(instruction.raw, value, values, scope.escapeChar),
      ]);
      for (const [key = '', value = ''] of pairs) values.set(key, value);
    }
    if (instruction.kind !== 'ARG') continue;
    for (const { key, value } of instruction.args) {
      const own =
        value === undefined ? undefined : () => expandAt(instruction.raw, value, values, scope.escapeChar);
      const known = buildArg(context, key) ?? (own === undefined ? scope.globals.get(key) : own());
      if (known !== undefined && isExported(key)) values.set(key, known);
    }
  }
  return values;
}
