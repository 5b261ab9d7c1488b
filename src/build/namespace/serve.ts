import { Writable } from 'node:stream';
import { OcibuildError } from '../../errors/error.ts';
import { errorToData } from '../../errors/wire.ts';
import type { ProgressEvent } from '../../solver/types.ts';
import type { WatchCycle } from '../../watch/types.ts';
import type { BuildOptions, FailedStep } from '../options.ts';
import { type Channel, createChannel, type Message } from './channel.ts';
import type {
  CopyOutMessage,
  CycleMessage,
  EventMessage,
  FailedStepMessage,
  InsideName,
  OutputMessage,
  RunMessage,
  StartMessage,
} from './types.ts';

/** What can be asked for; `onCycle` is for the rounds of a watch. */
export type InsideFunctions = Readonly<
  Record<InsideName, (options: BuildOptions, onCycle: (cycle: WatchCycle) => void) => Promise<unknown>>
>;

/**
 * Does for the process at the other end of the channel the one thing that it asks for, and ends when that process lets
 * go of the channel, or is gone: then what runs is cancelled first.
 */
export function serveInside(functions: InsideFunctions): void {
  const ending = new AbortController();
  let step: FailedStep | undefined;
  let running: Promise<unknown> = Promise.resolve();
  const cancel = (why: string): void => ending.abort(new OcibuildError('CANCELLED', `Cannot finish: ${why}`));

  const live: Live = {
    signal: ending.signal,
    async withStep(failed, use) {
      step = failed;
      await use().finally(() => {
        step = undefined;
      });
    },
  };
  const failedStep = (): FailedStep => {
    if (step === undefined) throw new Error('Cannot use a failed step any more: its function has ended');
    return step;
  };
  const channel: Channel = createChannel(
    (message: Message) => void process.send?.(message, undefined, undefined, () => undefined),
    {
      start(message: StartMessage): Promise<unknown> {
        const options = optionsOf(message, live, channel);
        const work = functions[message.name](options, (cycle) => channel.tell('cycle', cycleMessage(cycle)));
        running = work.catch(() => undefined);
        return work;
      },
      abort: () => ending.abort(),
      run({ run, args, ...how }: RunMessage): Promise<number> {
        if (run === undefined) return failedStep().run(args, how);
        return failedStep().run(args, {
          ...how,
          async onOutput(stream, data) {
            await channel.call('output', { run, stream, data } satisfies OutputMessage);
          },
        });
      },
      copyOut: ({ path, dest }: CopyOutMessage): Promise<boolean> => failedStep().copyOut(path, dest),
    },
  );
  process.on('message', (message) => channel.receive(message as Message));
  process.on('disconnect', () => {
    const gone = 'the program that asked for it is gone';
    channel.end(new OcibuildError('CANCELLED', `Cannot finish: ${gone}`));
    cancel(gone);
    void running.then(() => process.exit());
  });
  // A terminal sends them to the host as well, which ends or cancels as it likes.
  for (const name of ['SIGINT', 'SIGHUP'] as const) process.on(name, () => undefined);
  process.on('SIGTERM', () => cancel('interrupted by SIGTERM'));
}

interface Live {
  readonly signal: AbortSignal;
  withStep(failed: FailedStep, use: () => Promise<unknown>): Promise<void>;
}

function optionsOf(
  { options, live }: StartMessage,
  { signal, withStep }: Live,
  channel: Channel,
): BuildOptions {
  const has = new Set(live);
  const { env } = options as Pick<BuildOptions, 'env'>;
  const { OCIBUILD_ROOTLESS } = process.env;
  const whole = {
    ...options,
    signal,
    ...(env === undefined ? {} : { env: { ...env, OCIBUILD_ROOTLESS } }),
    ...(has.has('stdin') ? { stdin: remoteStdin(channel) } : {}),
    ...(has.has('stdout') ? { stdout: remoteStdout(channel) } : {}),
    ...(has.has('onEvent')
      ? { onEvent: (event: ProgressEvent) => channel.tell('event', eventMessage(event)) }
      : {}),
    ...(has.has('onFailedStep')
      ? {
          async onFailedStep(failed: FailedStep) {
            const { name, shell, cwd, error } = failed;
            const message: FailedStepMessage = { name, shell, cwd, error: errorToData(error) };
            await withStep(failed, () => channel.call('failedStep', message));
          },
        }
      : {}),
  };
  return whole as unknown as BuildOptions;
}

async function* remoteStdin(channel: Channel): AsyncGenerator<Uint8Array> {
  let isOver = false;
  try {
    for (;;) {
      const { done, value } = (await channel.call('stdin')) as IteratorResult<Uint8Array>;
      isOver = done === true;
      if (isOver) return;
      yield value;
    }
  } finally {
    if (!isOver) channel.tell('stdinEnd');
  }
}

function remoteStdout(channel: Channel): Writable {
  return new Writable({
    write(chunk: Uint8Array, _encoding, done) {
      channel.call('stdout', chunk).then(() => done(), done);
    },
  });
}

function eventMessage(event: ProgressEvent): EventMessage {
  if (event.kind !== 'completed') return event;
  const { error, ...rest } = event;
  return error === undefined ? rest : { ...rest, error: errorToData(error) };
}

function cycleMessage({ error, ...cycle }: WatchCycle): CycleMessage {
  return { ...cycle, ...(error === undefined ? {} : { error: errorToData(error) }) };
}
