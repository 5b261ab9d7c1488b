import { execFile, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { cgroupDirs, killCgroups, removeCgroups } from './cgroup.ts';
import { findRuntime, globalArgs, type Runtime } from './runtime.ts';

/** Watches over this process's containers from a process of its own. */
export interface Reaper {
  watch(id: string): void;
  /** The runtime process of a container that `watch` was told of. */
  started(id: string, pid: number): void;
  /** Ends it, or leaves it to its work where a bundle is still there. */
  end(): Promise<void>;
}

export interface ReaperOptions {
  readonly runtime: Runtime;
  readonly runDir: string;
  readonly stateDir: string;
}

/**
 * Reads `ID:` and `ID:PID` lines until we are gone, however that happens, then ends what has a bundle left. It runs in
 * the host's mount namespace, where a bundle has nothing mounted, so that `rm -r` can reach no root. The state of a
 * container that was being made appears late: hence the rounds.
 */
const SCRIPT = `
run=$1; shift
seen=
while read -r token; do seen="$seen $token"; done
for round in 1 2 3 4; do
  left=
  for token in $seen; do
    id=\${token%%:*} pid=\${token#*:}
    [ -d "$run/$id" ] || continue
    left=1
    [ -z "$pid" ] || kill -9 "$pid" 2>/dev/null
    init=; { read -r init || [ -n "$init" ]; } 2>/dev/null <"$run/$id/pid"
    [ -z "$init" ] || kill -9 "$init" 2>/dev/null
    for procs in $(find /sys/fs/cgroup -path "*/ocibuild/$id/*cgroup.procs" 2>/dev/null); do
      while read -r p; do kill -9 "$p" 2>/dev/null; done <"$procs"
    done
    "$@" delete --force "$id" >/dev/null 2>&1
  done
  [ -n "$left" ] || exit 0
  [ "$round" = 4 ] || sleep 0.2
done
for token in $seen; do
  id=\${token%%:*}
  [ -d "$run/$id" ] || continue
  find /sys/fs/cgroup -depth -type d -path "*/ocibuild/$id*" -exec rmdir {} \\; 2>/dev/null
  rm -rf "$run/$id"
done
`;

/** Starts the reaper: one sleeping shell, in a session of its own so that a signal to our group spares it. */
export function startReaper(options: ReaperOptions): Reaper {
  const command = [options.runtime.path, ...globalArgs(options.runtime, options)];
  const child = spawn('/bin/sh', ['-c', SCRIPT, 'ocibuild-reaper', options.runDir, ...command], {
    cwd: '/',
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  // Without a shell there is no reaper; the sweep of the next start does its work.
  child.on('error', () => undefined);
  // There is none where no file can be opened any more.
  const stdin = child.stdin as (typeof child.stdin & { unref?: () => void }) | undefined;
  stdin?.on('error', () => undefined);
  child.unref();
  stdin?.unref?.();
  const gone = new Promise<void>((done) => child.once('exit', () => done()));
  const watched = new Set<string>();
  return {
    watch(id) {
      watched.add(id);
      stdin?.write(`${id}:\n`);
    },
    started: (id, pid) => void stdin?.write(`${id}:${pid}\n`),
    async end() {
      if ([...watched].some((id) => existsSync(join(options.runDir, id)))) return void stdin?.end();
      // With nothing to do it need not outlive us, not even for the moment that a shell takes to end.
      child.ref();
      if (child.kill('SIGKILL')) await gone;
    },
  };
}

/** A bundle that a dead process left. */
export interface StaleContainer {
  readonly id: string;
  /** Its bundle directory. */
  readonly dir: string;
}

export interface SweepOptions {
  /** As in `ExecutorOptions`. */
  readonly runtime?: string;
  readonly searchPath?: string;
  readonly stateDir: string;
}

const SWEEP_TRIES = 20;

/**
 * Ends what dead processes left: kills the processes, deletes the runtime's state and the cgroups, removes the
 * bundles. Containers without a runtime to ask are ended by their cgroups. Safe to call twice at once.
 */
export async function sweepContainers(
  entries: readonly StaleContainer[],
  options: SweepOptions,
): Promise<void> {
  for (const { id, dir } of entries) {
    for (let tries = 0; killCgroups(cgroupDirs(id)) && tries < SWEEP_TRIES; tries++) await sleep(10);
    await deleteState(id, options);
    removeCgroups(cgroupDirs(id));
    // Nothing is mounted here: mounts were private to the process that is gone.
    await rm(dir, { recursive: true, force: true });
  }
}

async function deleteState(id: string, options: SweepOptions): Promise<void> {
  try {
    const runtime = findRuntime(options.runtime, options.searchPath);
    await promisify(execFile)(runtime.path, [...globalArgs(runtime, options), 'delete', '--force', id]);
  } catch {
    // The runtime knows no such container, or there is no runtime: then there is no state to delete either.
  }
}
