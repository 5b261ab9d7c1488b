import { spawn } from 'node:child_process';
import { existsSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { OcibuildError } from '../errors/error.ts';
import { hostPlatform } from '../image/platform.ts';
import { SYS, sys } from '../layer/sys.ts';
import { type BinfmtHandler, handles, readHandlers } from './binfmt.ts';
import {
  architectureOf,
  foreignArchitectures,
  isDynamic,
  isNative,
  OWN_PREFIX,
  readHead,
  registerLine,
} from './elf.ts';
import { findProgram, SYSTEM_FOLDERS } from './find-program.ts';
import { programOf } from './program.ts';
import type { ProcessSpec } from './types.ts';

/** Runs programs of other architectures. Never registers anything for the machine: only for a user namespace that
 * ends with this process. */
export interface Emulation {
  /**
   * Sees to it that the program of a step can start in `root`. Gives the words to put before the runtime's command
   * line: the runtime must then work as in a user namespace.
   * @throws EMULATOR_MISSING
   */
  prepare(root: string, spec: Pick<ProcessSpec, 'args' | 'env' | 'cwd'>): readonly string[] | undefined;
}

export interface EmulationOptions {
  /** This process is in a user namespace of its own already. */
  readonly rootless: boolean;
  /** PATH, for emulators and tools. */
  readonly searchPath: string;
}

/** In every mount namespace that this file mounts it in, it is there, and seen by nobody else. */
const BINFMT_DIR = '/proc/sys/fs/binfmt_misc';
/** Every id but the last, which is none: where all are mapped, runc takes the namespace for the machine's own. */
const WHOLE_MAP = '0 0 4294967294\n';
const POLL_MS = 5;
const TIMEOUT_MS = 10_000;

/**
 * Runs in the new user namespace. Waits until its ids are mapped, becomes root of it by exec, registers what it is
 * given and stays until its stdin closes: with its mount the handlers would go.
 */
const HOLD_NAMESPACE = `
until read -r _ </proc/self/uid_map; do sleep 0.005 2>/dev/null || sleep 1; done
exec unshare -m /bin/sh -c '
mount -t binfmt_misc none ${BINFMT_DIR} || exit 1
for line; do printf %s "$line" >${BINFMT_DIR}/register || exit 1; done
read -r _
' "$@"
`;

/** Lazy: nothing is looked at before the first step, and little for programs of this machine. */
export function createEmulation(options: EmulationOptions): Emulation {
  const native = hostPlatform().architecture;
  let known: readonly BinfmtHandler[] | undefined;
  /** What the namespace that was made can run, and how it is entered. */
  let own: OwnHandlers | undefined;

  const isHandled = (handlers: readonly BinfmtHandler[], head: Buffer, root: string): boolean =>
    handlers.some(
      (handler) => handles(handler, head) && (handler.isFixed || existsSync(join(root, handler.interpreter))),
    );

  return {
    prepare(root, spec) {
      const program = programOf(root, spec);
      const architecture = program === undefined ? undefined : architectureOf(program.head);
      if (program === undefined || architecture === undefined || isNative(architecture, native))
        return undefined;
      known ??= systemHandlers(options);
      if (isHandled(known, program.head, root)) return undefined;
      const emulators = findEmulators(native, options.searchPath);
      const fault = (why: string, hint: string, cause?: unknown): OcibuildError =>
        new OcibuildError(
          'EMULATOR_MISSING',
          `Cannot run "${program.path}": it is a program for ${architecture}, this machine is ${native} and ${why}`,
          { hint, details: { architecture, native, path: program.path }, cause },
        );
      if (!emulators.some((emulator) => emulator.architecture === architecture)) {
        throw fault('has no emulator for it', 'sudo apt-get install qemu-user-static');
      }
      try {
        own ??= registerOwn(emulators, options);
      } catch (cause) {
        throw fault(
          'the emulator could not be registered in a user namespace, which takes Linux 6.7',
          'register it for the whole machine: sudo systemctl restart systemd-binfmt',
          cause,
        );
      }
      if (isHandled(own.handlers, program.head, root)) return own.enter;
      throw fault('its emulator was not accepted by the kernel', 'sudo systemctl restart systemd-binfmt');
    },
  };
}

interface Emulator {
  readonly architecture: string;
  readonly qemu: string;
  readonly path: string;
}

/** The handlers of the machine. Those that a user namespace does not see could be there, but it may not look. */
function systemHandlers({ rootless }: EmulationOptions): BinfmtHandler[] {
  if (!existsSync(join(BINFMT_DIR, 'register')) && !rootless) {
    try {
      mountBinfmt();
    } catch {
      // A kernel without it has no handlers.
    }
  }
  return readHandlers(BINFMT_DIR);
}

/** For the user namespace of this thread: as root the machine's own table, otherwise a new one that hides it. */
function mountBinfmt(): void {
  sys().mount({ source: 'none', target: BINFMT_DIR, type: 'binfmt_misc', flags: SYS.MS_NOSUID });
}

/** Emulators on PATH that need nothing of the root they work in. */
function findEmulators(native: string, searchPath: string): Emulator[] {
  return foreignArchitectures(native).flatMap(({ architecture, qemu }): Emulator[] => {
    const path = [`qemu-${qemu}-static`, `qemu-${qemu}`]
      .flatMap((name) => findProgram(name, searchPath) ?? [])
      .find((each) => !isDynamic(readHead(each)));
    return path === undefined ? [] : [{ architecture, qemu, path }];
  });
}

interface OwnHandlers {
  readonly handlers: readonly BinfmtHandler[];
  /** How a command gets into the namespace that has them. */
  readonly enter?: readonly string[];
}

function registerOwn(
  emulators: readonly Emulator[],
  { rootless, searchPath }: EmulationOptions,
): OwnHandlers {
  const lines = emulators.map((emulator) => registerLine(emulator, emulator.path));
  if (!rootless) return holdNamespace(lines, searchPath);
  mountBinfmt();
  for (const line of lines) writeFileSync(join(BINFMT_DIR, 'register'), line);
  return { handlers: readHandlers(BINFMT_DIR) };
}

/** Makes a user namespace with every id and the handlers in it, for as long as this process lives. */
function holdNamespace(lines: readonly string[], searchPath: string): OwnHandlers {
  const [unshare, nsenter] = ['unshare', 'nsenter'].map((name) => findProgram(name, searchPath));
  if (unshare === undefined || nsenter === undefined)
    throw new Error('unshare and nsenter are not installed');
  const outside = readlinkSync('/proc/self/ns/user');
  const child = spawn(unshare, ['-U', '/bin/sh', '-c', HOLD_NAMESPACE, 'ocibuild', 'ocibuild', ...lines], {
    stdio: ['pipe', 'ignore', 'ignore'],
    env: { PATH: SYSTEM_FOLDERS.join(':') },
  });
  child.on('error', () => undefined);
  // The kernel closes the pipe at our end, and with it the namespace ends.
  child.unref();
  const { pid } = child;
  if (pid === undefined) throw new Error(`"${unshare}" could not be started`);
  const namespace = `/proc/${pid}/ns/user`;
  // Root of a process: its mounts as it sees them.
  const dir = `/proc/${pid}/root${BINFMT_DIR}`;
  const count = (): number => readHandlers(dir).filter(({ name }) => name.startsWith(OWN_PREFIX)).length;
  try {
    waitFor(pid, () => readlinkSync(namespace) !== outside);
    writeFileSync(`/proc/${pid}/uid_map`, WHOLE_MAP);
    writeFileSync(`/proc/${pid}/gid_map`, WHOLE_MAP);
    waitFor(pid, () => count() === lines.length);
  } catch (error) {
    // It would wait for its ids as long as we live, and each step makes another.
    child.kill('SIGKILL');
    throw error;
  }
  return { handlers: readHandlers(dir), enter: [nsenter, `--user=${namespace}`] };
}

/** Blocks: this thread has nothing else to do while the step is being started. */
function waitFor(pid: number, test: () => boolean): void {
  const cell = new Int32Array(new SharedArrayBuffer(4));
  for (let waited = 0; !test(); waited += POLL_MS) {
    const hasEnded = /^State:\s*Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
    if (hasEnded || waited >= TIMEOUT_MS)
      throw new Error('no table of handlers can be had in a user namespace');
    Atomics.wait(cell, 0, 0, POLL_MS);
  }
}
