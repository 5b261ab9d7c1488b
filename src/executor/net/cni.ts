import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { cancelledError, OcibuildError, throwIfAborted } from '../../errors/error.ts';
import { findProgram, SYSTEM_FOLDERS } from '../find-program.ts';
import type { PublishedPort } from '../types.ts';

/** A network configuration list. @see CNI SPEC.md 1.0, section 1 */
export interface CniNetwork {
  readonly cniVersion: string;
  readonly name: string;
  readonly plugins: readonly CniPlugin[];
}

export interface CniPlugin {
  readonly type: string;
  readonly capabilities?: Readonly<Record<string, boolean>>;
  readonly [key: string]: unknown;
}

/** What a container is attached with; the same for ADD and DEL. */
export interface CniAttachment {
  readonly network: CniNetwork;
  readonly containerId: string;
  readonly ports: readonly PublishedPort[];
  /** Folders of plugins, in the form of PATH. */
  readonly pluginPath: string;
}

/** Result of the last plugin; what we do not read is kept for DEL. */
export interface CniResult {
  readonly ips?: readonly { readonly address: string; readonly gateway?: string }[];
  /** Those without a sandbox are on the host. */
  readonly interfaces?: readonly { readonly name: string; readonly sandbox?: string }[];
  readonly [key: string]: unknown;
}

const FOLDERS = ['/opt/cni/bin', '/usr/lib/cni', '/usr/libexec/cni'];
const INTERFACE = 'eth0';
/** A plugin takes a second at most, and the whole machine waits for it. */
const TIMEOUT_MS = 60_000;

/** Where plugins are looked for: $CNI_PATH, then where distributions and others put them. */
export function cniPath(env: Readonly<Record<string, string | undefined>>): string {
  return [...(env.CNI_PATH ?? '').split(':').filter((folder) => folder !== ''), ...FOLDERS].join(':');
}

/** The path of a plugin. */
export function findPlugin(type: string, pluginPath: string): string | undefined {
  // A type names a file in one of the folders: the specification forbids it to be a path.
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(type)) return undefined;
  return pluginPath
    .split(':')
    .map((folder) => findProgram(`${folder}/${type}`, ''))
    .find((path) => path !== undefined);
}

/**
 * Attaches a namespace: ADD of each plugin, each with the result of the one before. What was done is undone when one
 * fails, or when it is cancelled.
 * @param options.timeoutMs for each plugin
 * @throws NETWORK_FAILED, NETWORK_UNAVAILABLE, CANCELLED
 */
export async function cniAdd(
  attachment: CniAttachment,
  namespacePath: string,
  options: { readonly signal: AbortSignal; readonly timeoutMs?: number },
): Promise<CniResult> {
  let result: CniResult | undefined;
  try {
    for (const plugin of attachment.network.plugins) {
      const answer = await call('ADD', { attachment, plugin, namespacePath, prevResult: result, ...options });
      result = JSON.parse(answer) as CniResult;
    }
  } catch (error) {
    await cniDelete(attachment, namespacePath, result).catch(() => undefined);
    throw error;
  }
  return result ?? {};
}

/**
 * Detaches: DEL of each plugin in reverse, all of them whatever one says; the first error is thrown. Without a
 * namespace the plugins release what they hold outside of it.
 */
export async function cniDelete(
  attachment: CniAttachment,
  namespacePath: string | undefined,
  prevResult: CniResult | undefined,
): Promise<void> {
  const errors: unknown[] = [];
  for (const plugin of attachment.network.plugins.toReversed()) {
    await call('DEL', { attachment, plugin, namespacePath, prevResult }).catch((error: unknown) =>
      errors.push(error),
    );
  }
  if (errors.length > 0) throw errors[0];
}

/** What a plugin reads from its stdin. @see CNI SPEC.md 1.0, "Deriving execution configuration" */
export function executionConfig(
  { network, ports }: CniAttachment,
  plugin: CniPlugin,
  prevResult: CniResult | undefined,
): Record<string, unknown> {
  const { capabilities, ...rest } = plugin;
  const mappings = ports.map(({ hostIp, hostPort, containerPort, protocol }) => ({
    hostPort,
    containerPort,
    protocol,
    ...(hostIp === undefined ? {} : { hostIP: hostIp }),
  }));
  return {
    ...rest,
    cniVersion: network.cniVersion,
    name: network.name,
    ...(capabilities?.portMappings === true ? { runtimeConfig: { portMappings: mappings } } : {}),
    ...(prevResult === undefined ? {} : { prevResult }),
  };
}

/** The address in the result, without its prefix; IPv4 before IPv6. */
export function addressOf(result: CniResult): string | undefined {
  const addresses = (result.ips ?? []).map(({ address }) => address.replace(/\/.*$/, ''));
  return addresses.find((address) => !address.includes(':')) ?? addresses[0];
}

interface Call {
  readonly attachment: CniAttachment;
  readonly plugin: CniPlugin;
  readonly namespacePath: string | undefined;
  readonly prevResult: CniResult | undefined;
  /** None for DEL: what was made is taken back whatever happens. */
  readonly signal?: AbortSignal;
  readonly timeoutMs?: number;
}

async function call(command: 'ADD' | 'DEL', given: Call): Promise<string> {
  const { attachment, plugin, namespacePath, prevResult, signal, timeoutMs = TIMEOUT_MS } = given;
  throwIfAborted(signal);
  const path = findPlugin(plugin.type, attachment.pluginPath);
  if (path === undefined) {
    throw new OcibuildError(
      'NETWORK_UNAVAILABLE',
      `Cannot use the network "${attachment.network.name}": the CNI plugin "${plugin.type}" is not in ${attachment.pluginPath}`,
      { hint: 'sudo apt-get install containernetworking-plugins, or set CNI_PATH' },
    );
  }
  const child = spawn(path, [], {
    cwd: '/',
    stdio: 'pipe',
    // A group of its own: iptables ends with it.
    detached: true,
    env: {
      CNI_COMMAND: command,
      CNI_CONTAINERID: attachment.containerId,
      ...(namespacePath === undefined ? {} : { CNI_NETNS: namespacePath }),
      CNI_IFNAME: INTERFACE,
      CNI_PATH: attachment.pluginPath,
      // Plugins call iptables.
      PATH: SYSTEM_FOLDERS.join(':'),
    },
  });
  const exited = new Promise<number | null>((done) => child.once('close', done));
  // Where it cannot be started it may have no pipes.
  await once(child, 'spawn');
  child.stdin.on('error', () => undefined);
  child.stdin.end(JSON.stringify(executionConfig(attachment, plugin, prevResult)));
  const ended = Promise.all([text(child.stdout), text(child.stderr), exited]);
  const [out, errors, code] = await unlessStopped(child, ended, {
    ...{ signal, timeoutMs },
    late: () => pluginError(command, plugin.type, `it did not end within ${timeoutMs / 1000} s`),
  });
  if (code === 0) return out;
  throw pluginError(command, plugin.type, out.trim() === '' ? errors : out);
}

interface Limits {
  readonly signal: AbortSignal | undefined;
  readonly timeoutMs: number;
  readonly late: () => OcibuildError;
}

/** Kills what is cancelled or takes too long, with all that it started. */
async function unlessStopped<T>(child: ChildProcess, ended: Promise<T>, limits: Limits): Promise<T> {
  const { signal, timeoutMs, late } = limits;
  let stop: (why: OcibuildError) => void = () => undefined;
  const stopped = new Promise<never>((_, fail) => {
    stop = (why) => {
      // What holds its output may live longer than it.
      if (child.exitCode === null && child.signalCode === null) child.once('exit', () => fail(why));
      else fail(why);
      try {
        if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
      } catch {
        // It ended meanwhile.
      }
    };
  });
  const cancel = (): void => stop(cancelledError(signal));
  signal?.addEventListener('abort', cancel, { once: true });
  const timer = setTimeout(() => stop(late()), timeoutMs);
  try {
    if (signal?.aborted === true) cancel();
    return await Promise.race([ended, stopped]);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', cancel);
  }
}

/** @see CNI SPEC.md 1.0, section 5 "Error" */
export function pluginError(command: string, type: string, output: string): OcibuildError {
  const { code, msg = output.trim(), details } = parseObject(output);
  const text = [msg, details].filter((part) => typeof part === 'string' && part !== '').join(': ');
  const number = typeof code === 'number' ? ` (code ${code})` : '';
  return new OcibuildError(
    'NETWORK_FAILED',
    `Cannot set up the network: ${command} of the CNI plugin "${type}" failed${number}: ${text}`,
    { details: { plugin: type, command, code } },
  );
}

function parseObject(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
