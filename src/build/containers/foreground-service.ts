import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { stopContainer, waitWhile } from './control.ts';
import { CONTAINER_FILES } from './create.ts';
import { readContainer, removeRecord, writeState } from './records.ts';
import { type ForegroundOptions, runInForeground } from './start.ts';
import type { Container } from './types.ts';
import { createUntakenOutput } from './untaken.ts';

/** A container that this process runs, stops and starts again. */
export interface ForegroundService {
  /** As it is now; undefined where it is gone. */
  now(): Container | undefined;
  /** As it is once its start is over: a program may speak before it is known to run. @throws CANCELLED */
  started(signal: AbortSignal): Promise<Container | undefined>;
  /** Stops its program with the stop signal and starts it anew on the files as they are. */
  restart(): Promise<void>;
  /** Stops it and removes all that it wrote. */
  close(): Promise<void>;
}

export interface ServiceOptions extends Omit<ForegroundOptions, 'forwardSignals' | 'joinsTerminal'> {
  /** It has ended without being asked to; `error` where it could not be started. */
  onEnd(end: { readonly code?: number; readonly error?: unknown }): void;
}

/** A network may take its time. */
const START_TIMEOUT_MS = 10_000;

/** Starts a container made with `remove`, which is removed by `close`: until then it may start again. */
export function startService(container: Container, options: ServiceOptions): ForegroundService {
  const { root } = options;
  const { plan, dir } = container;
  // The record still says that it is to be removed: should this process be killed, the next sweep does it.
  const kept: Container = { ...container, plan: { ...plan, remove: false } };
  let isStopping = false;
  const untaken = createUntakenOutput();
  let run = start();

  async function start(): Promise<void> {
    try {
      const code = await runInForeground(kept, {
        ...options,
        onOutput(stream, data) {
          // What it still says to a reader that has paused is lost: it could be any amount.
          if (isStopping && untaken.isHeld()) return;
          const taken = options.onOutput(stream, data);
          if (!(taken instanceof Promise)) return;
          const wait = untaken.until(taken);
          if (isStopping) untaken.letGo();
          return wait;
        },
        joinsTerminal: false,
        forwardSignals: () => () => undefined,
      });
      if (!isStopping) options.onEnd({ code });
    } catch (error) {
      if (!isStopping) options.onEnd({ error });
    }
  }

  async function stop(): Promise<void> {
    isStopping = true;
    untaken.letGo();
    // A stop is not interrupted: what runs would be left behind.
    const signal = new AbortController().signal;
    const now = readContainer(root, plan.id);
    if (now !== undefined) await stopContainer(root, now, { signal });
    await run;
  }

  return {
    now: () => readContainer(root, plan.id),
    started: (signal) =>
      waitWhile(root, kept, { states: ['creating', 'created'], timeoutMs: START_TIMEOUT_MS, signal }),
    async restart() {
      await stop();
      const { work, network } = CONTAINER_FILES;
      // A work directory of a volatile overlay cannot be mounted twice.
      rmSync(join(dir, work), { recursive: true, force: true });
      mkdirSync(join(dir, work));
      rmSync(join(dir, network), { recursive: true, force: true });
      isStopping = false;
      // It is not over, as the record of its last run says.
      writeState(dir, { status: 'creating' });
      run = start();
    },
    async close() {
      await stop();
      removeRecord(root, { dir, plan });
    },
  };
}
