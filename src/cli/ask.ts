import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';
import { OcibuildError } from '../errors/error.ts';
import type { CliContext } from './types.ts';

/**
 * A line that is typed on the terminal; nothing where the input is ended (Ctrl-D).
 * @throws CANCELLED at Ctrl-C, which a terminal that is read line by line gives as a character
 */
export async function ask(
  question: string,
  { stdin, stderr, signal }: CliContext,
  { hidden = false }: { readonly hidden?: boolean } = {},
): Promise<string> {
  let muted = false;
  let isAnswered = false;
  const output = new Writable({
    write(chunk, _encoding, done) {
      if (!muted) stderr.write(chunk as Buffer);
      done();
    },
  });
  const lines = createInterface({ input: stdin, output, terminal: true });
  try {
    return await new Promise<string>((done, fail) => {
      const cancel = (): void => fail(new OcibuildError('CANCELLED', 'Cannot go on: it was cancelled'));
      lines.once('SIGINT', cancel);
      signal.addEventListener('abort', cancel, { once: true });
      lines.once('close', () => done(''));
      lines.question(question, { signal }).then((answer) => {
        isAnswered = true;
        done(answer.trim());
      }, cancel);
      muted = hidden;
    });
  } finally {
    lines.close();
    // No key has ended the line that the question stands on.
    if (hidden || !isAnswered) stderr.write('\n');
  }
}
