import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { text as readAll } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import type { ErrorCode } from '../../errors/codes.ts';
import { isOcibuildError, OcibuildError, throwIfAborted } from '../../errors/error.ts';
import type { ExitStatus } from '../../executor/types.ts';
import { memoryLimitWords } from '../../util/memory-limit.ts';
import { workerUrl } from '../../util/worker-url.ts';
import { signalContainer } from './control.ts';
import type { LogStream } from './log-file.ts';
import { parseSignal } from './signals.ts';
import { supervise } from './supervise.ts';
import type { Container, ContainerReach, MonitorWord } from './types.ts';
import { createUntakenOutput } from './untaken.ts';

type Env = Readonly<Record<string, string | undefined>>;

export interface ForegroundOptions {
  readonly root: string;
  readonly env: Env;
  /** True where this process's own terminal is the container's. */
  readonly joinsTerminal: boolean;
  onOutput(stream: LogStream, data: Uint8Array): void | Promise<void>;
  /** Kills the container. */
  readonly signal?: AbortSignal;
  /** True once the terminal is closed that all of this was started on: nobody can reach the program any more. */
  hasLostTerminal?(): boolean;
  /** What does not work as asked for. */
  onWarnings(warnings: readonly string[]): void;
  /** Calls `send` with each signal that the container is to get; gives the function that ends this. */
  forwardSignals(send: (name: string) => void): () => void;
}

/** A start that takes longer is given up at a signal. */
const START_PATIENCE_MS = 1000;
const SIGKILL = 9;

/** Runs a container in this process. @returns its exit code, 128 + n for a signal */
export async function runInForeground(container: Container, options: ForegroundOptions): Promise<number> {
  const { plan } = container;
  const { root, env, joinsTerminal, onWarnings } = options;
  const killer = new AbortController();
  let reach: ContainerReach | undefined;
  const waiting: string[] = [];
  let patience: NodeJS.Timeout | undefined;
  let lastMoments: NodeJS.Timeout | undefined;
  const deliver = (to: ContainerReach, name: string): void => {
    signalContainer(to, parseSignal(name)).catch((error: unknown) => {
      // Else it has ended just now.
      if (isOcibuildError(error) && error.code === 'NSENTER_NOT_FOUND') onWarnings([error.message]);
    });
  };
  const untaken = createUntakenOutput();
  const stopForwarding = options.forwardSignals((name) => {
    // Its last words find room, though the reader has paused.
    untaken.letGo();
    if (name === 'SIGHUP' && options.hasLostTerminal?.() === true) {
      // The first process of a container ignores what it does not handle.
      lastMoments ??= setTimeout(() => {
        killer.abort(new OcibuildError('CANCELLED', 'Cannot go on: the terminal is closed'));
      }, plan.stopTimeoutSec * 1000);
    }
    if (reach !== undefined) return deliver(reach, name);
    // It may run already, and we are about to hear of it.
    waiting.push(name);
    patience ??= setTimeout(() => {
      killer.abort(new OcibuildError('CANCELLED', `Cannot start the container: interrupted by ${name}`));
    }, START_PATIENCE_MS);
  });
  try {
    const status = await supervise(container, {
      ...{ root, env, onWarnings },
      onOutput(stream, data) {
        const taken = options.onOutput(stream, data);
        return taken instanceof Promise ? untaken.until(taken) : undefined;
      },
      terminal: plan.tty ? (joinsTerminal ? 'inherit' : 'own') : undefined,
      stdin: plan.interactive ? 'inherit' : 'none',
      signal: AbortSignal.any([killer.signal, ...(options.signal === undefined ? [] : [options.signal])]),
      onRunning(now) {
        reach = now;
        clearTimeout(patience);
        for (const name of waiting.splice(0)) deliver(now, name);
      },
    });
    if (status.oomKilled === true) onWarnings([memoryWarning(status)]);
    return status.code;
  } finally {
    clearTimeout(patience);
    clearTimeout(lastMoments);
    stopForwarding();
  }
}

function memoryWarning({ signal, memoryLimit: limit }: ExitStatus): string {
  const what = signal === SIGKILL ? 'the container' : 'a process of the container';
  return `${what} was killed, out of memory${limit === undefined ? '' : `: ${memoryLimitWords(limit)}`}`;
}

/** Set of file descriptors of the monitor: it says on the last what became of the start. */
const WORD_FD = 3;

/**
 * Starts a process that runs the container and outlives this one; returns when the container runs.
 * @throws what the runtime says against its start
 */
export async function startMonitor(
  { plan, dir }: Container,
  { root, env, signal }: { readonly root: string; readonly env: Env; readonly signal: AbortSignal },
): Promise<{ readonly warnings: readonly string[] }> {
  const log = join(dir, 'monitor.log');
  const logFd = openSync(log, 'a', 0o600);
  const script = fileURLToPath(workerUrl(import.meta.url, 'monitor-main.ts'));
  const child = spawn(process.execPath, [...process.execArgv, script, root, plan.id], {
    cwd: '/',
    env: { ...env },
    // A session of its own: neither a closed terminal nor Ctrl-C reaches it.
    detached: true,
    stdio: ['ignore', 'ignore', logFd, 'pipe'],
  });
  closeSync(logFd);
  const cancel = (): void => void child.kill('SIGTERM');
  signal.addEventListener('abort', cancel, { once: true });
  try {
    const failed = new Promise<never>((_, fail) => child.once('error', fail));
    const word = await Promise.race([readAll(child.stdio[WORD_FD] as Readable), failed]);
    throwIfAborted(signal);
    if (word === '') {
      throw new OcibuildError('INTERNAL', 'Cannot start the container: its monitor ended without a word', {
        details: { log: readFileSync(log, 'utf8').slice(-2000) },
      });
    }
    const said = JSON.parse(word) as MonitorWord;
    if (said.kind === 'failed') throw errorOf(said.error);
    return { warnings: said.warnings };
  } finally {
    signal.removeEventListener('abort', cancel);
    child.unref();
  }
}

function errorOf({ code, message, hint, details }: Record<string, unknown>): Error {
  if (typeof code !== 'string') return new Error(String(message));
  return new OcibuildError(code as ErrorCode, String(message), {
    ...(typeof hint === 'string' ? { hint } : {}),
    ...(typeof details === 'object' && details !== null ? { details: { ...details } } : {}),
  });
}
