import { OcibuildError } from '../../errors/error.ts';
import type { ExitStatus } from '../../executor/types.ts';
import type { ExecOp } from '../../llb/ops.ts';
import type { ExecContext } from '../types.ts';

/** A command as a person would type it: shell form loses its `/bin/sh -c`. */
function commandOf(args: readonly string[]): string {
  const [shell, flag, text] = args;
  return args.length === 3 && flag === '-c' && shell?.endsWith('sh') ? (text ?? '') : args.join(' ');
}

const MAX_TITLE = 200;

/** A script may have thousands of lines; its first says which it is. */
function titleOf(command: string): string {
  const first = command.slice(0, MAX_TITLE).trimStart().split('\n', 1)[0] ?? '';
  return first === command ? command : `${first}…`;
}

/** The error of a RUN that did not end with 0. */
export function runError(
  op: ExecOp,
  status: ExitStatus,
  logTail: readonly string[],
  { meta }: ExecContext,
): OcibuildError {
  const command = commandOf(op.args);
  const what = `Cannot finish RUN ${titleOf(command)}`;
  const details = { exitCode: status.code, command, step: meta.name, signal: status.signal };
  if (status.oomKilled === true) {
    return new OcibuildError('RUN_SIGNALLED', `${what}: it was killed, out of memory`, {
      details: { ...details, oomKilled: true },
      logTail,
      hint: 'give the machine or its control group more memory, or run fewer steps at a time with `--jobs 1`',
    });
  }
  if (status.signal !== undefined) {
    return new OcibuildError('RUN_SIGNALLED', `${what}: killed by signal ${status.signal}`, {
      details,
      logTail,
    });
  }
  return new OcibuildError('RUN_EXIT_NONZERO', `${what}: exit code ${status.code}`, {
    details,
    logTail,
    hint: hintOf(status.code, logTail),
  });
}

function hintOf(code: number, logTail: readonly string[]): string {
  if (isForeign(logTail)) return FOREIGN_HINT;
  // As strerror(ENOSPC) has it, which programs pass on.
  if (logTail.some((line) => /no space left on device/i.test(line))) return FULL_HINT;
  return exitHint(code);
}

const FULL_HINT =
  'a disk is full: free space, choose another disk for the store with --root, or make the tmpfs mounts of the step larger';

const FOREIGN_HINT =
  'a program in the step is for another processor: install emulators with `sudo apt-get install qemu-user-static`, or make it for this one';

/** The kernel's words (ENOEXEC) as shells pass them on. */
function isForeign(logTail: readonly string[]): boolean {
  return logTail.some((line) => /exec format error/i.test(line));
}

/** What a shell's own exit codes mean. @see POSIX.1-2024 XCU 2.8.2 */
function exitHint(code: number): string {
  if (code === 127) return 'the command was not found: check its name and the PATH of the image';
  if (code === 126) return 'the command cannot be executed: check its mode, its `#!` line and its platform';
  return 'build again with `--progress plain` to see all that the step prints';
}
