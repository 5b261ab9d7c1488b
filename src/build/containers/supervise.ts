import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { openStore } from '../../cache/store-root.ts';
import { isOcibuildError, OcibuildError } from '../../errors/error.ts';
import { createRuncExecutor, defaultStateDir } from '../../executor/runc.ts';
import { findRuntime } from '../../executor/runtime.ts';
import type {
  ContainerNetwork,
  ContainerSettings,
  DeviceEdits,
  ExitStatus,
  ProcessSpec,
  RunningContainer,
} from '../../executor/types.ts';
import { currentOwner, startTimeOf } from '../../util/owner.ts';
import { inUserNamespace } from '../engine.ts';
import { CONTAINER_FILES } from './create.ts';
import { devicesOf } from './devices.ts';
import { createLogWriter, type LogStream } from './log-file.ts';
import { removeRecord, writeState } from './records.ts';
import type { Container, ContainerReach, ContainerState } from './types.ts';

export interface SuperviseOptions {
  readonly root: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly terminal: ContainerSettings['terminal'];
  readonly stdin: ContainerSettings['stdin'];
  /** Kills the container. */
  readonly signal: AbortSignal;
  onOutput?(stream: LogStream, data: Uint8Array): void | Promise<void>;
  onRunning?(reach: ContainerReach): void;
  onWarnings?(warnings: readonly string[]): void;
}

const KILLED = 137;

/**
 * Runs a container from its start to its end in this process, which holds its mounts, its network and its log, and
 * writes down what becomes of it. Nothing is left of a container with `remove`.
 * @throws what the runtime says against its start; CANCELLED when it was killed through `signal`
 */
export async function supervise(
  { plan, dir }: Pick<Container, 'plan' | 'dir'>,
  options: SuperviseOptions,
): Promise<ExitStatus> {
  const store = await openStore(options.root);
  const bundle = store.bundle();
  const rootless = inUserNamespace();
  const stateDir = defaultStateDir(store.runDir, rootless);
  const searchPath = options.env.PATH ?? '';
  let state: ContainerState = { status: 'created', monitor: currentOwner() };
  const change = (more: Partial<ContainerState>): void => {
    state = { ...state, ...more };
    writeState(dir, state);
  };
  const executor = createRuncExecutor({
    ...(plan.runtime === undefined ? {} : { runtime: plan.runtime }),
    ...{ runDir: store.runDir, rootless, searchPath, stateDir },
  });
  const log = options.terminal === 'inherit' ? undefined : openLog(join(dir, CONTAINER_FILES.log));
  let network: ContainerNetwork | undefined;
  const onRunning = (running: RunningContainer): void => {
    const reach: ContainerReach = {
      ...running,
      ...{
        runtimeId: bundle.id,
        bundle: bundle.dir,
        stateDir,
        runtime: findRuntime(plan.runtime, searchPath),
      },
      pidStart: startTimeOf(running.pid) ?? '0',
    };
    change({ status: 'running', started: new Date().toISOString(), reach });
    options.onRunning?.(reach);
  };
  try {
    change({});
    // The thread starts while the network is made.
    executor.prepare();
    network = await openNetwork({ plan, dir }, { ...options, rootless });
    options.onWarnings?.(network.warnings);
    const { mode, ports, address } = network;
    change({ network: mode, ports, ...(address === undefined ? {} : { address }) });
    const devices = plan.devices === undefined ? undefined : await devicesOf(plan.devices, { rootless });
    const how = { ...options, id: bundle.id, network, ...(devices === undefined ? {} : { devices }) };
    const status = await executor.run(specOf({ plan, dir }, how), {
      signal: options.signal,
      onOutput(stream, data) {
        log?.write(stream, data);
        return options.onOutput?.(stream, data);
      },
      onRunning,
    });
    const { code: exitCode, oomKilled, memoryLimit } = status;
    change({
      exitCode,
      ...(oomKilled === undefined ? {} : { oomKilled }),
      ...(memoryLimit === undefined ? {} : { memoryLimit }),
    });
    return status;
  } catch (error) {
    const isKilled = isOcibuildError(error) && error.code === 'CANCELLED';
    change(
      isKilled ? { exitCode: KILLED } : { error: error instanceof Error ? error.message : String(error) },
    );
    throw error;
  } finally {
    try {
      await network?.close();
    } finally {
      await executor.close();
      log?.close();
      const { reach: _, ...rest } = state;
      state = rest;
      change({ status: 'stopped', finished: new Date().toISOString() });
      if (plan.remove) removeRecord(options.root, { plan, dir });
    }
  }
}

/** Given words replace the lines that begin with them. @see resolv.conf(5) */
export function withDns(resolvConf: string, lines: readonly string[]): string {
  const words = new Set(lines.map((line) => line.split(' ', 1)[0]));
  const kept = resolvConf
    .split('\n')
    .filter((line) => line !== '' && !words.has(line.trim().split(/\s/, 1)[0]));
  return [...kept, ...lines, ''].join('\n');
}

/** A full disk ends the log and not the container. */
function openLog(file: string): ReturnType<typeof createLogWriter> {
  const writer = createLogWriter(file);
  let isFull = false;
  return {
    write(stream, data) {
      if (isFull) return;
      try {
        writer.write(stream, data);
      } catch {
        isFull = true;
      }
    },
    close: writer.close,
  };
}

function specOf(
  { plan, dir }: Pick<Container, 'plan' | 'dir'>,
  how: Pick<SuperviseOptions, 'terminal' | 'stdin'> & {
    readonly id: string;
    readonly network: ContainerNetwork;
    readonly devices?: DeviceEdits;
  },
): ProcessSpec {
  const { lower, args, env, cwd, user, mounts, hostname, ulimits, shmSize } = plan;
  const { network, id, terminal, stdin, devices } = how;
  const extraHosts = plan.extraHosts.map((entry) => withGateway(entry, network));
  const { upper, work } = CONTAINER_FILES;
  return {
    ...{ id, args, env, cwd, user, mounts, hostname, extraHosts, ulimits },
    ...(shmSize === undefined ? {} : { shmSize }),
    ...(devices === undefined ? {} : { devices }),
    rootfs: { lower, upper: join(dir, upper), work: join(dir, work) },
    network: network.mode === 'host' ? 'host' : 'none',
    security: plan.privileged ? 'insecure' : 'sandbox',
    container: {
      stdin,
      ...(terminal === undefined ? {} : { terminal }),
      readonlyRoot: plan.readonlyRoot,
      annotations: plan.annotations,
      addCapabilities: plan.addCapabilities,
      dropCapabilities: plan.dropCapabilities,
      limits: plan.limits,
      ...(plan.extras === undefined ? {} : { extras: plan.extras }),
      ...(network.namespacePath === undefined ? {} : { networkNamespace: network.namespacePath }),
      ...(network.address === undefined ? {} : { address: network.address }),
      ...(network.mode === 'host' && plan.dns === undefined
        ? {}
        : { resolvConf: withDns(network.resolvConf, plan.dns ?? []) }),
    },
  };
}

/** @throws NETWORK_UNAVAILABLE where the container cannot reach this machine */
function withGateway(entry: string, { mode, gateway }: ContainerNetwork): string {
  if (!/:host-gateway$/.test(entry)) return entry;
  if (gateway !== undefined) return entry.replace(/host-gateway$/, gateway);
  throw new OcibuildError(
    'NETWORK_UNAVAILABLE',
    `Cannot use --add-host "${entry}": the network "${mode}" does not lead to this machine`,
    { hint: 'use --network host, or as root --network bridge' },
  );
}

async function openNetwork(
  { plan, dir }: Pick<Container, 'plan' | 'dir'>,
  { env, rootless, signal }: Pick<SuperviseOptions, 'env' | 'signal'> & { readonly rootless: boolean },
): Promise<ContainerNetwork> {
  const { createContainerNetwork } = await import('../../executor/container-network.ts');
  const stateDir = join(dir, CONTAINER_FILES.network);
  mkdirSync(stateDir, { mode: 0o700 });
  return createContainerNetwork({
    id: plan.id,
    ...(plan.network === undefined ? {} : { mode: plan.network }),
    ports: plan.ports,
    ...{ rootless, env, stateDir, signal },
  });
}
