import { OcibuildError } from '../../errors/error.ts';
import type { SourceFile, SourceRange } from '../../errors/source.ts';
import { didYouMean } from '../../errors/suggest.ts';
import { formatPlatform, normalizePlatform, parsePlatform } from '../../image/platform.ts';
import { normalName, parseReference, withDefaultTag } from '../../image/reference.ts';
import type { Platform } from '../../image/types.ts';
import { expandAt } from '../parse/expand.ts';
import { createFaults } from '../parse/faults.ts';
import { instructionError } from '../parse/flags.ts';
import type { ArgInstruction, FromInstruction, Instruction } from '../parse/instructions.ts';
import type { RawFlag, RawInstruction } from '../parse/parser.ts';
import type { FileProgram } from '../parse/read-file.ts';
import type { ResetName } from '../parse/reset.ts';
import type { FrontendContext } from '../types.ts';
import { buildArg, platformArgs } from './args.ts';

const EMPTY_HINT = 'give the ARG before the first FROM a default, or pass it with --build-arg';

/** Where a file system comes from. */
export type BaseRef =
  | { readonly kind: 'scratch' }
  | { readonly kind: 'stage'; readonly index: number }
  | { readonly kind: 'local'; readonly name: string }
  /** A git or HTTP context, by its name in `FrontendContext.remoteContexts`. */
  | { readonly kind: 'remote'; readonly name: string }
  | { readonly kind: 'image'; readonly name: string };

/** A stage of another Dockerfile, as a line names it: `file:PATH#STAGE`. */
export interface FileRef {
  readonly kind: 'file';
  readonly path: string;
  /** Name or index; undefined: the last. */
  readonly stage: string | undefined;
  readonly range: SourceRange;
}

/** What the lines of one file have in common. */
export interface FileScope {
  readonly escapeChar: string;
  /** The file begins with `# syntax=ocibuild`: extensions without a flag of their own are on. */
  readonly extended: boolean;
  /** Values of ARGs before the first FROM and of the platform arguments. */
  readonly globals: ReadonlyMap<string, string>;
}

export interface Stage {
  readonly scope: FileScope;
  readonly index: number;
  readonly name: string | undefined;
  /** As progress shows it: the name, or `stage-0`; empty where the file has one stage only. */
  readonly label: string;
  readonly from: FromInstruction;
  readonly base: BaseRef | FileRef;
  readonly platform: Platform;
  /** What of the base's config is dropped. */
  readonly reset: readonly ResetName[];
  readonly instructions: readonly Instruction[];
  /** What its ONBUILD lines store, for the stages that stand on it. */
  readonly triggers: readonly string[];
  /** A named context stands for the stage: only its triggers are left of it. */
  readonly replaced: boolean;
}

export interface StagePlan {
  readonly stages: readonly Stage[];
  readonly target: number;
  /** Stages that are wanted beside the target, as for a check of the whole file. */
  readonly also?: readonly number[];
  readonly scope: FileScope;
}

/**
 * Groups instructions into stages and finds each stage's base. Nothing is resolved yet.
 * @throws DOCKERFILE_STAGE_INVALID, DOCKERFILE_STAGE_NOT_FOUND, DOCKERFILE_EXPANSION_INVALID, PLATFORM_INVALID
 */
export function planStages(context: FrontendContext, program: FileProgram): StagePlan {
  const { stages, scope } = planFile(context, program, { first: 0 });
  return { stages, target: findTarget(context, stages), scope };
}

/** The same for any file of the build; `first` is the index of its first stage, 0 for the Dockerfile itself. */
export function planFile(
  context: FrontendContext,
  { file, instructions, escapeChar, extended }: FileProgram,
  { first, targetStage }: { first: number; targetStage?: string | undefined },
): Pick<StagePlan, 'stages' | 'scope'> {
  const { heads, metaArgs } = splitStages(file, instructions);
  const globals = platformArgs(context, targetStage ?? heads.at(-1)?.from.name);
  evaluateGlobals(globals, { context, metaArgs, escapeChar });
  const scope: FileScope = { escapeChar, extended, globals };
  const isMain = first === 0;
  const earlier: Stage[] = [];
  const faults = createFaults();
  for (const [place, head] of heads.entries()) {
    const { from } = head;
    const name = from.name;
    const shown = name ?? (heads.length === 1 ? '' : `stage-${place}`);
    const platform =
      faults.attempt(() => platformOf(context, from, { globals, escapeChar })) ?? context.targetPlatform;
    // Names of stages of other files are their own affair.
    const replaced = name === undefined || !isMain ? undefined : findContext(context, name, platform);
    const base: BaseRef | FileRef = replaced ??
      faults.attempt(() => findBase({ context, earlier, scope }, from, platform)) ?? { kind: 'scratch' };
    earlier.push({
      scope,
      index: first + place,
      name,
      label: !isMain ? file.name + (shown === '' ? '' : `#${shown}`) : heads.length === 1 ? '' : shown,
      from,
      base,
      platform,
      reset: replaced === undefined ? (from.reset ?? []) : [],
      instructions: replaced === undefined ? head.body : [],
      triggers: head.body.flatMap((each) => (each.kind === 'ONBUILD' ? [each.text] : [])),
      replaced: replaced !== undefined,
    });
  }
  for (const { instructions: own } of earlier) {
    for (const each of own) faults.attempt(() => checkIndex(earlier, each));
  }
  faults.check();
  return { stages: earlier, scope };
}

/** A wrong index is wrong in stages that the target does not need, too. */
function checkIndex(stages: readonly Stage[], instruction: Instruction): void {
  if (instruction.kind === 'COPY' && instruction.from !== undefined) {
    numberedStage(stages, instruction.from, instruction);
  }
}

/** The stage, context or image that `--from` names, seen from stage `at`. Later stages are found too. */
export function findSource(
  context: FrontendContext,
  all: readonly Stage[],
  wanted: { from: string; at: Stage; raw: RawInstruction; flag?: RawFlag },
): BaseRef | FileRef {
  const { from, at, raw } = wanted;
  const stages = all.filter(({ scope }) => scope === at.scope);
  const flag = wanted.flag ?? raw.flags.find(({ name }) => name === 'from');
  const range = flag?.range ?? raw.range;
  // Docker has no indexes in `--mount`: a number is a name like any other there.
  const numbered = raw.keyword === 'RUN' ? undefined : numberedStage(stages, from, { raw, range });
  if (numbered !== undefined) return { kind: 'stage', index: numbered.index };
  // As in Docker, the last one of a name counts, even where it is the stage itself or comes after it.
  const stage = stages.findLast(({ name }) => name === from.toLowerCase());
  if (stage !== undefined) return { kind: 'stage', index: stage.index };
  if (from === 'scratch') return { kind: 'scratch' };
  if (from.startsWith(FILE_PREFIX)) return fileRef(from, { scope: at.scope, raw, range });
  return findContext(context, from, context.targetPlatform) ?? { kind: 'image', name: from };
}

/** A number is always an index, never an image of that name. */
function numberedStage(
  stages: readonly Stage[],
  from: string,
  { raw, range }: { raw: RawInstruction; range?: SourceRange },
): Stage | undefined {
  if (!/^[+-]?\d+$/.test(from)) return undefined;
  const stage = stages[Number(from)];
  if (stage !== undefined) return stage;
  const count = stages.length === 1 ? '1 stage' : `${stages.length} stages`;
  throw instructionError(raw, 'DOCKERFILE_STAGE_NOT_FOUND', {
    message: `Cannot find stage ${from}: the file has ${count}, numbered from 0`,
    range: range ?? raw.flags.find(({ name }) => name === 'from')?.range ?? raw.range,
  });
}

const FILE_PREFIX = 'file:';

function fileRef(
  text: string,
  { scope, raw, range }: { scope: FileScope; raw: RawInstruction; range: SourceRange },
): FileRef {
  if (!scope.extended) {
    throw instructionError(raw, 'DOCKERFILE_UNSUPPORTED', {
      message: `Cannot use "${text}" with ${raw.keyword}: stages of other files are an extension of the language`,
      hint: 'begin the Dockerfile with "# syntax=ocibuild"',
      range,
    });
  }
  const [, path = '', stage] = /^file:([^#]*)(?:#(.*))?$/s.exec(text) ?? [];
  if (path !== '' && stage !== '') return { kind: 'file', path, stage, range };
  throw instructionError(raw, 'DOCKERFILE_STAGE_INVALID', {
    message: `Cannot use "${text}" with ${raw.keyword}: expected "file:PATH" or "file:PATH#STAGE"`,
    range,
  });
}

function splitStages(
  file: SourceFile,
  instructions: readonly Instruction[],
): { heads: { from: FromInstruction; body: Instruction[] }[]; metaArgs: ArgInstruction[] } {
  const heads: { from: FromInstruction; body: Instruction[] }[] = [];
  const metaArgs: ArgInstruction[] = [];
  for (const instruction of instructions) {
    const current = heads.at(-1);
    if (instruction.kind === 'FROM') heads.push({ from: instruction, body: [] });
    else if (current !== undefined) current.body.push(instruction);
    else if (instruction.kind === 'ARG') metaArgs.push(instruction);
    else throw beforeFrom(instruction);
  }
  if (heads.length > 0) return { heads, metaArgs };
  const ranges = metaArgs.map(({ raw }) => raw.range);
  throw new OcibuildError(
    'DOCKERFILE_STAGE_INVALID',
    `Cannot build "${file.name}": it has no FROM instruction`,
    {
      hint: 'add a FROM instruction, for example "FROM alpine"',
      source: { file, ranges },
    },
  );
}

/** The fault of an instruction that belongs to no stage. */
export function beforeFrom({ kind, raw }: Instruction): OcibuildError {
  return instructionError(raw, 'DOCKERFILE_STAGE_INVALID', {
    message: `Cannot use ${kind} before the first FROM: only ARG can stand there`,
    range: raw.keywordRange,
  });
}

function evaluateGlobals(
  globals: Map<string, string>,
  about: { context: FrontendContext; metaArgs: readonly ArgInstruction[]; escapeChar: string },
): void {
  const faults = createFaults();
  for (const { args, raw } of about.metaArgs) {
    for (const { key, value } of args) {
      const given = buildArg(about.context, key);
      if (given !== undefined) globals.set(key, given);
      else if (value !== undefined) {
        faults.attempt(() => globals.set(key, expandAt(raw, value, globals, about.escapeChar)));
      }
    }
  }
  // Lines that use these values would only fail in turn.
  faults.check();
}

function findBase(
  { context, earlier, scope }: { context: FrontendContext; earlier: readonly Stage[]; scope: FileScope },
  from: FromInstruction,
  platform: Platform,
): BaseRef | FileRef {
  const { globals, escapeChar } = scope;
  const name = expandAt(from.raw, from.base, globals, escapeChar);
  if (name.trim() === '') {
    throw instructionError(from.raw, 'DOCKERFILE_STAGE_INVALID', {
      message: `Cannot use "${from.base}" as base image: it is empty after expansion`,
      hint: didYouMean(from.base.replace(/[${}]/g, ''), globals.keys()) ?? EMPTY_HINT,
    });
  }
  const stage = earlier.findLast((candidate) => candidate.name === name.toLowerCase());
  if (stage !== undefined) return { kind: 'stage', index: stage.index };
  if (name === 'scratch') return { kind: 'scratch' };
  if (name.startsWith(FILE_PREFIX)) return fileRef(name, { scope, raw: from.raw, range: from.raw.range });
  return findContext(context, name, platform) ?? { kind: 'image', name };
}

function platformOf(
  context: FrontendContext,
  from: FromInstruction,
  { globals, escapeChar }: Pick<FileScope, 'globals' | 'escapeChar'>,
): Platform {
  if (from.platform === undefined) return context.targetPlatform;
  const range = from.raw.flags.find(({ name }) => name === 'platform')?.range ?? from.raw.range;
  const text = expandAt(from.raw, from.platform, globals, escapeChar);
  if (text === '') {
    throw instructionError(from.raw, 'DOCKERFILE_STAGE_INVALID', {
      message: `Cannot use "--platform=${from.platform}": it is empty after expansion`,
      hint: didYouMean(from.platform.replace(/[${}]/g, ''), globals.keys()) ?? EMPTY_HINT,
      range,
    });
  }
  try {
    return parsePlatform(text);
  } catch (cause) {
    const message = `Cannot use "--platform=${from.platform}": "${text}" is not a platform`;
    const hint = 'write it as "linux/amd64" or "linux/arm/v7"';
    throw instructionError(from.raw, 'PLATFORM_INVALID', { message, hint, range, cause });
  }
}

/** A named context: by its name for this platform, by its name, or by its name as an image reference. */
export function findContext(context: FrontendContext, name: string, platform: Platform): BaseRef | undefined {
  const full = fullName(name);
  const suffix = `::${formatPlatform(normalizePlatform(platform))}`;
  const matches = (key: string) => key === name || (full !== undefined && fullName(key) === full);
  const contexts: readonly BaseRef[] = [
    ...Object.keys(context.localContexts).map((each) => ({ kind: 'local' as const, name: each })),
    ...Object.keys(context.remoteContexts ?? {}).map((each) => ({ kind: 'remote' as const, name: each })),
    ...(context.imageContexts ?? []).map((each) => ({ kind: 'image' as const, name: each })),
  ];
  const find = (test: (key: string) => boolean) => contexts.find((each) => 'name' in each && test(each.name));
  const own = find((key) => key.endsWith(suffix) && matches(key.slice(0, -suffix.length)));
  // The resolver of images adds the platform by itself.
  return own?.kind === 'image' ? { ...own, name: own.name.slice(0, -suffix.length) } : (own ?? find(matches));
}

function fullName(name: string): string | undefined {
  try {
    return normalName(withDefaultTag(parseReference(name)));
  } catch {
    // A name of a context need not be an image reference.
    return undefined;
  }
}

function findTarget(context: FrontendContext, stages: readonly Stage[]): number {
  const { target } = context;
  if (target === undefined || target === '') return stages.length - 1;
  const named = stages.findLast(({ name }) => name === target.toLowerCase());
  if (named !== undefined) return named.index;
  const index = /^\d+$/.test(target) ? Number(target) : Number.NaN;
  if (index < stages.length) return index;
  const names = stages.flatMap(({ name }) => (name === undefined ? [] : [name]));
  const listed = names.length === 0 ? '' : `: the file has ${names.map((name) => `"${name}"`).join(', ')}`;
  const hint = didYouMean(target, names);
  throw new OcibuildError('DOCKERFILE_STAGE_NOT_FOUND', `Cannot find target stage "${target}"${listed}`, {
    ...(hint === undefined ? {} : { hint }),
    source: { file: context.dockerfile, ranges: stages.map(({ from }) => from.raw.range) },
    details: { target, stages: names },
  });
}
