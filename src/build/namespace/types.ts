import type { ErrorData } from '../../errors/wire.ts';
import type { ProgressEvent } from '../../solver/types.ts';
import type { WatchCycle } from '../../watch/types.ts';
import type { FailedStep, RunInStep } from '../options.ts';

/** Functions of the library that a process in a namespace does for a normal user's. */
export type InsideName = 'build' | 'watch' | 'lock' | 'prune' | 'diskUsage';

/** Options that cannot be cloned: the caller's side answers for them. */
export const LIVE = ['stdin', 'stdout', 'onEvent', 'onFailedStep'] as const;

/** Starts the work; its answer is the result. */
export interface StartMessage {
  readonly name: InsideName;
  readonly options: Readonly<Record<string, unknown>>;
  readonly live: readonly (typeof LIVE)[number][];
}

type Completed = ProgressEvent & { readonly kind: 'completed' };

/** An event whose error can be cloned. */
export type EventMessage =
  | Exclude<ProgressEvent, Completed>
  | (Omit<Completed, 'error'> & { readonly error?: ErrorData });

export interface FailedStepMessage extends Pick<FailedStep, 'name' | 'shell' | 'cwd'> {
  readonly error: ErrorData;
}

export interface RunMessage extends Omit<RunInStep, 'onOutput'> {
  /** Names its output; undefined: nobody wants it. */
  readonly run?: number;
  readonly args: readonly string[];
}

export interface OutputMessage {
  readonly run: number;
  readonly stream: 'stdout' | 'stderr';
  readonly data: Uint8Array;
}

export interface CopyOutMessage {
  readonly path: string;
  readonly dest: string;
}

/** A round of a watch whose error can be cloned. */
export type CycleMessage = Omit<WatchCycle, 'error'> & { readonly error?: ErrorData };
