import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { isIPv6 } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { OcibuildError } from '../../errors/error.ts';
import { readText } from '../../util/read-text.ts';
import { findProgram } from '../find-program.ts';
import { SYSTEMD_RESOLV_CONF } from '../network.ts';
import type { PublishedPort } from '../types.ts';
import {
  addressOf,
  type CniAttachment,
  type CniNetwork,
  type CniPlugin,
  type CniResult,
  cniAdd,
  cniDelete,
  cniPath,
  findPlugin,
} from './cni.ts';
import { removeBridge } from './link.ts';
import { withMachineLock } from './machine-lock.ts';
import { chooseSubnet, parseRoutes } from './subnet.ts';

const BRIDGE = 'ocibuild0';
const NETWORK = 'ocibuild';
/** Leases are worth nothing after a restart. */
const LEASES = '/run/ocibuild/leases';

const LINK_TRIES = 25;

type Env = Readonly<Record<string, string | undefined>>;

/** A namespace on the bridge. Plain data: it is kept in a file, to be detached by another process. */
export interface BridgeAttachment extends CniAttachment {
  readonly result: CniResult;
}

export interface BridgeRequest {
  readonly id: string;
  readonly namespacePath: string;
  /** With the host ports that are held. */
  readonly ports: readonly PublishedPort[];
  readonly env: Env;
  readonly signal: AbortSignal;
  /** Called before anything is made, so that it can be taken back after a crash. */
  onAttaching(attachment: CniAttachment): void;
}

/** What the bridge has beside connectivity to the host. */
export interface BridgeMeans {
  readonly pluginPath: string;
  /** iptables is there, and this kernel has what it needs. */
  readonly nat: boolean;
}

/** @throws NETWORK_UNAVAILABLE where plugins are missing */
export async function findBridge(env: Env): Promise<BridgeMeans> {
  const pluginPath = cniPath(env);
  const missing = ['bridge', 'host-local'].find((type) => findPlugin(type, pluginPath) === undefined);
  if (missing !== undefined && env.OCIBUILD_CNI_CONFIG === undefined) {
    throw new OcibuildError(
      'NETWORK_UNAVAILABLE',
      `Cannot use the network "bridge": the CNI plugin "${missing}" is not in ${pluginPath}`,
      { hint: 'sudo apt-get install containernetworking-plugins iptables' },
    );
  }
  return { pluginPath, nat: (await iptables(['-t', 'nat', '-S', 'POSTROUTING'])) !== undefined };
}

/** Attaches a namespace to the bridge. @throws NETWORK_FAILED, NETWORK_UNAVAILABLE, CANCELLED */
export function attachToBridge(request: BridgeRequest, means: BridgeMeans): Promise<BridgeAttachment> {
  const { pluginPath, nat } = means;
  return withMachineLock(async () => {
    const own = request.env.OCIBUILD_CNI_CONFIG;
    const network = own === undefined ? ownNetwork(nat, pluginPath) : readNetwork(own);
    // The portmap plugin has no rule for an address that the container lacks; those ports are forwarded only.
    const ports = request.ports.filter(({ hostIp }) => hostIp === undefined || !isIPv6(hostIp));
    const attachment = { network, containerId: request.id, ports, pluginPath };
    request.onAttaching(attachment);
    const result = await cniAdd(attachment, request.namespacePath, { signal: request.signal });
    if (addressOf(result) === undefined) {
      await cniDelete(attachment, request.namespacePath, result);
      throw new OcibuildError(
        'NETWORK_FAILED',
        `Cannot set up the network: the CNI network "${network.name}" gives no address`,
      );
    }
    return { ...attachment, result };
  }, request.signal);
}

/**
 * Detaches, and removes the bridge when nothing else is on it. Without a namespace path also what the plugins cannot
 * find any more: rules for an address that is only known inside.
 */
export function detachFromBridge(
  attachment: CniAttachment & Partial<BridgeAttachment>,
  namespacePath: string | undefined,
): Promise<void> {
  return withMachineLock(async () => {
    try {
      await cniDelete(attachment, namespacePath, attachment.result);
    } finally {
      if (namespacePath === undefined) {
        await removeRules(attachment.containerId);
        await linksGone(attachment.result);
      }
      if (attachment.network.name === NETWORK) removeIdleBridge();
    }
  });
}

/** Our configuration: what the machine cannot do is left out. */
export function bridgeNetwork(
  subnet: string,
  nat: boolean,
  hasPlugin: (type: string) => boolean,
): CniNetwork {
  const extra: CniPlugin[] = [
    { type: 'portmap', capabilities: { portMappings: true } },
    // Lets packets pass where the host's policy is to forward none.
    { type: 'firewall' },
  ];
  return {
    cniVersion: '1.0.0',
    name: NETWORK,
    plugins: [
      {
        type: 'bridge',
        bridge: BRIDGE,
        isGateway: true,
        ipMasq: nat,
        // A container reaches its own published port.
        hairpinMode: true,
        ipam: {
          type: 'host-local',
          dataDir: LEASES,
          ranges: [[{ subnet }]],
          routes: [{ dst: '0.0.0.0/0' }],
        },
      },
      ...(nat ? extra.filter(({ type }) => hasPlugin(type)) : []),
    ],
  };
}

/** The `-D` and `-X` arguments that remove what a container left, from the output of iptables -S. */
export function leftoverRules(rules: string, containerId: string): { rules: string[][]; chains: string[] } {
  const words = rules
    .split('\n')
    .map((line) =>
      [...line.matchAll(/"((?:[^"\\]|\\.)*)"|(\S+)/g)].map((m) => (m[1] ?? m[2] ?? '').replaceAll('\\', '')),
    );
  // Plugins write `name: "NETWORK" id: "CONTAINER"` as the comment.
  const own = words.filter(
    (line) =>
      line[0] === '-A' && (line[line.indexOf('--comment') + 1] ?? '').includes(`id: "${containerId}"`),
  );
  const jumps = own.map((line) => line[line.indexOf('-j') + 1] ?? '');
  const chains = [...new Set(jumps.filter((name) => /^CNI-(?:DN-)?[0-9a-f]{16,}$/.test(name)))];
  return { rules: own.map((line) => ['-D', ...line.slice(1)]), chains };
}

function ownNetwork(nat: boolean, pluginPath: string): CniNetwork {
  const text = readText('/etc/resolv.conf') ?? '';
  const servers = [...`${text}\n${readText(SYSTEMD_RESOLV_CONF) ?? ''}`.matchAll(/^\s*nameserver\s+(\S+)/gm)];
  const subnet = chooseSubnet(
    BRIDGE,
    parseRoutes(readText('/proc/net/route') ?? ''),
    servers.map(([, server = '']) => server),
  );
  return bridgeNetwork(subnet, nat, (type) => findPlugin(type, pluginPath) !== undefined);
}

/** A configuration list, or one plugin's configuration as the old form has it. */
function readNetwork(path: string): CniNetwork {
  const fail = (why: string, cause?: unknown): OcibuildError =>
    new OcibuildError('NETWORK_UNAVAILABLE', `Cannot use the CNI network of "${path}": ${why}`, {
      cause,
      hint: 'OCIBUILD_CNI_CONFIG names a file in the form of /etc/cni/net.d/*.conflist',
    });
  let value: Partial<CniNetwork> & { type?: unknown };
  try {
    value = JSON.parse(readFileSync(path, 'utf8')) as typeof value;
  } catch (cause) {
    throw fail(cause instanceof Error ? cause.message : String(cause), cause);
  }
  const { cniVersion = '0.2.0', name, plugins, ...plugin } = value;
  const list = plugins ?? (typeof plugin.type === 'string' ? [plugin as CniPlugin] : []);
  if (
    typeof name !== 'string' ||
    !Array.isArray(list) ||
    !list.every((entry) => typeof entry.type === 'string')
  ) {
    throw fail('it has no name, or a plugin without a type');
  }
  if (list.length === 0) throw fail('it has no plugins');
  return { cniVersion, name, plugins: list };
}

async function removeRules(containerId: string): Promise<void> {
  for (const table of ['nat', 'filter']) {
    const { rules, chains } = leftoverRules((await iptables(['-t', table, '-S'])) ?? '', containerId);
    for (const rule of rules) await iptables(['-t', table, ...rule]);
    for (const chain of chains) {
      await iptables(['-t', table, '-F', chain]);
      await iptables(['-t', table, '-X', chain]);
    }
  }
}

/** Its output; undefined where it is missing or fails. */
async function iptables(args: readonly string[]): Promise<string | undefined> {
  const path = findProgram('iptables', '');
  if (path === undefined) return undefined;
  try {
    return (await promisify(execFile)(path, ['-w', '5', ...args])).stdout;
  } catch {
    return undefined;
  }
}

/** The kernel takes links away some time after the last process of their namespace. */
async function linksGone(result: CniResult | undefined): Promise<void> {
  const links = (result?.interfaces ?? []).filter(
    ({ name, sandbox = '' }) => name !== BRIDGE && sandbox === '',
  );
  const left = (): boolean => links.some(({ name }) => existsSync(`/sys/class/net/${name}`));
  for (let tries = 0; left() && tries < LINK_TRIES; tries++) await sleep(20);
}

function removeIdleBridge(): void {
  const ports = `/sys/class/net/${BRIDGE}/brif`;
  try {
    if (existsSync(ports) && readdirSync(ports).length === 0) removeBridge(BRIDGE);
  } catch {
    // Somebody else attached something to it, or removed it: it is not ours to remove.
  }
}
