import { lstatSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { OcibuildError } from '../errors/error.ts';
import { deviceNumbers } from './machine.ts';
import type { DeviceEdits, DeviceNode, SandboxMount } from './types.ts';

/** Where specs are; what stands in a later one wins. @see CDI SPEC.md */
const CDI_DIRS = ['/etc/cdi', '/var/run/cdi'] as const;

/** `vendor.com/class=name`; without a name the first of its class, with `*` all. */
export interface WantedDevice {
  readonly name: string;
  readonly required: boolean;
}

interface CdiDevice {
  readonly kind: string;
  readonly name: string;
  readonly edits: readonly Edits[];
  readonly file: string;
}

/** As in a spec file: nothing of it is sure to be there. */
interface Edits {
  readonly env?: readonly string[];
  readonly deviceNodes?: readonly {
    readonly path?: string;
    readonly hostPath?: string;
    readonly type?: string;
    readonly major?: number;
    readonly minor?: number;
    readonly fileMode?: number;
    readonly permissions?: string;
    readonly uid?: number;
    readonly gid?: number;
  }[];
  readonly mounts?: readonly {
    readonly hostPath?: string;
    readonly containerPath?: string;
    readonly options?: readonly string[];
    readonly type?: string;
  }[];
  readonly hooks?: readonly (Readonly<Record<string, unknown>> & { readonly hookName?: string })[];
  readonly additionalGids?: readonly number[];
}

interface SpecFile {
  readonly kind?: string;
  readonly containerEdits?: Edits;
  readonly devices?: readonly { readonly name?: string; readonly containerEdits?: Edits }[];
}

export interface DeviceOptions {
  /** @default CDI_DIRS */
  readonly dirs?: readonly string[];
  /** Inside a user namespace, where no device node can be made. */
  readonly rootless: boolean;
}

/**
 * What the devices that a step asks for change in its sandbox, by the CDI specs (JSON and YAML) of this machine.
 * @throws DEVICE_NOT_FOUND for a required one, DEVICE_INVALID
 */
export async function resolveDevices(
  wanted: readonly WantedDevice[],
  { dirs = CDI_DIRS, rootless }: DeviceOptions,
): Promise<DeviceEdits> {
  const known = await readSpecs(dirs);
  const found = wanted.flatMap(({ name, required }) => {
    const devices = matching(known, name);
    if (devices.length > 0 || !required) return devices;
    throw new OcibuildError('DEVICE_NOT_FOUND', `Cannot find the device "${name}"`, {
      hint: `describe it in a CDI spec in ${dirs.join(' or ')}`,
      details: { device: name, known: known.map((device) => `${device.kind}=${device.name}`) },
    });
  });
  // The edits of a whole file count once, whichever of its devices are asked for.
  const edits = [...new Map(found.flatMap(({ edits, file }) => edits.map((each) => [each, file] as const)))];
  const hooks: Record<string, Readonly<Record<string, unknown>>[]> = {};
  for (const [{ hooks: list = [] }, file] of edits) {
    for (const { hookName, ...hook } of list) {
      if (hookName === undefined || !HOOKS.includes(hookName))
        throw invalid(file, `there is no hook "${hookName}"`);
      hooks[hookName] = [...(hooks[hookName] ?? []), hook];
    }
  }
  const nodes = edits.flatMap(([{ deviceNodes = [] }, file]) => deviceNodes.map((node) => ({ node, file })));
  // Without root the runtime shows the host's node of the same path; one with another path is mounted.
  const isMoved = ({ node }: (typeof nodes)[number]) =>
    rootless && (node.hostPath ?? node.path) !== node.path;
  return {
    env: edits.flatMap(([{ env = [] }]) => env),
    nodes: nodes.filter((each) => !isMoved(each)).map(({ node, file }) => toNode(node, file)),
    mounts: [
      ...nodes
        .filter(isMoved)
        .map(({ node, file }) =>
          toMount({ ...node, containerPath: node.path ?? '', options: ['bind', 'rw'], type: 'bind' }, file),
        ),
      ...edits.flatMap(([{ mounts = [] }, file]) => mounts.map((mount) => toMount(mount, file))),
    ],
    additionalGids: edits.flatMap(([{ additionalGids = [] }]) => additionalGids),
    hooks,
  };
}

const HOOKS = ['prestart', 'createRuntime', 'createContainer', 'startContainer', 'poststart', 'poststop'];

function matching(known: readonly CdiDevice[], wanted: string): readonly CdiDevice[] {
  const [kind, name] = wanted.split('=');
  const ofKind = known.filter((device) => device.kind === kind);
  if (name === '*') return ofKind;
  return (name === undefined ? ofKind : ofKind.filter((device) => device.name === name)).slice(0, 1);
}

async function readSpecs(dirs: readonly string[]): Promise<CdiDevice[]> {
  const devices = new Map<string, CdiDevice>();
  for (const dir of dirs) {
    for (const name of namesIn(dir)) {
      const file = join(dir, name);
      const spec = await readSpec(file);
      const { kind } = spec;
      if (typeof kind !== 'string' || !Array.isArray(spec.devices))
        throw invalid(file, 'it has no kind or no devices');
      for (const device of spec.devices as NonNullable<SpecFile['devices']>) {
        const own = `${device.name}`;
        const edits = [spec.containerEdits, device.containerEdits].filter((each) => each !== undefined);
        devices.set(`${kind}=${own}`, { kind, name: own, edits, file });
      }
    }
  }
  return [...devices.values()];
}

function namesIn(dir: string): string[] {
  try {
    return readdirSync(dir)
      .filter((name) => /\.(json|ya?ml)$/.test(name))
      .sort();
  } catch {
    // Most machines have no such directory.
    return [];
  }
}

async function readSpec(file: string): Promise<SpecFile> {
  try {
    const text = readFileSync(file, 'utf8');
    const value: unknown = file.endsWith('.json') ? JSON.parse(text) : (await import('yaml')).parse(text);
    if (typeof value === 'object' && value !== null) return value;
  } catch (cause) {
    throw invalid(file, cause instanceof Error ? cause.message : String(cause), cause);
  }
  throw invalid(file, 'it holds no object');
}

function toNode(node: NonNullable<Edits['deviceNodes']>[number], file: string): DeviceNode {
  const { path, hostPath = path, permissions: access = 'rwm' } = node;
  if (path === undefined || hostPath === undefined) throw invalid(file, 'a device node has no path');
  const { fileMode, uid, gid } = node;
  const own = {
    path,
    access,
    ...(fileMode === undefined ? {} : { fileMode }),
    ...(uid === undefined ? {} : { uid }),
    ...(gid === undefined ? {} : { gid }),
  };
  const { type, major, minor } = node;
  if (isNodeType(type) && major !== undefined && minor !== undefined) return { ...own, type, major, minor };
  const stat = lstatSync(hostPath, { throwIfNoEntry: false });
  if (stat?.isCharacterDevice() !== true && stat?.isBlockDevice() !== true)
    throw invalid(file, `"${hostPath}" is no device of this machine`);
  return { ...own, ...deviceNumbers(stat), fileMode: fileMode ?? stat.mode & 0o777 };
}

function isNodeType(type: string | undefined): type is DeviceNode['type'] {
  return type !== undefined && ['b', 'c', 'p', 'u'].includes(type);
}

function toMount(mount: NonNullable<Edits['mounts']>[number], file: string): SandboxMount {
  const { hostPath, containerPath, options = ['rbind', 'ro'], type = 'bind' } = mount;
  if (hostPath === undefined || containerPath?.startsWith('/') !== true)
    throw invalid(file, 'a mount has no path');
  if (type !== 'bind' && type !== '' && type !== 'none') throw invalid(file, `a mount has type "${type}"`);
  if (statSync(hostPath, { throwIfNoEntry: false }) === undefined)
    throw invalid(file, `"${hostPath}" is not there`);
  const binds = options.includes('bind') || options.includes('rbind');
  return {
    type: 'bind',
    target: containerPath,
    source: hostPath,
    readonly: options.includes('ro'),
    options: binds ? options : ['rbind', ...options],
  };
}

function invalid(file: string, why: string, cause?: unknown): OcibuildError {
  return new OcibuildError('DEVICE_INVALID', `Cannot use the CDI spec "${file}": ${why}`, {
    cause,
    details: { path: file },
  });
}
