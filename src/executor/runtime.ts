import { basename } from 'node:path';
import { OcibuildError } from '../errors/error.ts';
import { findProgram } from './find-program.ts';

/** An OCI runtime with runc's command line. */
export interface Runtime {
  /** Absolute. */
  readonly path: string;
  /**
   * crun differs in what it asks of the cgroup mounts, gVisor's runsc in that it wants a network stack of its own;
   * every other runtime is taken for runc.
   */
  readonly flavour: 'runc' | 'crun' | 'runsc';
}

const DEFAULT_RUNTIMES = ['runc', 'crun', 'youki'];

/**
 * Finds the runtime of a name or path; without one the first of runc, crun and youki. `searchPath` has the form
 * of PATH.
 * @throws RUNTIME_NOT_FOUND
 */
export function findRuntime(wanted: string | undefined, searchPath = ''): Runtime {
  for (const name of wanted === undefined ? DEFAULT_RUNTIMES : [wanted]) {
    const path = findProgram(name, searchPath);
    if (path !== undefined) return { path, flavour: flavourOf(basename(path)) };
  }
  const what =
    wanted === undefined ? 'none of runc, crun and youki is on PATH' : `"${wanted}" is not on PATH`;
  throw new OcibuildError('RUNTIME_NOT_FOUND', `Cannot find an OCI runtime: ${what}`, {
    hint: 'apt-get install runc',
    details: { runtime: wanted ?? DEFAULT_RUNTIMES },
  });
}

function flavourOf(name: string): Runtime['flavour'] {
  return (['crun', 'runsc'] as const).find((flavour) => name.startsWith(flavour)) ?? 'runc';
}

/** Options that stand before the runtime's sub-command. */
export function globalArgs(
  runtime: Runtime,
  options: { readonly stateDir: string; readonly log?: string; readonly noCgroups?: boolean },
): string[] {
  return [
    '--root',
    options.stateDir,
    ...(options.log === undefined ? [] : ['--log', options.log, '--log-format', 'json']),
    // The network namespace that it is given is right as it is; gVisor's own stack refuses newer kernels (6.x) here.
    ...(runtime.flavour === 'runsc' ? ['--network=host'] : []),
    // runc finds out by itself that it may not make cgroups; crun stops.
    ...(runtime.flavour === 'crun' && options.noCgroups === true ? ['--cgroup-manager', 'disabled'] : []),
  ];
}

/** The error of a step that the runtime could not start, from its log (one JSON object a line); undefined where
 * the log tells of no failed start. */
export function startFailure(log: string, args: readonly string[]): OcibuildError | undefined {
  const messages = log.split('\n').flatMap((line) => {
    try {
      const { level, msg } = JSON.parse(line) as { level?: unknown; msg?: unknown };
      return typeof msg === 'string' && (level === 'error' || level === 'fatal') ? [msg] : [];
    } catch {
      return [];
    }
  });
  const message = messages.at(-1);
  if (message === undefined) return undefined;
  const reason = message
    .replace(/^runc (run|create|start|exec) failed: /, '')
    .replace(/^(?:exec failed: )?unable to start container process: /, '');
  const details = { args, runtimeMessage: message };
  const command = args[0] ?? '';
  const refused =
    /executable file .*not found|no such file or directory|permission denied|is a directory|exec format error|operation not permitted/i;
  if (/chdir|cwd/.test(reason) && (refused.test(reason) || /not a directory/i.test(reason))) {
    const [, path, why] = /chdir to cwd \(("[^"]*")\) set in config\.json failed: (.*)/.exec(reason) ?? [];
    const what = path === undefined ? `: ${reason}` : ` ${path}: ${why}`;
    return new OcibuildError('RUN_CWD_INVALID', `Cannot enter the working directory${what}`, { details });
  }
  if (/\bexec(utable)?\b/.test(reason) && refused.test(reason)) {
    return new OcibuildError('RUN_START_FAILED', `Cannot start "${command}": ${reason}`, {
      details,
      hint: /exec format error/i.test(reason)
        ? 'it is no program for this machine: a script needs a `#!` line, a foreign program `sudo apt-get install qemu-user-static`'
        : 'check that the program and, for a script, its interpreter are in the image and executable',
    });
  }
  const [, place, parent = place] = READ_ONLY_PLACE.exec(reason) ?? [];
  if (parent !== undefined) {
    return new OcibuildError(
      'MOUNT_INVALID',
      `Cannot mount on "${parent}": it is missing in a read-only mount`,
      {
        details,
        hint: 'make that directory where the mount above it comes from, or mount that one with `rw`',
      },
    );
  }
  return new OcibuildError('RUNTIME_FAILED', `Cannot start the container: ${reason}`, { details });
}

/** As runc and as crun say it; the latter names the first directory that is missing. */
const READ_ONLY_PLACE =
  /(?:to rootfs at "([^"]+)".*: mk(?:dir|nod)(?:at)? .*|^mkdir `([^`]+)`): read-only file system$/i;
