import { type ChildProcess, execFile } from 'node:child_process';
import { readText } from '../util/read-text.ts';
import { globalArgs, type Runtime } from './runtime.ts';

export interface StartedRuntime {
  readonly child: ChildProcess;
  readonly pidFile: string;
  /** Of the container. */
  readonly id: string;
  readonly runtime: Runtime;
  readonly stateDir: string;
}

const POLL_MS = 5;

/**
 * Calls `onRunning` with the pid of the container's first process once its program runs. The pid file comes with the
 * state "created"; the runtime itself is asked whether it has gone on. Gives a function that ends the watch.
 */
export function watchStart(started: StartedRuntime, onRunning: (pid: number) => void): () => void {
  const { child, pidFile, id, runtime, stateDir } = started;
  let timer: NodeJS.Timeout | undefined;
  let isOver = false;
  const again = (look: () => void): void => {
    if (!isOver) timer = setTimeout(look, POLL_MS);
  };
  const look = (): void => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const pid = Number(readText(pidFile) ?? 0);
    if (!(pid > 1)) {
      again(look);
      return;
    }
    execFile(runtime.path, [...globalArgs(runtime, { stateDir }), 'state', id], (error, stdout) => {
      if (isOver) return;
      if (error === null && statusOf(stdout) === 'running') onRunning(pid);
      else again(look);
    });
  };
  look();
  return () => {
    isOver = true;
    clearTimeout(timer);
  };
}

/** @see runtime-spec runtime.md §State */
function statusOf(state: string): unknown {
  try {
    return (JSON.parse(state) as { status?: unknown }).status;
  } catch {
    return undefined;
  }
}
