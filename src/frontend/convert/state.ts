import type { SourceRef } from '../../errors/source.ts';
import { formatPlatform } from '../../image/platform.ts';
import type { ContainerConfig, Digest, History, ImageConfig, Platform } from '../../image/types.ts';
import type { GraphBuilder, VertexMeta } from '../../llb/definition.ts';
import { expandAt } from '../parse/expand.ts';
import type { Instruction } from '../parse/instructions.ts';
import { expandText, LexError } from '../parse/shell-lex.ts';
import type { FrontendContext } from '../types.ts';
import type { ArgEntry } from './args.ts';
import type { ReadyStage, ResolvedPlan } from './resolve.ts';
import type { BaseRef } from './stages.ts';

export const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const HISTORY_COMMENT = 'buildkit.dockerfile.v0';

/** What a conversion shares between its stages. */
export interface Build {
  readonly context: FrontendContext;
  readonly plan: ResolvedPlan;
  readonly graph: GraphBuilder;
  readonly escapeChar: string;
  /** The file begins with `# syntax=ocibuild`: extensions without a flag of their own are on. */
  readonly extended: boolean;
  readonly globals: ReadonlyMap<string, string>;
  /** The finished state of another stage. */
  stageState(index: number): StageState;
  /** The vertex of a `--from`; undefined: the empty file system. */
  sourceVertex(ref: BaseRef, about: SourceRef): Digest | undefined;
  /** The vertex of the main context. */
  mainContext(): Digest;
}

/** A stage while its instructions are carried out. */
export interface StageState {
  readonly stage: ReadyStage;
  readonly platform: Platform;
  /** File system so far; undefined: empty. */
  root: Digest | undefined;
  /** Build-time environment: PATH, ENV and ARG, latest last. */
  readonly env: Map<string, string>;
  /** ARGs of this stage and of the stages that it stands on. */
  readonly args: ArgEntry[];
  image: ImageConfig;
  config: ContainerConfig;
  readonly history: History[];
  baseHistory: number;
  /** CMD was set in this very stage. */
  cmdSet: boolean;
  step: number;
  readonly steps: number;
  readonly ignoreCache: boolean;
}

/** Expands with the stage's environment as it was before the instruction. */
export function expandIn(build: Build, state: StageState, instruction: Instruction, text: string): string {
  return expandAt(instruction.raw, text, state.env, build.escapeChar);
}

/** The last value wins and moves to the end. */
export function setEnv(state: StageState, key: string, value: string): void {
  state.env.delete(key);
  state.env.set(key, value);
}

/** Adds a history entry; `layer`: it stands beside a layer. */
export function commit(state: StageState, text: string, layer = false): void {
  state.history.push({
    created_by: text,
    comment: HISTORY_COMMENT,
    ...(layer ? {} : { empty_layer: true }),
  });
}

/** Name, place and cache use of the next step of a stage; counts it. */
export function nextStep(build: Build, state: StageState, instruction: Instruction): VertexMeta {
  state.step++;
  const text = shownText(build, state, instruction);
  return {
    name: `${stepPrefix(build, state)}${instruction.trigger === true ? 'ONBUILD ' : ''}${text}`,
    source: sourceOf(state, instruction),
    ...(state.ignoreCache ? { ignoreCache: true } : {}),
  };
}

/** `[build  2/13] `, `[linux/arm64 build  2/13] `: the number is as wide as the count. */
export function stepPrefix(build: Build, { stage, platform, env, step, steps }: StageState): string {
  const number = String(step).padStart(String(steps).length);
  const shown = build.context.manyPlatforms === true ? `${platformText(build, platform, env)} ` : '';
  return `[${shown}${stage.label === '' ? '' : `${stage.label} `}${number}/${steps}] `;
}

/** `linux/amd64->arm64` where a stage that runs here asked what it is to make. */
function platformText({ context }: Build, platform: Platform, env: ReadonlyMap<string, string>): string {
  const { os, architecture, variant } = context.targetPlatform;
  const declared = ['TARGETPLATFORM', 'TARGETOS', 'TARGETARCH'].some((name) => env.has(name));
  const other =
    os !== platform.os
      ? formatPlatform(context.targetPlatform)
      : [architecture, ...(variant === undefined ? [] : [variant])].join('/');
  const isSame = formatPlatform(context.targetPlatform) === formatPlatform(platform);
  return `${formatPlatform(platform)}${declared && !isSame ? `->${other}` : ''}`;
}

export function sourceOf({ stage, step, steps }: StageState, { raw }: Instruction): SourceRef {
  return {
    file: raw.file,
    ranges: [raw.range],
    ...(stage.label === '' ? {} : { stage: stage.label }),
    step: `${step}/${steps}`,
  };
}

/** How many steps with a file system result the stage has, FROM of an image included. */
export function countSteps({ base, instructions }: ReadyStage): number {
  const steps = instructions.filter(({ kind }) => ['RUN', 'COPY', 'ADD', 'WORKDIR'].includes(kind)).length;
  return steps + (base.kind === 'scratch' || base.kind === 'stage' ? 0 : 1);
}

function shownText({ escapeChar }: Build, { env }: StageState, { raw, kind }: Instruction): string {
  const text = raw.text.replace(/^\S+/, (word) => word.toUpperCase());
  let shown = text;
  try {
    const options = { escapeChar, keepUnset: true, rawQuotes: kind === 'RUN' };
    shown = expandText(text, (name) => env.get(name), options).text;
  } catch (error) {
    // A RUN line need not be a text that our expansion understands.
    if (!(error instanceof LexError)) throw error;
  }
  const [inline] = raw.heredocs;
  if (kind !== 'RUN' || inline === undefined || !/^\d*<<\s*\S+$/.test(raw.rest)) return shown;
  const lines = inline.content.trim().split(/\r?\n/);
  return `${shown} (${lines[0] ?? ''}${lines.length > 1 ? '...' : ''})`;
}
