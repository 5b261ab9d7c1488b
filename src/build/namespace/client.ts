import type { ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { cancelledError, isOcibuildError, OcibuildError } from '../../errors/error.ts';
import { errorFromData } from '../../errors/wire.ts';
import { currentUser, spawnInUserNamespace } from '../../executor/rootless.ts';
import type { ProgressEvent } from '../../solver/types.ts';
import { workerUrl } from '../../util/worker-url.ts';
import type { WatchCycle } from '../../watch/types.ts';
import type { BuildOptions, RunInStep } from '../options.ts';
import { type Channel, createChannel, type Message } from './channel.ts';
import {
  type CopyOutMessage,
  type CycleMessage,
  type EventMessage,
  type FailedStepMessage,
  type InsideName,
  LIVE,
  type OutputMessage,
  type RunMessage,
  type StartMessage,
} from './types.ts';

/** Options of any function that can be called inside. */
export type InsideOptions = Partial<BuildOptions>;

/** A process in a user namespace that waits for the one thing it is to do. */
export interface Inside {
  /** Does it. When this settles, the process and all that it has started are gone. */
  run(name: InsideName, options: InsideOptions, onCycle?: (cycle: WatchCycle) => void): Promise<unknown>;
}

/** As bin/ocibuild starts Node. The options of the host's Node may be a program of its own (`-e`), or a debugger. */
const NODE_OPTIONS = ['--disable-warning=ExperimentalWarning', '--max-semi-space-size=4'];
/** What is kept of the stderr of a process that nobody should hear of. Characters. */
const STDERR_TAIL = 4096;

/**
 * Makes a user namespace with a process in it.
 * @param joinsTerminal whether a step may be joined to the terminal of this process
 * @throws ROOTLESS_UNAVAILABLE
 */
export async function openInside(joinsTerminal: boolean): Promise<Inside> {
  const user = currentUser();
  const script = fileURLToPath(workerUrl(import.meta.url, '../../namespace-main.ts'));
  // Inside, the process is root by number; the store stays the user's own.
  const env = { ...process.env, OCIBUILD_ROOTLESS: String(user.uid) };
  const child = await spawnInUserNamespace([script], env, {
    ...{ ...user, execPath: process.execPath, execArgv: NODE_OPTIONS },
    // Node puts a terminal that it was given back to how it found it.
    stdio: joinsTerminal ? ['inherit', 'inherit', 'inherit', 'ipc'] : ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  return { run: (name, options, onCycle) => runInside(child, { name, options, onCycle }) };
}

interface Task {
  readonly name: InsideName;
  readonly options: InsideOptions;
  readonly onCycle: ((cycle: WatchCycle) => void) | undefined;
}

async function runInside(child: ChildProcess, task: Task): Promise<unknown> {
  const { options } = task;
  const { signal } = options;
  const send = (message: Message): void => void child.send(message, () => undefined);
  const channel: Channel = createChannel(
    send,
    hostHandlers(task, () => channel),
  );
  child.on('message', (message) => channel.receive(message as Message));
  const exited = endOf(child, signal);
  void exited.then((why) => channel.end(why));
  const onAbort = (): void => channel.tell('abort');
  signal?.addEventListener('abort', onAbort, { once: true });
  options.stdout?.on('error', ignore);
  try {
    const started = channel.call('start', startMessage(task));
    if (signal?.aborted === true) onAbort();
    return await started;
  } catch (error) {
    throw isCancelled(error) && signal?.aborted === true ? cancelledError(signal) : error;
  } finally {
    signal?.removeEventListener('abort', onAbort);
    options.stdout?.off('error', ignore);
    if (child.connected) child.disconnect();
    await exited;
  }
}

function startMessage({ name, options }: Task): StartMessage {
  const { signal: _, stdin, stdout, onEvent, onFailedStep, env, ...plain } = options;
  const given = { stdin, stdout, onEvent, onFailedStep };
  return {
    name,
    // `process.env` is no plain object.
    options: { ...plain, ...(env === undefined ? {} : { env: { ...env } }) },
    live: LIVE.filter((key) => given[key] !== undefined),
  };
}

function hostHandlers({ options, onCycle }: Task, channel: () => Channel) {
  const { stdout, onEvent, onFailedStep } = options;
  const outputs = new Map<number, NonNullable<RunInStep['onOutput']>>();
  let lastRun = 0;
  let stdin: AsyncIterator<Uint8Array> | undefined;
  return {
    event: (event: EventMessage): void => onEvent?.(eventOf(event)),
    cycle({ error, ...cycle }: CycleMessage): void {
      onCycle?.({ ...cycle, ...(error === undefined ? {} : { error: errorFromData(error) }) });
    },
    stdin() {
      stdin ??= options.stdin?.[Symbol.asyncIterator]();
      return stdin?.next();
    },
    async stdinEnd(): Promise<void> {
      await stdin?.return?.();
    },
    stdout: (chunk: Uint8Array): Promise<void> =>
      new Promise((resolve, reject) => {
        stdout?.write(chunk, (error) => (error ? reject(error) : resolve()));
      }),
    async failedStep({ error, ...about }: FailedStepMessage): Promise<void> {
      await onFailedStep?.({
        ...about,
        error: errorFromData(error) as OcibuildError,
        async run(args, { onOutput, ...how } = {}) {
          const run = ++lastRun;
          if (onOutput !== undefined) outputs.set(run, onOutput);
          const message: RunMessage = { ...how, args, ...(onOutput === undefined ? {} : { run }) };
          try {
            return (await channel().call('run', message)) as number;
          } finally {
            outputs.delete(run);
          }
        },
        async copyOut(path, dest) {
          const message: CopyOutMessage = { path, dest };
          return (await channel().call('copyOut', message)) as boolean;
        },
      });
    },
    async output({ run, stream, data }: OutputMessage): Promise<void> {
      await outputs.get(run)?.(stream, data);
    },
  };
}

function eventOf(event: EventMessage): ProgressEvent {
  if (event.kind !== 'completed') return event;
  const { error, ...rest } = event;
  return error === undefined ? rest : { ...rest, error: errorFromData(error) as OcibuildError };
}

/** Settles when the process is gone and all that it sent was read; gives the error that this is. */
async function endOf(child: ChildProcess, signal: AbortSignal | undefined): Promise<OcibuildError> {
  let stderr = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr = (stderr + text).slice(-STDERR_TAIL);
  });
  // Without a listener a message that cannot be sent would end the host.
  child.on('error', ignore);
  await Promise.all([
    new Promise<void>((resolve) => {
      if (child.connected) child.once('disconnect', resolve);
      else resolve();
    }),
    new Promise<void>((resolve) => {
      if (child.exitCode === null && child.signalCode === null) child.once('exit', () => resolve());
      else resolve();
    }),
  ]);
  if (signal?.aborted === true) return cancelledError(signal);
  const { exitCode, signalCode } = child;
  const how = signalCode === null ? `with exit code ${exitCode}` : `by ${signalCode}`;
  return new OcibuildError(
    'PROCESS_LOST',
    `Cannot finish: its process in the user namespace was ended ${how}`,
    {
      ...(signalCode === 'SIGKILL'
        ? { hint: 'memory may have run out: look for "Out of memory" in `dmesg`' }
        : {}),
      details: { exitCode, signal: signalCode },
      logTail: stderr.trim() === '' ? [] : stderr.trim().split('\n'),
    },
  );
}

function isCancelled(error: unknown): boolean {
  return isOcibuildError(error) && error.code === 'CANCELLED';
}

function ignore(): void {}
