import type { BuildResult } from '../build/options.ts';

/** One round of a watch: a build that was not given up for a later one. */
export interface WatchCycle {
  /** Counts from 1. */
  readonly number: number;
  /** What had changed, absolute paths; empty for the first build. */
  readonly changed: readonly string[];
  /** Absent where the build failed: the image of the last good one stays. */
  readonly result?: BuildResult;
  /** Why the build failed. */
  readonly error?: unknown;
  /** Names of the steps that ran, not those from the cache. */
  readonly rebuilt: readonly string[];
  /** From the start of the build to the end of its outputs. */
  readonly ms: number;
}

/** What is told of a watch beside its builds. */
export type WatchNotice =
  /** Context directories, or the Dockerfile where nothing is copied; absolute paths. */
  | { readonly kind: 'waiting'; readonly places: readonly string[] }
  /** A build was given up: what it reads has changed. */
  | { readonly kind: 'stale'; readonly changed: readonly string[] }
  /** Files are looked at every now and then, because they cannot be listened to. */
  | { readonly kind: 'polling'; readonly error: Error; readonly everyMs: number };
