import { PassThrough } from 'node:stream';
import type { WriteStream } from 'node:tty';
import { describe, expect, it } from 'vitest';
import { print } from '../../../src/cli/print.ts';

/** A stdout whose writes end with an error of that code, or with none. */
function stdoutOf(code: string | undefined, isTTY = false): WriteStream {
  const stream = new PassThrough();
  const error = code === undefined ? null : Object.assign(new Error(code), { code });
  stream.on('error', () => {});
  Object.assign(stream, {
    isTTY,
    _write: (_: unknown, __: unknown, done: (error: unknown) => void) => done(error),
  });
  return stream as unknown as WriteStream;
}

describe('print', () => {
  it.each([[undefined], ['EPIPE'], ['ERR_STREAM_DESTROYED']])(
    'print() gives 0 when a write ends with %s',
    async (code) => {
      expect(await print('text', { stdout: stdoutOf(code) })).toBe(0);
    },
  );

  it.each([
    ['ENOSPC', 'DISK_FULL'],
    ['EDQUOT', 'DISK_FULL'],
    ['EIO', 'EXPORT_FAILED'],
  ])('print() fails when stdout is a file and a write ends with %s', async (errno, code) => {
    await expect(print('text', { stdout: stdoutOf(errno) })).rejects.toMatchObject({ code });
    expect(await print('', { stdout: stdoutOf(errno) })).toBe(0);
  });

  it('print() gives 0 when the terminal has gone', async () => {
    expect(await print('text', { stdout: stdoutOf('EIO', true) })).toBe(0);
  });
});
