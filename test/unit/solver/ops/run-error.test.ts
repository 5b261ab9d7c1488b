import { describe, expect, it } from 'vitest';
import type { ExitStatus } from '../../../../src/executor/types.ts';
import type { ExecOp } from '../../../../src/llb/ops.ts';
import { missingCommand, missingCommandHint } from '../../../../src/solver/ops/missing-command.ts';
import { runError } from '../../../../src/solver/ops/run-error.ts';

const OP: ExecOp = {
  kind: 'exec',
  rootfs: 0,
  args: ['/bin/sh', '-c', 'make all'],
  env: [],
  cwd: '/',
  user: '',
  network: 'default',
  security: 'sandbox',
  mounts: [],
};

function errorOf(status: ExitStatus, logTail: readonly string[] = []) {
  return runError(OP, { status, logTail, hasFile: () => false }, { meta: { name: '[1/1] RUN make all' } });
}

describe('runError()', () => {
  it.each([
    [127, '/bin/sh: /run.sh: not found'],
    [1, 'exec /run.sh: no such file or directory'],
  ])('thinks of the interpreter of a script that is not found: %i, %s', (code, line) => {
    expect(errorOf({ code }, [line]).hint).toMatch(
      /"\/run\.sh" is not in the image, or the interpreter.*CRLF/,
    );
  });

  it('calls a heredoc as its step is called', () => {
    const op = { ...OP, args: ['/bin/sh', '-c', 'set -e\nls /none\n'] };
    const failed = { status: { code: 1 }, logTail: [], hasFile: () => false };
    const named = (name: string): string => runError(op, failed, { meta: { name } }).message;
    expect(named('[1/1] RUN <<EOF (set -e...)')).toBe('Cannot finish RUN <<EOF (set -e...): exit code 1');
    expect(named('[1/1] RUN set -e')).toBe('Cannot finish RUN set -e…: exit code 1');
  });

  it('names the exit code, and the way into the step', () => {
    const { code, message, hint } = errorOf({ code: 2 });
    expect({ code, message }).toEqual({
      code: 'RUN_EXIT_NONZERO',
      message: 'Cannot finish RUN make all: exit code 2',
    });
    expect(hint).toMatch(/`ocibuild debug`.*logs --build latest/);
  });

  it.each([
    [9, 'SIGKILL', /dmesg/],
    [11, 'SIGSEGV', /`ocibuild debug`/],
    [15, 'SIGTERM', /`ocibuild debug`/],
  ])('calls signal %i by its name', (signal, name, hint) => {
    const error = errorOf({ code: 128 + signal, signal });
    expect(error.message).toBe(`Cannot finish RUN make all: killed by ${name} (exit code ${128 + signal})`);
    expect(error.hint).toMatch(hint);
    expect(error.details).toMatchObject({ signal, signalName: name });
  });

  it('says that memory ran out when the kernel counted it', () => {
    expect(errorOf({ code: 137, signal: 9, oomKilled: true }).message).toMatch(/out of memory$/);
  });

  it('names the limit of memory that was reached', () => {
    const memoryLimit = { bytes: 400 * 1024 ** 2, cgroup: '/ci/job' };
    const { code, message, hint, details } = errorOf({ code: 137, signal: 9, oomKilled: true, memoryLimit });
    expect(code).toBe('RUN_SIGNALLED');
    expect(message).toBe(
      'Cannot finish RUN make all: it was killed, out of memory: the limit of the control group "/ci/job" is 400 MiB',
    );
    expect(hint).toMatch(/raise the limit/);
    expect(details).toMatchObject({ oomKilled: true, memoryLimit });
  });

  it('keeps the exit code of a shell that outlived a child without memory', () => {
    const { code, message } = errorOf({ code: 3, oomKilled: true });
    expect(code).toBe('RUN_EXIT_NONZERO');
    expect(message).toMatch(/exit code 3, after a process of it was killed, out of memory$/);
  });

  it('says that a disk is full when the step says so, and marks it', () => {
    const error = errorOf({ code: 1 }, ['cp: write error: No space left on device']);
    expect(error.hint).toMatch(/^a disk is full/);
    expect(error.details.diskFull).toBe(true);
  });

  it('says that a program is foreign when the kernel refuses it', () => {
    expect(errorOf({ code: 126 }, ['/bin/sh: ./tool: Exec format error']).hint).toMatch(/another processor/);
  });
});

describe('missingCommand()', () => {
  it.each([
    ['/bin/sh: curl: not found'],
    ['/bin/sh: 1: curl: not found'],
    ['/bin/bash: line 1: curl: command not found'],
    ['./build.sh: line 12: curl: command not found'],
    ['zsh:1: command not found: curl'],
  ])('reads "%s"', (line) => {
    expect(missingCommand(['before', line, 'after'])).toBe('curl');
  });

  it('is undefined when nothing was missing', () => {
    expect(missingCommand(['page not found', 'error: file: not there'])).toBeUndefined();
  });
});

describe('missingCommandHint()', () => {
  it.each([
    ['sbin/apk', 'RUN apk add --no-cache curl'],
    ['usr/bin/apt-get', 'RUN apt-get update && apt-get install -y curl'],
    ['usr/bin/dnf', 'RUN dnf install -y curl'],
  ])('names the package when the image has %s', (manager, line) => {
    expect(missingCommandHint('curl', (path) => path === manager)).toContain(`\`${line}\``);
  });

  it('names no package when it is not certain which', () => {
    expect(missingCommandHint('gcc-13', (path) => path === 'sbin/apk')).toBe(
      'the image has no program "gcc-13" on its PATH: install what it is in, or check its name',
    );
    expect(missingCommandHint('curl', () => false)).not.toContain('RUN');
  });
});
