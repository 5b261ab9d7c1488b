import { describe, expect, it } from 'vitest';
import { reportError } from '../../../src/cli/report.ts';
import { OcibuildError } from '../../../src/errors/error.ts';

function report(error: unknown): { readonly text: string; readonly code: number } {
  let text = '';
  const write = (more: string): void => {
    text += more;
  };
  const code = reportError(error, { write, signal: new AbortController().signal, debug: false });
  return { text, code };
}

describe('reportError()', () => {
  it.each([
    new Error('spawn /bin/sh EMFILE'),
    new OcibuildError('INTERNAL', 'Cannot run a step: it failed', {
      cause: new Error(", Unknown error: Too many open files '/run/x'"),
    }),
  ])('reportError() tells of the limit when a process may open no more files', (error) => {
    const { text, code } = report(error);
    expect(text).toContain('error[SYSCALL_FAILED]: Cannot continue: too many files are open\n');
    expect(text).toContain('hint: raise the limit with `ulimit -n 1024`\n');
    expect(code).toBe(3);
  });

  it('reportError() tells of a bug when an error is none of ours', () => {
    const { text, code } = report(new Error('it broke'));
    expect(text).toContain('error[INTERNAL]: Cannot continue: it broke\n');
    expect(code).toBe(70);
  });
});
