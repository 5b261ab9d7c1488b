import { PassThrough } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { createOutputBatcher } from '../../../src/executor/output.ts';
import type { OutputPart } from '../../../src/executor/protocol.ts';

const text = (parts: readonly OutputPart[]) =>
  parts.map(({ stream, data }) => `${stream}:${Buffer.from(data)}`);

describe('createOutputBatcher', () => {
  it('flush() joins neighbours and keeps the order when both streams are written', async () => {
    // On a busy machine its own flush would come in between.
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    onTestFinished(() => void vi.useRealTimers());
    const sent: string[][] = [];
    const [out, err] = [new PassThrough(), new PassThrough()];
    const batcher = createOutputBatcher(
      (parts) => sent.push(text(parts)),
      () => false,
    );
    batcher.attach('stdout', out);
    batcher.attach('stderr', err);
    for (const [stream, chunk] of [
      [out, 'a'],
      [out, 'b'],
      [err, 'c'],
      [out, 'd'],
    ] as const) {
      stream.write(chunk);
      await turn();
    }
    batcher.flush();
    batcher.flush();
    expect(sent).toEqual([['stdout:ab', 'stderr:c', 'stdout:d']]);
  });

  it('attach() stops reading when 4 MiB are not taken, and goes on when they are', async () => {
    let bytes = 0;
    const source = new PassThrough({ highWaterMark: 1 << 20 });
    const batcher = createOutputBatcher(
      (parts) => {
        bytes += parts.reduce((sum, part) => sum + part.data.length, 0);
      },
      () => false,
    );
    batcher.attach('stdout', source);
    for (let n = 0; n < 6; n++) {
      source.write(Buffer.alloc(1 << 20));
      await turn();
    }
    expect(bytes).toBe(5 << 20);
    expect(source.isPaused()).toBe(true);
    batcher.taken(bytes);
    await turn();
    batcher.flush();
    expect(bytes).toBe(6 << 20);
  });

  it('reads the rest, which nobody has taken, when the program has ended', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    onTestFinished(() => void vi.useRealTimers());
    let [bytes, hasEnded] = [0, false];
    const source = new PassThrough({ highWaterMark: 1 << 20 });
    const batcher = createOutputBatcher(
      (parts) => {
        bytes += parts.reduce((sum, part) => sum + part.data.length, 0);
      },
      () => false,
      () => hasEnded,
    );
    batcher.attach('stdout', source);
    for (let n = 0; n < 20; n++) {
      source.write(Buffer.alloc(1 << 20));
      await turn();
    }
    await vi.advanceTimersByTimeAsync(10_000);
    expect(bytes).toBe(5 << 20);
    hasEnded = true;
    await vi.advanceTimersByTimeAsync(1000);
    expect(bytes).toBe(20 << 20);
  });

  it('drop() forgets one stream when the runtime repeats itself there', async () => {
    const sent: string[][] = [];
    const [out, err] = [new PassThrough(), new PassThrough()];
    const batcher = createOutputBatcher(
      (parts) => sent.push(text(parts)),
      () => false,
    );
    batcher.attach('stdout', out);
    batcher.attach('stderr', err);
    out.write('keep');
    err.write('gone');
    await turn();
    batcher.drop('stderr');
    batcher.flush();
    expect(sent).toEqual([['stdout:keep']]);
  });

  it('holds the first words back for as long as the runtime says that it failed', async () => {
    vi.useFakeTimers();
    const sent: string[][] = [];
    const batcher = createOutputBatcher(
      (parts) => sent.push(text(parts)),
      () => true,
    );
    const err = new PassThrough();
    batcher.attach('stderr', err);
    err.write('cannot start');
    await vi.advanceTimersByTimeAsync(100);
    expect(sent).toEqual([]);
    batcher.drop('stderr');
    batcher.flush();
    expect(sent).toEqual([]);
    vi.useRealTimers();
  });
});
