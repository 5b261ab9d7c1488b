import { isOcibuildError, OcibuildError, throwIfAborted } from '../errors/error.ts';
import { once } from '../util/once.ts';
import { currentOwner, isAlive, startTimeOf } from '../util/owner.ts';
import { readText } from '../util/read-text.ts';
import { attachToBridge, detachFromBridge, findBridge } from './net/bridge.ts';
import { addressOf } from './net/cni.ts';
import { type NetNamespace, openNetNamespace } from './net/namespace.ts';
import { findPasta, PASTA_DNS, startPasta } from './net/pasta.ts';
import { findSlirp4netns, SLIRP_ADDRESS, SLIRP_DNS, startSlirp4netns } from './net/slirp4netns.ts';
import { networkRecords } from './net/state.ts';
import { resolvConf } from './network.ts';
import type { ContainerNetwork, ContainerNetworkMode, ContainerNetworkRequest } from './types.ts';

const VALID_ID = /^[A-Za-z0-9][A-Za-z0-9_.+-]{0,127}$/;

/**
 * Makes the network of a container, ready before the container starts. Ports of the host are held from here on. Without
 * a mode the best that works is taken; where none does, the container is alone with its published ports, and
 * `warnings` says so.
 * @throws PORT_IN_USE, PORT_UNAVAILABLE, NETWORK_UNAVAILABLE, NETWORK_FAILED, CANCELLED
 */
export async function createContainerNetwork(request: ContainerNetworkRequest): Promise<ContainerNetwork> {
  const { id, mode, rootless, signal } = request;
  if (!VALID_ID.test(id)) throw new RangeError(`Cannot use "${id}" as the id of a network`);
  throwIfAborted(signal);
  if (mode !== undefined) return open(mode, request);
  const modes = rootless
    ? (['pasta', 'slirp4netns'] as const)
    : (['bridge', 'pasta', 'slirp4netns'] as const);
  const reasons: OcibuildError[] = [];
  for (const candidate of modes) {
    try {
      if (candidate === 'bridge') await requireNat(request);
      return await open(candidate, request);
    } catch (error) {
      const canGoOn =
        isOcibuildError(error) && ['NETWORK_UNAVAILABLE', 'NETWORK_FAILED'].includes(error.code);
      if (!canGoOn) throw error;
      reasons.push(error);
    }
  }
  const network = await open('none', request);
  const [first] = reasons;
  const hint = first?.hint === undefined ? '' : ` (${first.hint})`;
  const why = `The container cannot reach the network: ${first?.message ?? ''}${hint}`;
  return { ...network, warnings: [why, ...network.warnings] };
}

/**
 * Ends what processes left that were killed: addresses, rules, links and helpers of their containers' networks.
 * Harmless beside running ones, and when it is called twice at once.
 */
export async function sweepContainerNetwork(stateDir: string): Promise<void> {
  const records = networkRecords(stateDir);
  for (const { id, bridge, helper } of records.stale()) {
    // An error leaves the record for the next sweep.
    try {
      if (helper !== undefined && isAlive(helper)) process.kill(helper.pid, 'SIGKILL');
      if (bridge !== undefined) await detachFromBridge(bridge, undefined);
      records.remove(id);
    } catch {}
  }
}

function open(mode: ContainerNetworkMode, request: ContainerNetworkRequest): Promise<ContainerNetwork> {
  switch (mode) {
    case 'host':
      return Promise.resolve(hostNetwork(request));
    case 'none':
      return openNone(request);
    case 'bridge':
      return openBridge(request);
    case 'pasta':
      return openPasta(request);
    case 'slirp4netns':
      return openSlirp(request);
  }
}

function hostNetwork({ ports }: ContainerNetworkRequest): ContainerNetwork {
  return {
    mode: 'host',
    namespacePath: undefined,
    gateway: '127.0.0.1',
    resolvConf: resolvConf('host', readText),
    ports: [],
    warnings: ports.length === 0 ? [] : ['Published ports mean nothing in the network of the host'],
    close: () => Promise.resolve(),
  };
}

/** Nothing but loopback: what listens there, or everywhere, is reached by published ports. */
async function openNone({ ports }: ContainerNetworkRequest): Promise<ContainerNetwork> {
  const namespace = await openNetNamespace({ ports, forward: ['tcp', 'udp'] });
  return {
    mode: 'none',
    namespacePath: namespace.path,
    resolvConf: resolvConf('none', readText),
    ports: namespace.ports,
    warnings: [],
    close: () => namespace.close(),
  };
}

/** Rules lead packets to the container where the kernel can; the port is held, and forwarded for the rest. */
async function openBridge(request: ContainerNetworkRequest): Promise<ContainerNetwork> {
  const { id, env, signal, rootless } = request;
  if (rootless) {
    throw new OcibuildError('NETWORK_UNAVAILABLE', 'Cannot use the network "bridge" without root', {
      hint: 'without --network the best is taken that works without root',
    });
  }
  const means = await findBridge(env);
  const records = networkRecords(request.stateDir);
  const owner = currentOwner();
  const namespace = await openNetNamespace({ ports: request.ports, forward: ['tcp', 'udp'] });
  try {
    const attachment = await attachToBridge(
      {
        ...{ id, env, signal },
        namespacePath: namespace.path,
        ports: namespace.ports,
        onAttaching: (bridge) => records.write({ id, owner, bridge }),
      },
      means,
    );
    records.write({ id, owner, bridge: attachment });
    const address = addressOf(attachment.result);
    if (address !== undefined) namespace.forwardTo(address);
    const gateway = attachment.result.ips?.find((ip) => ip.gateway !== undefined)?.gateway;
    return {
      mode: 'bridge',
      namespacePath: namespace.path,
      ...(address === undefined ? {} : { address }),
      ...(gateway === undefined ? {} : { gateway }),
      resolvConf: resolvConf('none', readText),
      ports: namespace.ports,
      warnings: means.nat
        ? []
        : ['The container reaches this machine only: iptables is missing or does not work here'],
      close: once(async () => {
        try {
          await detachFromBridge(attachment, namespace.path);
          records.remove(id);
        } finally {
          await namespace.close();
        }
      }),
    };
  } catch (error) {
    records.remove(id);
    await namespace.close();
    throw error;
  }
}

async function openPasta(request: ContainerNetworkRequest): Promise<ContainerNetwork> {
  const { id, stateDir } = request;
  const searchPath = request.env.PATH ?? '';
  findPasta(searchPath);
  // Pasta takes the TCP ports itself, for it keeps the addresses of those who connect; here they are only tried.
  // Its UDP lost answers to other ports and to IPv6 (2023_03_09, Debian 12).
  const namespace = await openNetNamespace({ ports: request.ports, forward: ['udp'] });
  return withHelper(request, namespace, {
    start: () =>
      startPasta({ id, searchPath, dir: stateDir, namespacePath: namespace.path, ports: namespace.ports }),
    facts: { mode: 'pasta', resolvConf: withNameserver(PASTA_DNS) },
  });
}

async function openSlirp(request: ContainerNetworkRequest): Promise<ContainerNetwork> {
  const searchPath = request.env.PATH ?? '';
  findSlirp4netns(searchPath);
  const namespace = await openNetNamespace({ ports: request.ports, forward: ['tcp', 'udp'] });
  return withHelper(request, namespace, {
    async start() {
      const helper = await startSlirp4netns(namespace.path, searchPath);
      namespace.forwardTo(SLIRP_ADDRESS);
      return helper;
    },
    facts: { mode: 'slirp4netns', address: SLIRP_ADDRESS, resolvConf: withNameserver(SLIRP_DNS) },
  });
}

interface HelperNetwork {
  start(): ReturnType<typeof startPasta>;
  readonly facts: Pick<ContainerNetwork, 'mode' | 'address' | 'resolvConf'>;
}

async function withHelper(
  { id, stateDir }: ContainerNetworkRequest,
  namespace: NetNamespace,
  { start, facts }: HelperNetwork,
): Promise<ContainerNetwork> {
  const records = networkRecords(stateDir);
  const owner = currentOwner();
  records.write({ id, owner });
  try {
    const helper = await start();
    records.write({ id, owner, helper: { pid: helper.pid, startTime: startTimeOf(helper.pid) ?? '0' } });
    return {
      ...facts,
      namespacePath: namespace.path,
      ports: namespace.ports,
      warnings: [],
      close: once(async () => {
        await helper.close();
        await namespace.close();
        records.remove(id);
      }),
    };
  } catch (error) {
    records.remove(id);
    await namespace.close();
    throw error;
  }
}

/** As the best of this machine the bridge must lead out; asked for by name, it need not. */
async function requireNat({ env }: ContainerNetworkRequest): Promise<void> {
  const { nat } = await findBridge(env);
  if (nat) return;
  throw new OcibuildError(
    'NETWORK_UNAVAILABLE',
    'Cannot use the network "bridge": iptables is missing or fails',
    {
      hint: 'sudo apt-get install iptables',
    },
  );
}

/** The host's search domains and options, and a server that answers inside. */
function withNameserver(address: string): string {
  const lines = resolvConf('host', readText).split('\n');
  const kept = lines.filter((line) => /^\s*(?:search|domain|options)\b/.test(line));
  return [`nameserver ${address}`, ...kept, ''].join('\n');
}
