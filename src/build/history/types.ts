import type { Owner } from '../../util/owner.ts';

/** How a build or a step ended. `killed`: its process ended without a word. */
export type Outcome = 'done' | 'failed' | 'cancelled' | 'killed';

/** What a store keeps of a build. JSON; nothing secret is in it. */
export interface PastBuild {
  readonly version: 1;
  /** Names the directory, and sorts by time. */
  readonly id: string;
  readonly owner: Owner;
  /** RFC 3339. */
  readonly started: string;
  readonly ended?: string;
  readonly status: 'running' | Outcome;
  readonly request: PastRequest;
  /** In the order in which they were first heard of; the first has the number 1. */
  readonly steps: readonly PastStep[];
  readonly names?: readonly string[];
  readonly digest?: string;
  readonly error?: PastError;
}

/** What was asked for; of arguments, secrets and SSH agents only the names. */
export interface PastRequest {
  readonly context: string;
  readonly dockerfile?: string;
  readonly targets: readonly string[];
  readonly platforms: readonly string[];
  readonly tags: readonly string[];
  readonly buildArgs: readonly string[];
  readonly secrets: readonly string[];
  readonly ssh: readonly string[];
  readonly outputs: readonly string[];
  readonly noCache: boolean;
}

export interface PastStep {
  readonly number: number;
  readonly name: string;
  readonly status: 'running' | 'cached' | Outcome;
  /** Ms since the epoch. */
  readonly startedMs?: number;
  readonly endedMs?: number;
  /** Why it was not cached, where that was asked. */
  readonly changes?: readonly string[];
  /** There is a file of what it printed. */
  readonly hasLog: boolean;
}

export interface PastError {
  readonly code: string;
  readonly message: string;
  readonly file?: string;
  readonly line?: number;
}
