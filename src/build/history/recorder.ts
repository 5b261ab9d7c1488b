import { isOcibuildError } from '../../errors/error.ts';
import { redactCredentials } from '../../errors/redact.ts';
import { formatPlatform } from '../../image/platform.ts';
import type { ProgressEvent } from '../../solver/types.ts';
import { currentOwner } from '../../util/owner.ts';
import type { NormalOptions } from '../normalise.ts';
import type { BuildResult } from '../options.ts';
import { type LogWriter, openLogWriter } from './log-writer.ts';
import { createBuildDir, logFile, newBuildId, stepsDone, sweepBuilds, writeBuild } from './past-builds.ts';
import type { PastBuild, PastError, PastRequest, PastStep } from './types.ts';

/** Keeps a build's record and what its steps print, from the moment it is told where. */
export interface Recorder {
  readonly id: string;
  event(event: ProgressEvent): void;
  /** The store is there. Gives the directory of the build; undefined where nothing can be kept. */
  open(root: string): string | undefined;
  /** Whether an earlier build of the same context and Dockerfile had a step of this name done. */
  wasBuilt(name: string): boolean;
  /** A text that must not be written. */
  hide(secret: Uint8Array): void;
  end(outcome: { readonly result: BuildResult } | { readonly error: unknown }): void;
}

type Step = { -readonly [K in keyof PastStep]: PastStep[K] } & { log?: LogWriter };

/** A build of many quick steps need not write its record for each. */
const WRITE_MS = 250;

/** What cannot be written, on a full disk, must not fail the build. */
export function createRecorder(options: NormalOptions, startedMs: number): Recorder {
  const id = newBuildId(startedMs);
  const steps = new Map<string, Step>();
  const secrets: string[] = [];
  /** What came before the store was there. */
  let early: ProgressEvent[] | undefined = [];
  let writtenMs = 0;
  let done: ReadonlySet<string> | undefined;
  let place: { readonly root: string; readonly dir: string } | undefined;

  const write = (more: Partial<PastBuild>): void => {
    if (place === undefined) return;
    const kept: PastBuild = {
      ...{ version: 1, id, owner: currentOwner(), started: new Date(startedMs).toISOString() },
      ...{ status: 'running', request: requestOf(options), ...more },
      steps: [...steps.values()].map(({ log: _, ...step }) => step),
    };
    const { dir } = place;
    writtenMs = Date.now();
    trying(() => writeBuild(dir, kept));
  };

  const record = (event: ProgressEvent, dir: string): void => {
    if (event.kind === 'warning' || event.kind === 'planned') return;
    const known = steps.get(event.vertex);
    const number = known?.number ?? steps.size + 1;
    const step: Step = known ?? { number, name: event.vertex, status: 'running', hasLog: false };
    steps.set(event.vertex, step);
    switch (event.kind) {
      case 'vertex':
        step.name = redactCredentials(event.name, secrets);
        break;
      case 'started':
        step.startedMs = event.time;
        step.status = 'running';
        if (event.time - writtenMs >= WRITE_MS) write({});
        break;
      case 'log':
        if (step.log === undefined) {
          step.log = openLogWriter(logFile(dir, number), secrets);
          step.hasLog = true;
          // Where the process is killed, the record says whose file it is.
          write({});
        }
        step.log.write(event.data);
        break;
      case 'explain':
        step.changes = event.changes.map((change) => redactCredentials(change, secrets));
        break;
      case 'cached':
        step.status = 'cached';
        break;
      case 'completed':
        step.endedMs = event.time;
        if (step.status === 'running')
          step.status =
            event.cancelled === true ? 'cancelled' : event.error === undefined ? 'done' : 'failed';
        step.log?.close();
        delete step.log;
        break;
      case 'status':
        break;
    }
  };

  return {
    id,
    event(event) {
      if (early !== undefined) early.push(event);
      else if (place !== undefined) {
        const { dir } = place;
        trying(() => record(event, dir));
      }
    },
    open(root) {
      trying(() => {
        place = { root, dir: createBuildDir(root, id) };
      });
      const waiting = early ?? [];
      early = undefined;
      for (const event of waiting) this.event(event);
      write({});
      return place?.dir;
    },
    wasBuilt(name) {
      trying(() => {
        if (place !== undefined) done ??= stepsDone(place.root, requestOf(options));
      });
      return done?.has(name) === true;
    },
    hide(secret) {
      const text = Buffer.from(secret).toString('utf8').trim();
      for (const part of [text, ...text.split('\n').map((line) => line.trim())])
        if (part.length >= 4 && !secrets.includes(part)) secrets.push(part);
    },
    end(outcome) {
      if (place === undefined) return;
      const { root } = place;
      for (const step of steps.values()) {
        step.log?.close();
        if (step.status === 'running') step.status = 'cancelled';
      }
      const ended = new Date().toISOString();
      if ('result' in outcome) {
        const { names, digest } = outcome.result;
        write({ status: 'done', ended, names, ...(digest === undefined ? {} : { digest }) });
      } else {
        const error = errorOf(outcome.error, secrets);
        write({ status: error.code === 'CANCELLED' ? 'cancelled' : 'failed', ended, error });
      }
      trying(() => sweepBuilds(root));
    },
  };
}

function trying(body: () => void): void {
  try {
    body();
  } catch {
    // The build goes on without its record.
  }
}

function requestOf(options: NormalOptions): PastRequest {
  const { context, dockerfile, targets, platforms, outputs, buildArgs, secrets, ssh } = options;
  const where =
    context.type === 'directory' ? context.dir : context.type === 'stdin' ? '-' : contextUrl(context);
  return {
    context: redactCredentials(where),
    ...(dockerfile === undefined ? {} : { dockerfile: redactCredentials(dockerfile) }),
    targets: targets.flatMap(({ stage }) => stage ?? []),
    platforms: platforms.map(formatPlatform),
    tags: targets.flatMap(({ names }) => names.map(({ familiar }) => familiar)),
    buildArgs: Object.keys(buildArgs ?? {}),
    secrets: Object.keys(secrets ?? {}),
    ssh: Object.keys(ssh ?? {}),
    outputs: outputs.map(({ type }) => type),
    noCache: options.noCache === true,
  };
}

function contextUrl(context: object): string {
  if ('url' in context) return String(context.url);
  return 'remote' in context ? String(context.remote) : '';
}

function errorOf(error: unknown, secrets: readonly string[]): PastError {
  if (!isOcibuildError(error))
    return { code: 'INTERNAL', message: redactCredentials(String(error), secrets) };
  const { code, message, source } = error;
  const line = source?.ranges[0]?.start.line;
  return {
    code,
    message: redactCredentials(message, secrets),
    ...(source === undefined ? {} : { file: source.file.name }),
    ...(line === undefined ? {} : { line }),
  };
}
