import { OcibuildError, throwIfAborted } from '../../errors/error.ts';
import { withSource } from '../../errors/source.ts';
import { didYouMean } from '../../errors/suggest.ts';
import { formatPlatform } from '../../image/platform.ts';
import type { Platform } from '../../image/types.ts';
import { createFaults } from '../parse/faults.ts';
import { instructionError } from '../parse/flags.ts';
import type { ArgInstruction, Instruction } from '../parse/instructions.ts';
import { parseInstruction } from '../parse/parse-instruction.ts';
import { parseTrigger, type RawFlag, type RawInstruction } from '../parse/parser.ts';
import type { RunMount } from '../parse/run-mount.ts';
import type { FrontendContext, ResolvedImage } from '../types.ts';
import { createFileStages, type FileStages, placeOf } from './file-stages.ts';
import { type BaseRef, type FileRef, findSource, type Stage, type StagePlan } from './stages.ts';
import { expandFrom } from './static-scope.ts';

/** A stage with all its instructions, those of its base's triggers first, and where each `--from` leads. */
export interface ReadyStage extends Omit<Stage, 'base'> {
  readonly base: BaseRef;
  readonly sources: ReadonlyMap<Instruction | RunMount, BaseRef>;
}

export interface ResolvedPlan {
  /** Stages that the target needs, by index. */
  readonly stages: ReadonlyMap<number, ReadyStage>;
  /** ARGs of the files that were read for their stages (`FROM file:`). */
  readonly fileArgs: readonly ArgInstruction[];
  image(name: string, platform: Platform): ResolvedImage;
}

/**
 * Finds the stages that the target needs and the images that they need, all images of a round at once. Triggers
 * of a base image can ask for more, which starts another round.
 * @throws DOCKERFILE_STAGE_CYCLE, DOCKERFILE_STAGE_INVALID, DOCKERFILE_STAGE_NOT_FOUND, and what the resolver throws
 */
export async function resolvePlan(context: FrontendContext, plan: StagePlan): Promise<ResolvedPlan> {
  const images = new Map<string, ResolvedImage>();
  const files = createFileStages(context, plan);
  for (;;) {
    throwIfAborted(context.signal);
    const wanted = new Map<string, WantedImage>();
    const want = (image: WantedImage) => {
      const key = imageKey(image.name, image.platform);
      if (!images.has(key) && !wanted.has(key)) wanted.set(key, image);
    };
    const stages = collectStages({ context, plan, files, images, want });
    const grown = await files.load();
    if (wanted.size === 0 && !grown) {
      const image: ResolvedPlan['image'] = (name, platform) => known(images, imageKey(name, platform));
      return { stages, fileArgs: files.args, image };
    }
    for (const [key, image] of await resolveImages(context, files.stages, wanted)) images.set(key, image);
  }
}

/** All images of a round; those that cannot be had are named together. */
async function resolveImages(
  context: FrontendContext,
  stages: readonly Stage[],
  wanted: ReadonlyMap<string, WantedImage>,
): Promise<(readonly [string, ResolvedImage])[]> {
  const settled = await Promise.allSettled(
    [...wanted].map(async ([key, image]) => [key, await resolveImage(context, stages, image)] as const),
  );
  throwIfAborted(context.signal);
  const faults = createFaults();
  const found = settled.flatMap((each) => {
    if (each.status === 'fulfilled') return [each.value];
    faults.attempt(() => {
      throw each.reason;
    });
    return [];
  });
  faults.check();
  return found;
}

interface WantedImage {
  readonly name: string;
  readonly platform: Platform;
  readonly raw: RawInstruction;
}

interface Round {
  readonly context: FrontendContext;
  readonly plan: StagePlan;
  readonly files: FileStages;
  readonly images: ReadonlyMap<string, ResolvedImage>;
  readonly want: (image: WantedImage) => void;
}

function imageKey(name: string, platform: Platform): string {
  return `${name} ${formatPlatform(platform)}`;
}

function known(images: ReadonlyMap<string, ResolvedImage>, key: string): ResolvedImage {
  const image = images.get(key);
  if (image === undefined) throw new OcibuildError('INTERNAL', `Cannot find resolved image "${key}"`);
  return image;
}

async function resolveImage(
  context: FrontendContext,
  stages: readonly Stage[],
  { name, platform, raw }: WantedImage,
): Promise<ResolvedImage> {
  try {
    return await context.resolver.resolve(name, platform, context.signal);
  } catch (error) {
    const isNumber = raw.keyword === 'RUN' && /^\d+$/.test(name) && stages[Number(name)] !== undefined;
    const near = isUnset(raw, error)
      ? `"${raw.rest}" expands to "${name}": declare its ARG before the first FROM with a default, or pass it with --build-arg`
      : isNumber
        ? `name the stage: --mount takes no numbers of stages`
        : didYouMean(
            name,
            stages.flatMap((stage) => stage.name ?? []),
          );
    throw withSource(near === undefined ? error : withHint(error, near), {
      file: raw.file,
      ranges: [raw.range],
    });
  }
}

/** A name with a variable in it that came out as no name at all. */
function isUnset({ keyword, rest }: RawInstruction, error: unknown): boolean {
  const isWrong = error instanceof OcibuildError && error.code === 'REFERENCE_INVALID';
  return keyword === 'FROM' && rest.includes('$') && isWrong;
}

function withHint(error: unknown, hint: string): unknown {
  if (!(error instanceof OcibuildError) || error.category === 'internal') return error;
  const { code, message, details, logTail, cause } = error;
  return new OcibuildError(code, message, { hint, details, logTail, cause });
}

/** One edge of the stage graph and the instruction that made it. */
interface Edge {
  readonly to: number;
  readonly raw: RawInstruction;
}

function collectStages(round: Round): Map<number, ReadyStage> {
  const { plan, files } = round;
  const { stages } = files;
  const ready = new Map<number, ReadyStage>();
  const forward: { from: Stage; edge: Edge }[] = [];
  const visit = (index: number, trail: readonly (Edge & { from: number })[]): void => {
    const start = trail.findIndex(({ from }) => from === index);
    if (start >= 0) throw cycleError(stages, trail.slice(start));
    const stage = stages[index];
    if (ready.has(index) || stage === undefined) return;
    const { edges, ...parts } = readyStage(round, stage);
    for (const edge of edges) {
      // Only the order within one file matters.
      if (edge.to > index && stages[edge.to]?.scope === stage.scope) forward.push({ from: stage, edge });
      visit(edge.to, [...trail, { ...edge, from: index }]);
    }
    ready.set(index, { ...stage, ...parts });
  };
  for (const index of [plan.target, ...(plan.also ?? [])]) visit(index, []);
  const faults = createFaults();
  for (const { edge, from } of forward) {
    faults.add(
      instructionError(edge.raw, 'DOCKERFILE_STAGE_INVALID', {
        message: `Cannot copy from stage "${stages[edge.to]?.name ?? edge.to}": it is defined after the stage that uses it`,
        hint: `move its FROM above the stage ${from.name ?? from.index}`,
        range: edge.raw.flags.find(({ name }) => name === 'from')?.range ?? edge.raw.range,
      }),
    );
  }
  faults.check();
  return ready;
}

function readyStage(
  round: Round,
  stage: Stage,
): Pick<ReadyStage, 'base' | 'instructions' | 'sources'> & { edges: readonly Edge[] } {
  const { context, files, want } = round;
  const { from, platform } = stage;
  const edges: Edge[] = [];
  const base = inFiles(files, stage.base, from.raw);
  if (base.kind === 'image') want({ name: base.name, platform, raw: from.raw });
  if (base.kind === 'stage') edges.push({ to: base.index, raw: from.raw });
  const instructions = [...firedTriggers(round, stage, base), ...stage.instructions];
  const sources = new Map<Instruction | RunMount, BaseRef>();
  const addSource = (
    user: Instruction | RunMount,
    written: string,
    at: { raw: RawInstruction; flag?: RawFlag; before: readonly Instruction[] },
  ) => {
    // An empty name is the main context.
    if (written === '') return;
    const { raw } = at;
    const from = expandFrom(written, { context, stages: files.stages, stage, ...at });
    const found = findSource(context, files.stages, { from, at: stage, ...at });
    const source = inFiles(files, found, raw);
    sources.set(user, source);
    if (source.kind === 'stage') edges.push({ to: source.index, raw });
    if (source.kind === 'image') want({ name: source.name, platform: context.targetPlatform, raw });
  };
  for (const [index, instruction] of instructions.entries()) {
    const { raw } = instruction;
    const before = instructions.slice(0, index);
    if (instruction.kind === 'COPY' && instruction.from !== undefined) {
      addSource(instruction, instruction.from, { raw, before });
    } else if (instruction.kind === 'RUN') {
      for (const mount of instruction.mounts) {
        if (mount.from !== undefined) addSource(mount, mount.from, { raw, flag: mount.flag, before });
      }
    }
  }
  return { base, instructions, sources, edges };
}

/** A stage of another file by its index; of a file that is still to be read nothing is known in this round. */
function inFiles(files: FileStages, ref: BaseRef | FileRef, raw: RawInstruction): BaseRef {
  if (ref.kind !== 'file') return ref;
  const stage = files.find(ref, raw);
  return stage === undefined ? { kind: 'scratch' } : { kind: 'stage', index: stage.index };
}

/** ONBUILD instructions of the base, which this stage carries out right after its FROM. */
function firedTriggers(round: Round, stage: Stage, base: BaseRef): Instruction[] {
  const { from } = stage;
  // Docker carries out no triggers of a context that stands for a stage.
  if (stage.replaced || stage.reset.includes('onbuild')) return [];
  const { escapeChar } = stage.scope;
  const { file, range } = from.raw;
  return triggersOf(round, base, stage.platform).flatMap((text) =>
    parseTrigger(text, { file, range, escapeChar }).map((raw): Instruction => {
      const instruction = parseInstruction(raw, escapeChar);
      if (
        instruction.kind !== 'FROM' &&
        instruction.kind !== 'ONBUILD' &&
        instruction.kind !== 'MAINTAINER'
      ) {
        return { ...instruction, trigger: true };
      }
      throw instructionError(from.raw, 'DOCKERFILE_INSTRUCTION_INVALID', {
        message: `Cannot use the base of this stage: its trigger "${text}" holds ${instruction.kind}`,
      });
    }),
  );
}

function triggersOf({ files, images }: Round, base: BaseRef, platform: Platform): readonly string[] {
  if (base.kind === 'image') return images.get(imageKey(base.name, platform))?.config.config?.OnBuild ?? [];
  if (base.kind !== 'stage') return [];
  return files.stages[base.index]?.triggers ?? [];
}

function cycleError(stages: readonly Stage[], trail: readonly (Edge & { from: number })[]): OcibuildError {
  const several = new Set(trail.map(({ from }) => stages[from]?.scope)).size > 1;
  const nameOf = (index: number) => {
    const stage = stages[index];
    return `"${stage?.name ?? ((several && stage?.label) || index)}"${several && stage !== undefined ? ` (${placeOf(stage.from.raw)})` : ''}`;
  };
  const first = trail[0];
  const path = [...trail.map(({ from }) => nameOf(from)), nameOf(first?.from ?? 0)].join(' → ');
  const ranges = trail.flatMap(({ raw }) => (raw.file === first?.raw.file ? [raw.range] : []));
  const message =
    trail.length === 1
      ? `Cannot build stage ${nameOf(first?.from ?? 0)}: ${first?.raw.keyword === 'FROM' ? 'it is its own base' : 'it copies from itself'}`
      : `Cannot build stages that need one another: ${path}`;
  return new OcibuildError('DOCKERFILE_STAGE_CYCLE', message, {
    ...(first === undefined ? {} : { source: { file: first.raw.file, ranges } }),
  });
}
