import type { IncomingMessage } from 'node:http';
import { PassThrough } from 'node:stream';
import { expect, test } from 'vitest';
import { readBody } from '../../../src/http/body.ts';

const tooLong = (): Error => new RangeError('too long');

function bodyOf(...chunks: readonly string[]): IncomingMessage {
  const body = new PassThrough();
  for (const chunk of chunks) body.write(chunk);
  return body as unknown as IncomingMessage;
}

test('readBody() gives all bytes when the body ends', async () => {
  const body = bodyOf('one ', 'two');
  (body as unknown as PassThrough).end();
  const bytes = await readBody({ body, timeoutMs: 60_000 }, { maxBytes: 7, tooLong });
  expect(bytes.toString()).toBe('one two');
});

test('readBody() gives up when no bytes come any more', async () => {
  const body = bodyOf('half of');
  await expect(readBody({ body, timeoutMs: 10 }, { maxBytes: 100, tooLong })).rejects.toMatchObject({
    code: 'ETIMEDOUT',
    message: 'no bytes within 10 ms',
  });
  expect(body.destroyed).toBe(true);
});

test('readBody() stops reading when there is more than it takes', async () => {
  const body = bodyOf('12345');
  await expect(readBody({ body, timeoutMs: 60_000 }, { maxBytes: 4, tooLong })).rejects.toThrow('too long');
  expect(body.destroyed).toBe(true);
});
