import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { OcibuildError } from '../../errors/error.ts';
import { parseDuration } from '../../util/go-duration.ts';
import { CONTAINER_FILES } from './create.ts';
import { createLogReader, type LogRecord, type LogStream, tailPosition } from './log-file.ts';
import { readContainer } from './records.ts';
import type { Container } from './types.ts';

export interface LogsOptions {
  /** Go on until the container ends. */
  readonly follow: boolean;
  /** The last so many lines. @default all */
  readonly tail?: number;
  /** Only what came at this time or later. */
  readonly since?: Date;
  readonly timestamps: boolean;
  readonly signal: AbortSignal;
  /** The next comes once a promise has settled. */
  write(stream: LogStream, data: Uint8Array): void | Promise<void>;
}

const POLL_MS = 50;

/** Shows what a container has printed. @throws USAGE_INVALID for `since` that is no time */
export async function showLogs(root: string, container: Container, options: LogsOptions): Promise<void> {
  const file = join(container.dir, CONTAINER_FILES.log);
  const isOver = (): boolean => {
    const { status } = readContainer(root, container.plan.id)?.state ?? { status: 'stopped' };
    return status === 'stopped';
  };
  while (!existsSync(file)) {
    if (isOver() || !options.follow || options.signal.aborted) return;
    await sleep(POLL_MS);
  }
  const { tail, signal, follow } = options;
  const reader = createLogReader(file, tail === undefined ? 0 : tailPosition(file, tail));
  const print = createPrinter(options);
  try {
    for (;;) {
      // Asked first: what was written before the end is then read.
      const last = !follow || isOver();
      for (let records = reader.read(); records.length > 0; records = reader.read()) {
        for (const record of records) {
          const wait = print(record);
          if (wait instanceof Promise) await wait;
        }
        if (signal.aborted) return;
      }
      if (last || signal.aborted) return;
      await sleep(POLL_MS);
    }
  } finally {
    reader.close();
  }
}

function createPrinter({
  since,
  timestamps,
  write,
}: LogsOptions): (record: LogRecord) => void | Promise<void> {
  const inLine: Record<LogStream, boolean> = { stdout: false, stderr: false };
  const from = since?.toISOString() ?? '';
  return ({ time, stream, text, ends }) => {
    if (time < from) return;
    const stamp = timestamps && !inLine[stream] ? `${time} ` : '';
    inLine[stream] = !ends;
    return write(stream, Buffer.concat([Buffer.from(stamp), text, Buffer.from(ends ? '\n' : '')]));
  };
}

/** A time (RFC 3339, or seconds since 1970), or how long ago: `90s`, `10m`, `1h30m`. @throws USAGE_INVALID */
export function parseSince(text: string, nowMs: number): Date {
  const isEpoch = /^\d+(?:\.\d+)?$/.test(text);
  const agoNs = isEpoch ? undefined : parseDuration(text);
  if (agoNs !== undefined) return new Date(nowMs - agoNs / 1e6);
  const date = new Date(isEpoch ? Number(text) * 1000 : text);
  if (!Number.isNaN(date.getTime())) return date;
  throw new OcibuildError('USAGE_INVALID', `Cannot use --since "${text}": expected a time, or how long ago`, {
    hint: 'for example --since 2026-01-31T10:00:00Z or --since 10m',
  });
}
