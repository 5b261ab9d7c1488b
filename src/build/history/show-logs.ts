import { closeSync, openSync, readSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { OcibuildError } from '../../errors/error.ts';
import { isStep } from './find-step.ts';
import { maskBytes } from './mask-bytes.ts';
import { findBuild, logFile, readBuild, type StoredBuild } from './past-builds.ts';
import type { PastStep } from './types.ts';

export interface ShowLogsOptions {
  /** Number of the step (`5`, `#5`), its stage, `STAGE/N`, or a part of its name. Default: all steps that said something. */
  readonly step?: string;
  /** Only the last so many lines of each step. */
  readonly tail?: number;
  /** Go on until the build ends. */
  readonly follow: boolean;
  readonly signal: AbortSignal;
  write(data: Uint8Array): void;
}

const POLL_MS = 100;
const CHUNK = 1024 * 1024;

/**
 * Shows what the steps of a build printed, each under a line with its number and name, unless one step was asked for.
 * @throws BUILD_NOT_FOUND, BUILD_STEP_NOT_FOUND
 */
export async function showBuildLogs(root: string, wanted: string, options: ShowLogsOptions): Promise<void> {
  const first = findBuild(root, wanted);
  const { id } = first.build;
  if (!options.follow) return showAll(first, options);
  /** By number: how far each file was shown. */
  const shown = new Map<number, number>();
  let last: number | undefined;
  for (;;) {
    const now = readBuild(root, id) ?? first;
    const isOver = now.build.status !== 'running';
    for (const step of chosen(now, options.step, isOver)) {
      const from = shown.get(step.number) ?? 0;
      const bytes = readFrom(logFile(now.dir, step.number), from);
      shown.set(step.number, from + bytes.length);
      if (bytes.length === 0) continue;
      if (last !== step.number && options.step === undefined) options.write(Buffer.from(titleOf(step)));
      last = step.number;
      options.write(maskBytes(bytes));
    }
    if (isOver || options.signal.aborted) return;
    await sleep(POLL_MS);
  }
}

function showAll(stored: StoredBuild, { step: wanted, tail, write }: ShowLogsOptions): void {
  const steps = chosen(stored, wanted, true);
  const isOne = wanted !== undefined && steps.length === 1;
  for (const step of steps) {
    if (!isOne) write(Buffer.from(titleOf(step)));
    const file = logFile(stored.dir, step.number);
    let endsLine = true;
    const put = (bytes: Uint8Array): void => {
      if (bytes.length > 0) endsLine = bytes.at(-1) === 10;
      write(maskBytes(bytes));
    };
    if (step.hasLog && tail !== undefined) put(lastLines(readFrom(file, 0, Number.POSITIVE_INFINITY), tail));
    else if (step.hasLog) for (const part of partsOf(file)) put(part);
    if (!isOne && !endsLine) write(Buffer.from('\n'));
  }
}

function chosen({ build }: StoredBuild, wanted: string | undefined, mustExist: boolean): readonly PastStep[] {
  if (wanted === undefined) return build.steps.filter(({ hasLog, status }) => hasLog || status === 'failed');
  const numbered = /^#?(\d+)$/.exec(wanted)?.[1];
  const byNumber = build.steps.filter(({ number }) => number === Number(numbered));
  if (byNumber.length > 0) return byNumber;
  const named = build.steps.filter(({ name }) => isStep(name, wanted));
  if (named.length > 0) return named;
  const containing = build.steps.filter(({ name }) => name.toLowerCase().includes(wanted.toLowerCase()));
  if (containing.length > 0 || !mustExist) return containing;
  throw new OcibuildError(
    'BUILD_STEP_NOT_FOUND',
    `Cannot find the step "${wanted}" of the build ${build.id}: none has that number, stage or name`,
    { hint: `its steps: ${build.steps.map(({ number, name }) => `#${number} ${name}`).join(', ')}` },
  );
}

function titleOf({ number, name, status }: PastStep): string {
  return `#${number} ${name}${status === 'done' || status === 'running' ? '' : ` (${status})`}\n`;
}

/** Whole lines where it can be, so that a mask finds what it looks for. */
function* partsOf(file: string): Generator<Uint8Array> {
  for (let from = 0; ; ) {
    const bytes = readFrom(file, from);
    if (bytes.length === 0) return;
    const end = bytes.length < CHUNK ? bytes.length : bytes.lastIndexOf(10) + 1 || bytes.length;
    yield bytes.subarray(0, end);
    from += end;
  }
}

function readFrom(file: string, from: number, limit: number = CHUNK): Buffer {
  const parts: Buffer[] = [];
  let fd: number;
  try {
    fd = openSync(file, 'r');
  } catch {
    // Nothing was printed yet.
    return Buffer.alloc(0);
  }
  try {
    for (let at = from; at - from < limit; ) {
      const part = Buffer.allocUnsafe(CHUNK);
      const count = readSync(fd, part, 0, CHUNK, at);
      if (count === 0) break;
      parts.push(part.subarray(0, count));
      at += count;
    }
  } finally {
    closeSync(fd);
  }
  return Buffer.concat(parts);
}

function lastLines(bytes: Buffer, count: number): Buffer {
  let at = bytes.length - (bytes.at(-1) === 10 ? 1 : 0);
  for (let left = count; left > 0 && at >= 0; left--) at = at === 0 ? -1 : bytes.lastIndexOf(10, at - 1);
  return count === 0 ? bytes.subarray(bytes.length) : bytes.subarray(at + 1);
}
