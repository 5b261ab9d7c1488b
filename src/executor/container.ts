import { type ChildProcess, execFile, type StdioOptions, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { OcibuildError } from '../errors/error.ts';
import { isAlive, type Owner, startTimeOf } from '../util/owner.ts';
import { readText } from '../util/read-text.ts';
import { cgroupDirs, killCgroups, removeCgroups } from './cgroup.ts';
import type { Emulation } from './emulation.ts';
import { SYSTEM_FOLDERS } from './find-program.ts';
import { hasCgroups, type Machine, specMachine } from './machine.ts';
import { oomEnd, oomKills } from './oom.ts';
import { createOutputBatcher, type OutputBatcher } from './output.ts';
import type { OutputPart, WorkerSetup } from './protocol.ts';
import { prepareRoot } from './rootfs.ts';
import { globalArgs, type Runtime, startFailure } from './runtime.ts';
import { runtimeSpec } from './spec.ts';
import { openTerminal, type Terminal } from './terminal.ts';
import type { ContainerSettings, ExitStatus, ProcessSpec } from './types.ts';
import { watchStart } from './watch-start.ts';

/** One step on its way. */
export interface Container {
  /** Settles after the container is dead, unmounted and its bundle is gone. */
  readonly done: Promise<ExitStatus>;
  /** SIGKILL; `done` then settles as always. */
  kill(): void;
  taken(bytes: number): void;
}

export interface ContainerDeps {
  readonly setup: WorkerSetup;
  readonly machine: Machine;
  readonly emulation: Emulation;
  onOutput(parts: readonly OutputPart[]): void;
  onStarted(pid: number): void;
  /** Pid of the container's first process, once its program runs. */
  onRunning(pid: number): void;
}

const KILL_RETRY_MS = 50;
/** After so many tries (7 s) the runtime itself is taken to hang, and is killed too. */
const KILL_TRIES = 140;
const DELETE_TIMEOUT_MS = 10_000;
const HIGHEST_SIGNAL = 64;

/** Mounts the root and starts the runtime; synchronous up to the spawn, in the thread that owns the mounts. */
export function startContainer(spec: ProcessSpec, deps: ContainerDeps): Container {
  const { setup } = deps;
  refuseLimits(spec, deps.machine);
  const bundle = join(setup.runDir, spec.id);
  const root = prepareRoot(spec, bundle, setup.rootless);
  const pidFile = join(bundle, 'pid');
  const log = join(bundle, 'log.json');
  // crun copies the config into its state.
  const isPrivate = root.configDir !== bundle && setup.runtime.flavour === 'crun';
  const stateDir = isPrivate ? join(root.configDir, 'state') : setup.stateDir;
  let child: ChildProcess;
  let terminal: Terminal | undefined;
  let { machine } = deps;
  const oomBefore = oomKills(machine.cgroups, machine.selfCgroup);
  try {
    const enter = deps.emulation.prepare(join(bundle, 'rootfs'), spec);
    if (enter !== undefined) machine = { ...machine, rootless: true };
    const config = runtimeSpec({
      process: spec,
      user: root.user,
      cwd: root.cwd,
      rootPath: join(bundle, 'rootfs'),
      mounts: root.mounts,
      machine: specMachine(machine, spec.id, {
        insecure: spec.security === 'insecure',
        allCapabilities: spec.container?.addCapabilities.includes('ALL') ?? false,
      }),
    });
    writeFileSync(join(root.configDir, 'config.json'), JSON.stringify(config), { mode: 0o600 });
    const args = [
      ...globalArgs(setup.runtime, { stateDir, log, noCgroups: !hasCgroups(machine) }),
      ...['run', '--bundle', root.configDir, '--pid-file', pidFile, spec.id],
    ];
    const [file = '', ...words] = [...(enter ?? []), setup.runtime.path, ...args];
    terminal = spec.container?.terminal === 'own' ? openTerminal() : undefined;
    child = spawn(file, words, {
      cwd: bundle,
      env: { PATH: SYSTEM_FOLDERS.join(':') },
      // A process group of its own: Ctrl-C on the terminal reaches us, and we cancel in order. A terminal that the
      // runtime works on itself needs it in our group, to be told of a new size.
      detached: spec.container?.terminal !== 'inherit',
      stdio: stdioOf(spec.container, terminal?.peer),
    });
  } catch (error) {
    terminal?.close();
    root.release(false);
    throw error;
  }
  terminal?.closePeer();
  if (child.pid !== undefined) deps.onStarted(child.pid);
  const output = createOutputBatcher(
    deps.onOutput,
    () => startFailure(readText(log) ?? '', spec.args) !== undefined,
    endOf(pidFile),
  );
  if (child.stdout) output.attach('stdout', child.stdout);
  if (child.stderr) output.attach('stderr', child.stderr);
  if (terminal !== undefined) output.attach('stdout', terminal.output);
  // The end of a container does not wait for a reader that has paused.
  child.once('exit', output.readRest);
  const killer = createKiller(child, pidFile);
  /** Ends what a runtime has left that was killed: it could not do so itself. */
  let ending: Promise<void> | undefined;
  child.once('exit', (_, signal) => {
    if (signal !== null) ending = endAbandoned({ id: spec.id, pidFile, runtime: setup.runtime, stateDir });
  });

  const stopWatch =
    spec.container === undefined
      ? undefined
      : watchStart({ child, pidFile, id: spec.id, runtime: setup.runtime, stateDir }, deps.onRunning);

  const done = (async (): Promise<ExitStatus> => {
    let becomesLayer = false;
    try {
      const code = await exitCode(child);
      stopWatch?.();
      await terminal?.ended;
      reportStartFailure({ code, log, spec, output });
      output.flush();
      const { cgroups: mode, selfCgroup } = machine;
      becomesLayer = code === 0 && spec.container === undefined;
      const kills = code === 0 ? 0 : oomKills(mode, selfCgroup) - oomBefore;
      const ownLimit = spec.container?.limits.memoryBytes;
      const oom = oomEnd({ id: spec.id, mode, selfCgroup, kills, ownLimit });
      const signal = code > 128 && code <= 128 + HIGHEST_SIGNAL ? code - 128 : undefined;
      return { code, ...(signal === undefined ? {} : { signal }), ...oom };
    } finally {
      killer.stop();
      stopWatch?.();
      terminal?.close();
      await ending;
      // crun leaves them when it cannot start.
      if (hasCgroups(machine)) removeCgroups(cgroupDirs(spec.id));
      root.release(becomesLayer);
    }
  })();
  return { done, kill: killer.kill, taken: output.taken };
}

function refuseLimits({ container }: ProcessSpec, machine: Machine): void {
  if (container?.extras?.hostPid === true && !hasCgroups(machine)) {
    // Only its cgroup tells which processes are its own when it is to end.
    throw new OcibuildError(
      'LIMIT_UNAVAILABLE',
      'Cannot show the container the processes of the host: it would have no cgroup of its own',
      { hint: 'run it as root, or without --pid' },
    );
  }
  if (hasCgroups(machine) || Object.keys(container?.limits ?? {}).length === 0) return;
  throw new OcibuildError(
    'LIMIT_UNAVAILABLE',
    `Cannot limit the resources of the container: ${machine.rootless ? 'a normal user has no cgroups here' : 'this machine has no cgroups'}`,
    { hint: machine.rootless ? 'run it as root, or without the limit' : 'run it without the limit' },
  );
}

function stdioOf(container: ContainerSettings | undefined, peer: number | undefined): StdioOptions {
  if (container === undefined) return ['ignore', 'pipe', 'pipe'];
  if (peer !== undefined) return [peer, peer, peer];
  // A pipe that nobody writes to and nobody closes.
  const stdin = { none: 'ignore', open: 'pipe', inherit: 'inherit' } as const;
  const output = container.terminal === 'inherit' ? 'inherit' : 'pipe';
  return [stdin[container.stdin], output, output];
}

/** Tells whether the first process of a container has ended, once its pid file is there. */
function endOf(pidFile: string): () => boolean {
  let init: Owner | undefined;
  return () => {
    const pid = Number(readText(pidFile) ?? 0);
    if (pid > 1) init ??= { pid, startTime: startTimeOf(pid) ?? '0' };
    return init !== undefined && !isAlive(init);
  };
}

/** Exit code of a child, 128 + n for a signal, after its pipes are read to the end. */
function exitCode(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once('error', (cause) =>
      reject(
        new OcibuildError(
          'RUNTIME_FAILED',
          `Cannot start the runtime "${child.spawnfile}": ${cause.message}`,
          { cause },
        ),
      ),
    );
    child.once('close', (code, signal) => resolve(code ?? 128 + (signal === 'SIGKILL' ? 9 : 15)));
  });
}

function reportStartFailure(run: {
  code: number;
  log: string;
  spec: ProcessSpec;
  output: OutputBatcher;
}): void {
  if (run.code === 0) return;
  const error = startFailure(readText(run.log) ?? '', run.spec.args);
  if (error === undefined) return;
  // runc prints the same words on stderr too.
  run.output.drop('stderr');
  run.output.flush();
  throw error;
}

interface Killer {
  kill(): void;
  stop(): void;
}

/**
 * Kills the container's init by its pid. The runtime writes the pid file only once the container runs, so it is tried
 * again until the runtime returns: killing the runtime instead would leave its state and its cgroups behind.
 */
function createKiller(child: ChildProcess, pidFile: string): Killer {
  let timer: NodeJS.Timeout | undefined;
  let tries = 0;
  const attempt = (): void => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    killInit(pidFile);
    if (++tries >= KILL_TRIES) {
      child.kill('SIGKILL');
      return;
    }
    timer = setTimeout(attempt, tries < 10 ? KILL_RETRY_MS / 10 : KILL_RETRY_MS);
  };
  return {
    kill: () => {
      if (timer === undefined && tries === 0) attempt();
    },
    stop: () => clearTimeout(timer),
  };
}

/** By its pid, by its cgroup and by what the runtime knows of it: a container that is being made has only some of them. */
async function endAbandoned(left: {
  readonly id: string;
  readonly pidFile: string;
  readonly runtime: Runtime;
  readonly stateDir: string;
}): Promise<void> {
  const { id, pidFile, runtime, stateDir } = left;
  killInit(pidFile);
  killCgroups(cgroupDirs(id));
  const args = [...globalArgs(runtime, { stateDir }), 'delete', '--force', id];
  await new Promise<void>((done) =>
    execFile(runtime.path, args, { timeout: DELETE_TIMEOUT_MS }, () => done()),
  );
}

function killInit(pidFile: string): void {
  const pid = Number(readText(pidFile) ?? 0);
  if (pid > 1) killQuietly(pid);
}

function killQuietly(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // Dead already.
  }
}
