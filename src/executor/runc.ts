import { createHash } from 'node:crypto';
import { dirname, join, resolve } from 'node:path';
import type { Worker } from 'node:worker_threads';
import { cancelledError, isOcibuildError, OcibuildError } from '../errors/error.ts';
import { type ErrorData, errorFromData } from '../errors/wire.ts';
import { openWorker } from '../util/open-worker.ts';
import type { FromWorker, OutputPart, ToWorker, WorkerSetup } from './protocol.ts';
import { type Reaper, startReaper } from './reaper.ts';
import { findRuntime, type Runtime } from './runtime.ts';
import type { Executor, ExecutorOptions, ExitStatus, ProcessSpec, RunOptions } from './types.ts';

/** An executor whose thread can be started before it is needed. */
export interface RuncExecutor extends Executor {
  /** Starts the worker (30 ms, beside other work); `run` does it too. Throws nothing. */
  prepare(): void;
}

interface Pending {
  readonly options: RunOptions;
  /** Why its output cannot be taken any more; told once the container has stopped. */
  refused?: { readonly error: unknown };
  readonly settle: (outcome: { status: ExitStatus } | { error: unknown }) => void;
}

const VALID_ID = /^[A-Za-z0-9][A-Za-z0-9_.+-]{0,127}$/;

/**
 * An executor over an OCI runtime with runc's command line. Nothing is started or looked for before `prepare` or
 * `run`. The process may exit without `close`; running containers keep it alive.
 */
export function createRuncExecutor(options: ExecutorOptions): RuncExecutor {
  const pending = new Map<string, Pending>();
  const runDir = resolve(options.runDir);
  let started: { worker: Worker; reaper: Reaper | undefined; setup: WorkerSetup } | undefined;
  let closing: Promise<void> | undefined;

  const failAll = (error: unknown): void => {
    started = undefined;
    for (const run of [...pending.values()]) run.settle({ error });
  };

  const start = (): NonNullable<typeof started> => {
    if (started !== undefined) return started;
    const runtime: Runtime = findRuntime(options.runtime, options.searchPath);
    const stateDir = options.stateDir ?? defaultStateDir(runDir, options.rootless);
    const { rootless, searchPath = '' } = options;
    const setup: WorkerSetup = { runtime, runDir, stateDir, rootless, searchPath };
    const worker = openWorker(import.meta.url, 'executor-worker.ts', {
      workerData: setup,
      name: 'executor',
    });
    worker.unref();
    worker.on('message', (message: FromWorker) => receive(message));
    const fail = (why: string, cause?: unknown): void => {
      if (started?.worker === worker)
        failAll(new OcibuildError('INTERNAL', `Cannot go on: ${why}`, { cause }));
    };
    worker.on('error', (cause) => fail(`the executor thread failed: ${String(cause)}`, cause));
    worker.on('exit', () => fail('the executor thread ended'));
    started = { worker, reaper: undefined, setup };
    return started;
  };

  const receive = (message: FromWorker): void => {
    const run = pending.get(message.id);
    switch (message.kind) {
      case 'started':
        started?.reaper?.started(message.id, message.pid);
        break;
      case 'running':
        run?.options.onRunning?.(message.container);
        break;
      case 'output':
        void takeOutput(message.id, message.parts);
        break;
      case 'exit':
        run?.settle(run.refused ?? { status: message.status });
        break;
      case 'failure':
        run?.settle({ error: stepError(message.error) });
        break;
    }
  };

  /** Output that its reader refuses ends the container. */
  const takeOutput = async (id: string, parts: readonly OutputPart[]): Promise<void> => {
    const run = pending.get(id);
    try {
      const waits = parts.map(({ stream, data }) => run?.options.onOutput(stream, data));
      if (waits.some((wait) => wait instanceof Promise)) await Promise.all(waits);
    } catch (error) {
      const left = pending.get(id);
      if (left !== undefined) left.refused ??= { error };
      post({ kind: 'cancel', id });
    }
    const bytes = parts.reduce((sum, { data }) => sum + data.length, 0);
    post({ kind: 'taken', id, bytes });
  };

  const post = (message: ToWorker): void => started?.worker.postMessage(message);

  const run = async (spec: ProcessSpec, runOptions: RunOptions): Promise<ExitStatus> => {
    const { signal } = runOptions;
    if (signal.aborted) throw cancelledError(signal);
    if (closing !== undefined)
      throw new OcibuildError('INTERNAL', 'Cannot run a step: the executor is closed');
    if (!VALID_ID.test(spec.id) || pending.has(spec.id)) {
      throw new RangeError(
        `Cannot use "${spec.id}" as the id of a container: it is taken or has other characters`,
      );
    }
    const { worker, setup } = start();
    if (started !== undefined) started.reaper ??= startReaper(setup);
    started?.reaper?.watch(spec.id);
    const cancel = (): void => post({ kind: 'cancel', id: spec.id });
    try {
      return await new Promise<ExitStatus>((done, fail) => {
        pending.set(spec.id, {
          options: runOptions,
          settle: (outcome) => ('status' in outcome ? done(outcome.status) : fail(outcome.error)),
        });
        worker.ref();
        post({ kind: 'run', spec });
        signal.addEventListener('abort', cancel, { once: true });
      });
    } catch (error) {
      if (signal.aborted) throw cancelledError(signal);
      throw error;
    } finally {
      signal.removeEventListener('abort', cancel);
      pending.delete(spec.id);
      if (pending.size === 0) worker.unref();
    }
  };

  const stop = async (): Promise<void> => {
    const last = started;
    if (last === undefined) return;
    const waiting = [...pending].map(([id, entry]) => {
      post({ kind: 'cancel', id });
      return new Promise<void>((done) => {
        const { settle } = entry;
        pending.set(id, {
          ...entry,
          settle: (outcome) => {
            settle(outcome);
            done();
          },
        });
      });
    });
    await Promise.all(waiting);
    const ended = new Promise<void>((done) => last.worker.once('exit', () => done()));
    last.worker.ref();
    post({ kind: 'close' });
    await ended;
    await last.reaper?.end();
  };

  return {
    prepare() {
      try {
        start();
      } catch {
        // `run` reports it, if it comes to that.
      }
    },
    async run(spec, runOptions) {
      const status = await run(spec, runOptions);
      // The step ended by our SIGKILL, or just before it: either way its result is not wanted.
      if (runOptions.signal.aborted) throw cancelledError(runOptions.signal);
      return status;
    },
    close() {
      closing ??= stop();
      return closing;
    },
  };
}

/**
 * Where the runtime keeps its state for a store: on the tmpfs that a restart empties, apart from that of other
 * stores and of other users of the runtime. Rootless beside the bundles.
 */
export function defaultStateDir(runDir: string, rootless: boolean): string {
  if (rootless) return join(dirname(resolve(runDir)), 'runtime');
  const store = createHash('sha256').update(resolve(runDir)).digest('hex').slice(0, 12);
  return join('/run/ocibuild', store);
}

function stepError(data: ErrorData): OcibuildError {
  const error = errorFromData(data);
  if (isOcibuildError(error)) return error;
  const why = error instanceof Error ? error.message : String(error);
  return new OcibuildError('INTERNAL', `Cannot run a step: ${why}`, { cause: error });
}
