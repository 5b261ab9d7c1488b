import { describe, expect, it } from 'vitest';
import { bunzip2 } from '../../../../src/layer/compression/bunzip2.ts';

/** Made by bzip2 1.0.8, in base64. */
const HELLOS = Buffer.from('QlpoOTFBWSZTWZ5iW/4AAAKRAEAAAkSgACEUYGaCke8jRwu5IpwoSE8xLf8A', 'base64');
const MILLION_ZEROS = Buffer.from(
  'QlpoOTFBWSZTWXnTnkgAB6jAQMAAAAIACCAAMMwJqmmVJDapSQ8XckU4UJB5055I',
  'base64',
);

async function unpack(bytes: Buffer, chunkSize = bytes.length): Promise<Buffer> {
  const source = async function* (): AsyncGenerator<Buffer> {
    for (let at = 0; at < bytes.length; at += chunkSize) yield bytes.subarray(at, at + chunkSize);
  };
  const parts: Buffer[] = [];
  for await (const part of bunzip2(source())) parts.push(part);
  return Buffer.concat(parts);
}

describe('bunzip2()', () => {
  it.each([1, 7, 1000])('gives the text when it comes in pieces of %i bytes', async (size) => {
    expect((await unpack(HELLOS, size)).toString()).toBe('hello hello hello');
  });

  it('expands long runs', async () => {
    const zeros = await unpack(MILLION_ZEROS);
    expect(zeros.length).toBe(1_000_000);
    expect(zeros.every((byte) => byte === 0)).toBe(true);
  });

  it('reads one stream after the other and ignores what follows', async () => {
    const two = Buffer.concat([HELLOS, HELLOS, Buffer.from('garbage')]);
    expect((await unpack(two)).toString()).toBe('hello hello hellohello hello hello');
  });

  it.each<[string, Buffer]>([
    ['it is cut', HELLOS.subarray(0, 30)],
    ['it is something else', Buffer.from('no bzip2 at all')],
    ['a checksum is wrong', Buffer.from(HELLOS.with(11, 0))],
    ['its end has another checksum', Buffer.from(HELLOS.with(HELLOS.length - 4, 0))],
    ['it names no block size', Buffer.from(HELLOS.with(3, 0x30))],
  ])('throws LAYER_INVALID when %s', async (_, bytes) => {
    await expect(unpack(bytes)).rejects.toMatchObject({ code: 'LAYER_INVALID' });
  });

  it('never throws anything untyped when bytes are damaged', async () => {
    for (let at = 4; at < HELLOS.length; at++) {
      for (const bit of [1, 16, 128]) {
        const damaged = Buffer.from(HELLOS.with(at, (HELLOS[at] as number) ^ bit));
        const error: unknown = await unpack(damaged).then(
          () => undefined,
          (reason: unknown) => reason,
        );
        if (error !== undefined) expect(error).toMatchObject({ code: 'LAYER_INVALID' });
      }
    }
  });
});
