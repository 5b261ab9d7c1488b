import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { expect, it } from 'vitest';
import { ask } from '../../../src/cli/ask.ts';
import type { CliContext } from '../../../src/cli/types.ts';

async function typed(keys: string, hidden = false): Promise<{ answer: unknown; shown: string }> {
  const [stdin, stderr] = [new PassThrough(), new PassThrough()];
  const context = { stdin, stderr, signal: new AbortController().signal } as unknown as CliContext;
  const answered = ask('Go on? ', context, { hidden }).catch((error: unknown) => error);
  stdin.write(keys);
  const answer = await answered;
  stderr.end();
  return { answer, shown: await text(stderr) };
}

it('ask() gives the line that is typed, and does not show what is hidden', async () => {
  const plain = await typed(' yes \r');
  expect(plain.answer).toBe('yes');
  expect(plain.shown).toContain('yes');
  const hidden = await typed('secret\r', true);
  expect(hidden.answer).toBe('secret');
  expect(hidden.shown).toContain('Go on? ');
  expect(hidden.shown).not.toContain('secret');
});

it('ask() gives nothing at Ctrl-D and is cancelled at Ctrl-C, each on a line of its own', async () => {
  expect(await typed('\x04')).toMatchObject({ answer: '', shown: expect.stringMatching(/\n$/) });
  expect(await typed('\x03')).toMatchObject({
    answer: { code: 'CANCELLED' },
    shown: expect.stringMatching(/\n$/),
  });
});
