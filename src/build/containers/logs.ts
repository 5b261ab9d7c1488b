import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { OcibuildError } from '../../errors/error.ts';
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
  write(stream: LogStream, data: Uint8Array): void;
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
      for (let records = reader.read(); records.length > 0; records = reader.read()) records.forEach(print);
      if (last || signal.aborted) return;
      await sleep(POLL_MS);
    }
  } finally {
    reader.close();
  }
}

function createPrinter({ since, timestamps, write }: LogsOptions): (record: LogRecord) => void {
  const inLine: Record<LogStream, boolean> = { stdout: false, stderr: false };
  const from = since?.toISOString() ?? '';
  return ({ time, stream, text, ends }) => {
    if (time < from) return;
    const stamp = timestamps && !inLine[stream] ? `${time} ` : '';
    write(stream, Buffer.concat([Buffer.from(stamp), text, Buffer.from(ends ? '\n' : '')]));
    inLine[stream] = !ends;
  };
}

const UNITS_SEC: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600 };

/** A time (RFC 3339, or seconds since 1970), or how long ago: `90s`, `10m`, `1h30m`. @throws USAGE_INVALID */
export function parseSince(text: string, nowMs: number): Date {
  if (/^(?:\d+(?:\.\d+)?[smh])+$/.test(text)) {
    const parts = [...text.matchAll(/(\d+(?:\.\d+)?)([smh])/g)];
    const seconds = parts.reduce(
      (sum, [, count, unit = 's']) => sum + Number(count) * (UNITS_SEC[unit] ?? 1),
      0,
    );
    return new Date(nowMs - seconds * 1000);
  }
  const date = new Date(/^\d+(?:\.\d+)?$/.test(text) ? Number(text) * 1000 : text);
  if (!Number.isNaN(date.getTime())) return date;
  throw new OcibuildError('USAGE_INVALID', `Cannot use --since "${text}": expected a time, or how long ago`, {
    hint: 'for example --since 2026-01-31T10:00:00Z or --since 10m',
  });
}
