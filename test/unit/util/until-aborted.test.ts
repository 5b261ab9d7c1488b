import { PassThrough, Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { untilAborted } from '../../../src/util/until-aborted.ts';

async function* oneThenNothing(): AsyncGenerator<string> {
  yield 'one';
  await new Promise(() => {});
}

async function all(stream: AsyncIterable<string>): Promise<string[]> {
  const chunks: string[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

describe('untilAborted()', () => {
  it('gives every chunk', async () => {
    const { signal } = new AbortController();
    const seen = await all(untilAborted(Readable.from(['a', 'b']), signal));
    expect(seen).toEqual(['a', 'b']);
  });

  it.each([
    ['a generator', oneThenNothing],
    ['a stream', () => Readable.from(oneThenNothing())],
  ])('throws CANCELLED while %s says nothing', async (_, make) => {
    const controller = new AbortController();
    const seen: string[] = [];
    const reading = (async () => {
      for await (const chunk of untilAborted<string>(make(), controller.signal)) {
        seen.push(chunk);
        setTimeout(() => controller.abort(), 10);
      }
    })();
    await expect(reading).rejects.toMatchObject({ code: 'CANCELLED' });
    expect(seen).toEqual(['one']);
  });

  it('throws what the stream throws', async () => {
    const stream = new PassThrough();
    stream.destroy(new Error('gone'));
    const reading = all(untilAborted(stream, new AbortController().signal));
    await expect(reading).rejects.toThrow('gone');
  });

  it('destroys a stream that nobody reads to its end', async () => {
    const stream = new PassThrough();
    stream.write('a');
    for await (const _ of untilAborted(stream, new AbortController().signal)) break;
    expect(stream.destroyed).toBe(true);
  });
});
