import type { Readable } from 'node:stream';
import type { OutputPart } from './protocol.ts';

/** Gathers a step's output into few messages. */
export interface OutputBatcher {
  attach(stream: OutputPart['stream'], source: Readable): void;
  /** The writer has ended: what its pipes still hold is bounded, and read whether the reader takes it or not. */
  readRest(): void;
  /** The reader is done with so many bytes. */
  taken(bytes: number): void;
  /** Sends what is held. */
  flush(): void;
  /** Forgets what is held of a stream. */
  drop(stream: OutputPart['stream']): void;
}

/** Ten milliseconds are not seen on a screen and turn 10,000 lines a second into 100 messages. */
const FLUSH_MS = 10;
const FLUSH_BYTES = 256 * 1024;
/** Above it the pipes are not read, so that a step that writes faster than we do waits. */
const MAX_UNTAKEN_BYTES = 4 * 1024 * 1024;
const END_POLL_MS = 100;

/**
 * @param hasFailed asked before the first words are sent: those of a runtime that could not start are not the step's
 * @param hasEnded asked while the pipes are not read: runc stands between a program and them, and ends only when they
 * have taken all of it
 */
export function createOutputBatcher(
  send: (parts: readonly OutputPart[]) => void,
  hasFailed: () => boolean,
  hasEnded?: () => boolean,
): OutputBatcher {
  const sources: Readable[] = [];
  let held: OutputPart[] = [];
  let heldBytes = 0;
  let untaken = 0;
  let timer: NodeJS.Timeout | undefined;
  let begun = false;
  let isRest = false;
  let endTimer: NodeJS.Timeout | undefined;

  const flush = (): void => {
    clearTimeout(timer);
    timer = undefined;
    if (held.length === 0) return;
    begun = true;
    const parts = mergeParts(held);
    held = [];
    untaken += heldBytes;
    heldBytes = 0;
    send(parts);
    if (untaken <= MAX_UNTAKEN_BYTES || isRest) return;
    for (const source of sources) source.pause();
    awaitEnd();
  };

  const awaitEnd = (): void => {
    clearTimeout(endTimer);
    if (hasEnded !== undefined)
      endTimer = setTimeout(() => (hasEnded() ? readRest() : awaitEnd()), END_POLL_MS);
  };

  const resume = (): void => {
    clearTimeout(endTimer);
    for (const source of sources) source.resume();
  };

  const readRest = (): void => {
    isRest = true;
    resume();
  };

  const flushSoon = (): void => {
    timer = undefined;
    if (begun || !hasFailed()) flush();
  };

  return {
    attach(stream, source) {
      sources.push(source);
      source.on('data', (data: Buffer) => {
        held.push({ stream, data });
        heldBytes += data.length;
        if (heldBytes >= FLUSH_BYTES) flush();
        else timer ??= setTimeout(flushSoon, FLUSH_MS);
      });
    },
    readRest,
    taken(bytes) {
      untaken -= bytes;
      if (untaken <= MAX_UNTAKEN_BYTES / 2) resume();
    },
    flush,
    drop(stream) {
      held = held.filter((part) => part.stream !== stream);
      heldBytes = held.reduce((sum, part) => sum + part.data.length, 0);
    },
  };
}

/** Joins neighbours of one stream into arrays with buffers of their own, which can be handed to another thread. */
function mergeParts(parts: readonly OutputPart[]): OutputPart[] {
  const merged: OutputPart[] = [];
  for (let start = 0; start < parts.length; ) {
    const stream = parts[start]?.stream ?? 'stdout';
    let end = start;
    let bytes = 0;
    for (; parts[end]?.stream === stream; end++) bytes += parts[end]?.data.length ?? 0;
    const data = new Uint8Array(bytes);
    let offset = 0;
    for (const part of parts.slice(start, end)) {
      data.set(part.data, offset);
      offset += part.data.length;
    }
    merged.push({ stream, data });
    start = end;
  }
  return merged;
}
