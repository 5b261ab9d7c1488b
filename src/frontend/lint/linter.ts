import { OcibuildError } from '../../errors/error.ts';
import type { SourceRange } from '../../errors/source.ts';
import { createIgnoreMatcher, type IgnoreMatcher } from '../../util/ignore-matcher.ts';
import { buildArg } from '../convert/args.ts';
import type { StageState } from '../convert/state.ts';
import { parseIgnore } from '../parse/dockerignore.ts';
import type { Instruction } from '../parse/instructions.ts';
import type { RawInstruction } from '../parse/parser.ts';
import type { FileProgram } from '../parse/read-file.ts';
import type { FrontendContext, LintWarning } from '../types.ts';
import { commentOptions, NO_CHECK_OPTIONS, parseCheckOptions } from './check-options.ts';
import { fromViews } from './from-views.ts';
import { RULES, rulePage } from './rules.ts';
import type { CheckOptions, Found, Rule } from './types.ts';

/** Asks the rules while a Dockerfile is read and converted, and keeps what they find. */
export interface Linter {
  /** The main file was read; faults of its syntax do not matter here. */
  readonly file: (program: FileProgram) => void;
  /** A stage begins. */
  readonly stage: (state: StageState) => void;
  /** An instruction is about to be carried out. */
  readonly step: (state: StageState, instruction: Instruction) => void;
  /** By line of the file, each once. */
  readonly warnings: () => readonly LintWarning[];
  /** @throws CHECK_FAILED where the file asks for it (`error=true`) and there are findings */
  readonly throwIfFailed: () => void;
}

interface StageNotes {
  readonly unknownBase: boolean;
  readonly earlier: Instruction[];
  workdirSet: boolean;
}

export interface LinterOptions {
  /** Whether nothing is known of an image that a stage stands on. */
  readonly isUnknown?: (name: string) => boolean;
}

export function createLinter(
  context: FrontendContext,
  { isUnknown = () => false }: LinterOptions = {},
): Linter {
  const found = new Map<string, LintWarning>();
  const notes = new Map<number, StageNotes>();
  let options: CheckOptions = NO_CHECK_OPTIONS;
  /** The directives at the top are no comment on the first instruction. */
  let directives: { readonly above: RawInstruction | undefined; readonly count: number } | undefined;
  let matcher: IgnoreMatcher | undefined;
  const ignores = (path: string): boolean => {
    if (context.ignoreFile === undefined) return false;
    try {
      matcher ??= createIgnoreMatcher(parseIgnore(context.ignoreFile));
    } catch (error) {
      // The instruction itself fails at the same pattern, and says where it is.
      if (error instanceof OcibuildError) return false;
      throw error;
    }
    return matcher.excluded(path, true) && !matcher.mayContainIncluded(path);
  };

  const report = (rule: Rule, one: Found): void => {
    const comment =
      one.raw === directives?.above ? one.raw.comment?.slice(directives?.count) : one.raw.comment;
    if (!isOn(rule, [options, commentOptions(comment)])) return;
    const warning = warningOf(rule, one);
    const { start } = warning.range;
    found.set(`${one.raw.file.name} ${start.line}:${start.column} ${rule.name} ${one.detail}`, warning);
  };

  return {
    file(program) {
      options = readOptions(context, program);
      directives = { above: program.instructions[0]?.raw, count: program.directives.length };
      for (const rule of RULES) for (const one of rule.file?.(program) ?? []) report(rule, one);
      for (const view of fromViews(context, program)) {
        for (const rule of RULES) for (const one of rule.from?.(view) ?? []) report(rule, one);
      }
    },
    stage(state) {
      const { base, index } = state.stage;
      const parent = base.kind === 'stage' ? notes.get(base.index) : undefined;
      const unknown = base.kind === 'image' && isUnknown(base.name);
      notes.set(index, {
        unknownBase: unknown || parent?.unknownBase === true,
        earlier: [],
        workdirSet: parent?.workdirSet === true,
      });
      const isNamed = base.kind !== 'image' || context.imageContexts?.includes(base.name) === true;
      const view = { state, baseName: isNamed || unknown ? undefined : base.name };
      for (const rule of RULES) for (const one of rule.stage?.(view) ?? []) report(rule, one);
    },
    step(state, instruction) {
      const note = notes.get(state.stage.index);
      if (note === undefined) return;
      const view = {
        ...{ state, instruction, escapeChar: state.stage.scope.escapeChar },
        ...note,
        isGiven: (arg: string) => buildArg(context, arg) !== undefined,
        ignores,
      };
      for (const rule of RULES) for (const one of rule.step?.(view) ?? []) report(rule, one);
      note.earlier.push(instruction);
      if (instruction.kind === 'WORKDIR') note.workdirSet = true;
    },
    warnings: () =>
      [...found.values()].sort(
        (a, b) => a.range.start.line - b.range.start.line || a.range.start.column - b.range.start.column,
      ),
    throwIfFailed() {
      const rules = [...new Set([...found.values()].map(({ rule }) => rule))].sort();
      if (!options.error || rules.length === 0) return;
      throw new OcibuildError(
        'CHECK_FAILED',
        `Cannot build "${context.dockerfile.name}": checks found faults, and its check directive makes them errors: ${rules.join(', ')}`,
        { hint: 'see them with `ocibuild build --check`, and what to do in docs/lint', details: { rules } },
      );
    },
  };
}

/** The build argument replaces what the file says. */
function readOptions(context: FrontendContext, { file, directives }: FileProgram): CheckOptions {
  const given = context.buildArgs.BUILDKIT_DOCKERFILE_CHECK;
  if (given !== undefined) return parseCheckOptions(given);
  const directive = directives.find(({ name }) => name === 'check');
  if (directive === undefined) return NO_CHECK_OPTIONS;
  return parseCheckOptions(directive.value, { file, ranges: [directive.range] });
}

function isOn(rule: Rule, options: readonly (CheckOptions | undefined)[]): boolean {
  const names = (set: ReadonlySet<string> | 'all' | undefined) =>
    set === 'all' || set?.has(rule.name) === true;
  if (options.some((each) => names(each?.skip))) return false;
  return rule.experimental !== true || options.some((each) => names(each?.experimental));
}

function warningOf({ name, description }: Rule, { raw, detail, range, lines, fix }: Found): LintWarning {
  const place: SourceRange = range ?? raw.range;
  return {
    rule: name,
    message: detail,
    url: rulePage(name),
    range: place,
    lines: lines ?? raw.range,
    description,
    file: raw.file,
    ...(fix === undefined || fix.length === 0 || raw.parts === undefined ? {} : { fix }),
  };
}
