import { OcibuildError } from '../../errors/error.ts';
import type { ExitStatus } from '../../executor/types.ts';
import type { ExecOp } from '../../llb/ops.ts';
import { parseStepName } from '../../llb/step-name.ts';
import { memoryLimitWords } from '../../util/memory-limit.ts';
import { signalName } from '../../util/signal-name.ts';
import type { ExecContext } from '../types.ts';
import { missingCommand, missingCommandHint } from './missing-command.ts';

/** A command as a person would type it: shell form loses its `/bin/sh -c`. */
function commandOf(args: readonly string[]): string {
  const [shell, flag, text] = args;
  return args.length === 3 && flag === '-c' && shell?.endsWith('sh') ? (text ?? '') : args.join(' ');
}

const MAX_TITLE = 200;

/** A script may have thousands of lines; its first says which it is, and of a heredoc the name of the step. */
function titleOf(command: string, name: string): string {
  const [, heredoc] = /^RUN (.*<<.*)$/s.exec(parseStepName(name).text) ?? [];
  if (heredoc !== undefined && command.includes('\n')) return heredoc.slice(0, MAX_TITLE);
  const first = command.slice(0, MAX_TITLE).trimStart().split('\n', 1)[0] ?? '';
  return first === command ? command : `${first}…`;
}

/** What is known of a RUN that did not end with 0. */
export interface FailedRun {
  readonly status: ExitStatus;
  /** Its last lines. */
  readonly logTail: readonly string[];
  /** Whether its root had a file at a path. */
  readonly hasFile: (path: string) => boolean;
}

/** The error of a RUN that did not end with 0. */
export function runError(op: ExecOp, failed: FailedRun, { meta }: Pick<ExecContext, 'meta'>): OcibuildError {
  const { status, logTail } = failed;
  const command = commandOf(op.args);
  const what = `Cannot finish RUN ${titleOf(command, meta.name)}`;
  const details = { exitCode: status.code, command, step: meta.name, signal: status.signal };
  if (status.oomKilled === true) {
    const { memoryLimit: limit } = status;
    const because = limit === undefined ? 'out of memory' : `out of memory: ${memoryLimitWords(limit)}`;
    const more = {
      details: { ...details, oomKilled: true, ...(limit === undefined ? {} : { memoryLimit: limit }) },
      logTail,
      hint: limit === undefined ? MEMORY_HINT : LIMIT_HINT,
    };
    // A shell goes on after a child that was killed.
    return status.signal === SIGKILL
      ? new OcibuildError('RUN_SIGNALLED', `${what}: it was killed, ${because}`, more)
      : new OcibuildError(
          'RUN_EXIT_NONZERO',
          `${what}: exit code ${status.code}, after a process of it was killed, ${because}`,
          more,
        );
  }
  if (status.signal !== undefined) {
    const name = signalName(status.signal);
    return new OcibuildError('RUN_SIGNALLED', `${what}: killed by ${name} (exit code ${status.code})`, {
      details: { ...details, signalName: name },
      logTail,
      hint: name === 'SIGKILL' ? KILLED_HINT : STEP_INTO,
    });
  }
  const isFull = logTail.some((line) => FULL.test(line));
  return new OcibuildError('RUN_EXIT_NONZERO', `${what}: exit code ${status.code}`, {
    details: { ...details, ...(isFull ? { diskFull: true } : {}) },
    logTail,
    hint: isFull ? FULL_HINT : hintOf(failed),
  });
}

/** As strerror(ENOSPC) has it, which programs pass on. */
const FULL = /no space left on device/i;

const FULL_HINT =
  'a disk is full: free space (`ocibuild prune`), choose another disk for the store with --root, or make the tmpfs mounts of the step larger';

const SIGKILL = 9;

const MEMORY_HINT =
  'give the machine or its control group more memory, or run fewer steps at a time with `--jobs 1`';

const LIMIT_HINT =
  'raise the limit where it was set (`--memory` of a container around this, a service, a CI job), or run fewer steps at a time with `--jobs 1`';

const KILLED_HINT =
  'something outside of the step killed it, often for want of memory: `dmesg` says so; `--jobs 1` runs fewer steps at a time';

const STEP_INTO =
  '`ocibuild debug` opens a shell where it failed; `ocibuild logs --build latest` shows all that was printed';

const FOREIGN_HINT =
  'a program in the step is for another processor: install emulators with `sudo apt-get install qemu-user-static`, or make it for this one';

/** What a shell's own exit codes mean. @see POSIX.1-2024 XCU 2.8.2 */
function hintOf({ status: { code }, logTail, hasFile }: FailedRun): string {
  // The kernel's words (ENOEXEC) as shells pass them on.
  if (logTail.some((line) => /exec format error/i.test(line))) return FOREIGN_HINT;
  const started = logTail.map((line) => /^exec (\/\S+): no such file or directory$/.exec(line)?.[1]);
  const absent = started.find((path) => path !== undefined);
  if (absent !== undefined) return missingCommandHint(absent, hasFile);
  if (code === 127) return missingCommandHint(missingCommand(logTail), hasFile);
  if (code === 126) return 'the command cannot be executed: check its mode, its `#!` line and its platform';
  return STEP_INTO;
}
