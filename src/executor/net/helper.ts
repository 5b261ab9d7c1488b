import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, closeSync, constants, openSync } from 'node:fs';
import { OcibuildError } from '../../errors/error.ts';
import { findProgram } from '../find-program.ts';

/** A process that moves the packets of a namespace, and that ends with this one. */
export interface NetHelper {
  /** Ends with it whatever it started. */
  readonly pid: number;
  /** Idempotent. */
  close(): Promise<void>;
}

/** How a program is started on a namespace. */
export interface HelperCommand {
  readonly name: string;
  readonly command: readonly string[];
  /** The descriptor on which it writes when it is ready. */
  readonly readyFd: number;
  /** Descriptors that are open as long as we live: the program ends when they are closed. */
  readonly lifelines: readonly number[];
}

const TUN = '/dev/net/tun';
const READY_MS = 10_000;
const MESSAGE_LIMIT = 8192;

/**
 * The path of a program that attaches a TUN device to a namespace.
 * @throws NETWORK_UNAVAILABLE where it is not installed, or where the device may not be opened
 */
export function findTapProgram(name: string, debianPackage: string, searchPath: string): string {
  const path = findProgram(name, searchPath);
  if (path === undefined) {
    throw new OcibuildError('NETWORK_UNAVAILABLE', `Cannot use the network "${name}": it is not installed`, {
      hint: `sudo apt-get install ${debianPackage}`,
    });
  }
  try {
    accessSync(TUN, constants.R_OK | constants.W_OK);
  } catch (cause) {
    throw new OcibuildError(
      'NETWORK_UNAVAILABLE',
      `Cannot use the network "${name}": this user may not open ${TUN}`,
      { cause, hint: `sudo chmod 0666 ${TUN}` },
    );
  }
  return path;
}

/**
 * Starts a program with the namespace as its stdin, and waits until it is ready. As an open file it reaches programs
 * that gave up the capabilities with which they could have opened it by path.
 * @throws NETWORK_FAILED with what the program says
 */
export async function startHelper(
  { name, command, readyFd, lifelines }: HelperCommand,
  namespacePath: string,
): Promise<NetHelper> {
  const namespace = openSync(namespacePath, 'r');
  let child: ChildProcess;
  try {
    const last = Math.max(readyFd, ...lifelines);
    const extra = Array.from({ length: last - 2 }, () => 'pipe' as const);
    const [file = '', ...args] = command;
    // A session of its own: Ctrl-C ends the container first.
    child = spawn(file, args, { cwd: '/', detached: true, stdio: [namespace, 'ignore', 'pipe', ...extra] });
  } finally {
    closeSync(namespace);
  }
  const ended = new Promise<void>((done) => {
    child.once('exit', () => done());
    child.once('error', () => done());
  });
  let said = '';
  child.stderr?.on('data', (data: Buffer) => {
    said = (said + data.toString()).slice(-MESSAGE_LIMIT);
  });
  for (const pipe of child.stdio) pipe?.on('error', () => undefined);
  const close = async (): Promise<void> => {
    child.ref();
    for (const fd of lifelines) child.stdio[fd]?.destroy();
    await ended;
  };
  const ready = child.stdio[readyFd];
  const timeout = AbortSignal.timeout(READY_MS);
  const isReady = await Promise.race([
    ready === null || ready === undefined
      ? ended.then(() => false)
      : once(ready, 'data', { signal: timeout }).then(() => true),
    ended.then(() => false),
  ]).catch(() => false);
  if (!isReady || child.pid === undefined) {
    child.kill('SIGKILL');
    await close();
    const lines = said.split('\n').filter((line) => line.trim() !== '' && !line.includes('to syslog'));
    const reason =
      lines.at(-1)?.trim() ?? (timeout.aborted ? 'it did not get ready' : 'it could not be started');
    throw new OcibuildError('NETWORK_FAILED', `Cannot set up the network: ${name}: ${reason}`, {
      logTail: lines.slice(-10),
    });
  }
  // Nothing of it keeps this process alive; the container does.
  child.unref();
  for (const pipe of child.stdio) (pipe as { unref?: () => void } | null)?.unref?.();
  return { pid: child.pid, close };
}
