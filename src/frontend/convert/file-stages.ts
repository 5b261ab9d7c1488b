import { OcibuildError } from '../../errors/error.ts';
import { type SourceFile, withSource } from '../../errors/source.ts';
import { didYouMean } from '../../errors/suggest.ts';
import { instructionError } from '../parse/flags.ts';
import type { ArgInstruction } from '../parse/instructions.ts';
import type { RawInstruction } from '../parse/parser.ts';
import { readProgram } from '../parse/read-file.ts';
import type { FrontendContext } from '../types.ts';
import { type FileRef, planFile, type Stage, type StagePlan } from './stages.ts';

/** Files that name files: more than this is a mistake. */
const MAX_DEPTH = 16;

/** The stages of a build: those of its Dockerfile, and those of the files that these name by `file:`. */
export interface FileStages {
  /** By index; the Dockerfile's own come first. Grows with `load()`. */
  readonly stages: readonly Stage[];
  /** ARGs of the files that were read for their stages. */
  readonly args: readonly ArgInstruction[];
  /** The stage that a line means; undefined: its file is read by the next `load()`.
   * @throws DOCKERFILE_NOT_FOUND, DOCKERFILE_UNSUPPORTED, DOCKERFILE_STAGE_NOT_FOUND, DOCKERFILE_STAGE_CYCLE */
  find(ref: FileRef, raw: RawInstruction): Stage | undefined;
  /** Reads what was asked for since the last time; false: nothing was. */
  load(): Promise<boolean>;
}

interface LoadedFile {
  readonly stages: readonly Stage[];
  /** The lines that led to it, the Dockerfile's first. */
  readonly trail: readonly RawInstruction[];
}

export function createFileStages(context: FrontendContext, plan: StagePlan): FileStages {
  const stages: Stage[] = [...plan.stages];
  const args: ArgInstruction[] = [];
  const loaded = new Map<SourceFile, LoadedFile>([[context.dockerfile, { stages: plan.stages, trail: [] }]]);
  const pending = new Map<SourceFile, RawInstruction>();
  return {
    stages,
    args,
    find(ref, raw) {
      const file = readNamed(context, ref, raw);
      const known = loaded.get(file);
      if (known !== undefined) return findStage(known.stages, { ref, raw, file });
      pending.set(file, raw);
      return undefined;
    },
    async load() {
      const batch = [...pending];
      pending.clear();
      for (const [file, raw] of batch) {
        const trail = [...(loaded.get(raw.file)?.trail ?? []), raw];
        checkDepth(trail, file);
        const program = await readProgram(context, file);
        const own = planFile(context, program, {
          first: stages.length,
          targetStage: plan.scope.globals.get('TARGETSTAGE'),
        });
        loaded.set(file, { stages: own.stages, trail });
        stages.push(...own.stages);
        args.push(...program.instructions.filter((each) => each.kind === 'ARG'));
      }
      return batch.length > 0;
    },
  };
}

function readNamed(context: FrontendContext, { path, range }: FileRef, raw: RawInstruction): SourceFile {
  const { readDockerfile } = context;
  if (readDockerfile === undefined) {
    throw instructionError(raw, 'DOCKERFILE_UNSUPPORTED', {
      message: `Cannot read "file:${path}": this Dockerfile has no directory to look in`,
      range,
    });
  }
  try {
    return readDockerfile(path, raw.file);
  } catch (error) {
    throw withSource(error, { file: raw.file, ranges: [range] });
  }
}

function findStage(
  stages: readonly Stage[],
  { ref, raw, file }: { ref: FileRef; raw: RawInstruction; file: SourceFile },
): Stage {
  const wanted = ref.stage;
  const names = stages.flatMap(({ name }) => (name === undefined ? [] : [name]));
  const found =
    wanted === undefined
      ? stages.at(-1)
      : (stages.findLast(({ name }) => name === wanted.toLowerCase()) ??
        (/^\d+$/.test(wanted) ? stages[Number(wanted)] : undefined));
  if (found !== undefined) return found;
  const listed =
    names.length === 0
      ? `${stages.length} without a name, numbered from 0`
      : names.map((name) => `"${name}"`).join(', ');
  throw instructionError(raw, 'DOCKERFILE_STAGE_NOT_FOUND', {
    message: `Cannot find stage "${wanted}" in "${file.name}": it has ${listed}`,
    hint: didYouMean(wanted ?? '', names),
    range: ref.range,
  });
}

function checkDepth(trail: readonly RawInstruction[], file: SourceFile): void {
  const last = trail.at(-1);
  if (trail.length <= MAX_DEPTH || last === undefined) return;
  const places = [...trail.map(placeOf), file.name].join(' → ');
  throw new OcibuildError(
    'DOCKERFILE_STAGE_INVALID',
    `Cannot read "${file.name}": it is named by more than ${MAX_DEPTH} files in a row: ${places}`,
    { source: { file: last.file, ranges: [last.range] } },
  );
}

/** `base.Dockerfile:3`. */
export function placeOf({ file, range }: RawInstruction): string {
  return `${file.name}:${range.start.line}`;
}
