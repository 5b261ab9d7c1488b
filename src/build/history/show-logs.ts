import { closeSync, openSync, readSync, statSync } from 'node:fs';
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
  /** What comes after waits for a promise. */
  write(data: Uint8Array): void | Promise<void>;
}

const POLL_MS = 100;
const CHUNK = 1024 * 1024;
const LINE_FEED = 10;

/**
 * Shows what the steps of a build printed, each under a line with its number and name, unless one step was asked for.
 * @throws BUILD_NOT_FOUND, BUILD_STEP_NOT_FOUND
 */
export async function showBuildLogs(root: string, wanted: string, options: ShowLogsOptions): Promise<void> {
  const { follow, signal, step: wantedStep, tail, write } = options;
  const first = findBuild(root, wanted);
  /** By number: how far each file was shown. */
  const shown = new Map<number, number>();
  const titled = new Set<number>();
  let last: number | undefined;
  let endsLine = true;
  const open = async (step: PastStep, hasTitle: boolean): Promise<void> => {
    if (last === step.number) return;
    if (hasTitle) await write(Buffer.from(`${endsLine ? '' : '\n'}${titleOf(step)}`));
    last = step.number;
    titled.add(last);
    endsLine = true;
  };
  for (;;) {
    const now = readBuild(root, first.build.id) ?? first;
    const isOver = !follow || now.build.status !== 'running';
    const steps = chosen(now, wantedStep, isOver);
    const hasTitles = wantedStep === undefined || steps.length > 1;
    for (const step of steps) {
      const file = logFile(now.dir, step.number);
      let at = shown.get(step.number) ?? (tail === undefined ? 0 : tailStart(file, tail));
      if (isOver && !titled.has(step.number)) await open(step, hasTitles);
      for (const part of partsOf(file, at, isOver)) {
        await open(step, hasTitles);
        await write(maskBytes(part));
        if (signal.aborted) return;
        endsLine = part.at(-1) === LINE_FEED;
        at += part.length;
      }
      shown.set(step.number, at);
    }
    if (isOver && hasTitles && !endsLine) await write(Buffer.from('\n'));
    if (isOver || signal.aborted) return;
    await sleep(POLL_MS);
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

/** What a file holds from there on, in whole lines, so that a mask finds what it looks for. A line that is longer than
 * a piece comes in several, and one without an end where no more is to come. */
function* partsOf(file: string, from: number, isOver: boolean): Generator<Uint8Array> {
  for (let at = from; ; ) {
    const piece = Buffer.allocUnsafe(CHUNK);
    const bytes = piece.subarray(0, readAt(file, piece, at));
    const lines = bytes.lastIndexOf(LINE_FEED) + 1;
    const end = lines === 0 && (isOver || bytes.length === CHUNK) ? bytes.length : lines;
    if (end === 0) return;
    yield bytes.subarray(0, end);
    at += end;
  }
}

/** Where the last so many lines begin. */
function tailStart(file: string, count: number): number {
  const piece = Buffer.allocUnsafe(CHUNK);
  const size = statSync(file, { throwIfNoEntry: false })?.size ?? 0;
  if (count === 0) return size;
  let left = count;
  for (let end = size; end > 0; ) {
    const start = Math.max(end - CHUNK, 0);
    const bytes = piece.subarray(0, Math.min(readAt(file, piece, start), end - start));
    for (
      let at = bytes.lastIndexOf(LINE_FEED);
      at >= 0;
      at = at === 0 ? -1 : bytes.lastIndexOf(LINE_FEED, at - 1)
    ) {
      // The line feed at the end begins no line.
      if (start + at + 1 < size && --left === 0) return start + at + 1;
    }
    end = start;
  }
  return 0;
}

/** Bytes that were read; none where nothing was printed yet. */
function readAt(file: string, into: Buffer, at: number): number {
  let fd: number;
  try {
    fd = openSync(file, 'r');
  } catch {
    return 0;
  }
  try {
    return readSync(fd, into, 0, into.length, at);
  } finally {
    closeSync(fd);
  }
}
