import type { ErrorData } from '../errors/wire.ts';
import type { Runtime } from './runtime.ts';
import type { ExitStatus, ProcessSpec, RunningContainer } from './types.ts';

/** What the worker is started with. */
export interface WorkerSetup {
  readonly runtime: Runtime;
  readonly runDir: string;
  readonly stateDir: string;
  readonly rootless: boolean;
  /** PATH, for emulators. */
  readonly searchPath: string;
}

export type ToWorker =
  | { readonly kind: 'run'; readonly spec: ProcessSpec }
  | { readonly kind: 'cancel'; readonly id: string }
  /** The main thread is done with so many bytes of output. */
  | { readonly kind: 'taken'; readonly id: string; readonly bytes: number }
  | { readonly kind: 'close' };

export interface OutputPart {
  readonly stream: 'stdout' | 'stderr';
  readonly data: Uint8Array;
}

export type FromWorker =
  /** The runtime was started. */
  | { readonly kind: 'started'; readonly id: string; readonly pid: number }
  /** The container runs. */
  | { readonly kind: 'running'; readonly id: string; readonly container: RunningContainer }
  | { readonly kind: 'output'; readonly id: string; readonly parts: readonly OutputPart[] }
  | { readonly kind: 'exit'; readonly id: string; readonly status: ExitStatus }
  | { readonly kind: 'failure'; readonly id: string; readonly error: ErrorData };
