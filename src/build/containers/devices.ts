import { lstatSync, readdirSync, type Stats, statSync } from 'node:fs';
import { join } from 'node:path';
import { OcibuildError } from '../../errors/error.ts';
import { resolveDevices } from '../../executor/cdi.ts';
import { deviceNumbers } from '../../executor/machine.ts';
import type { DeviceEdits, DeviceNode, SandboxMount } from '../../executor/types.ts';
import type { DeviceRequest } from './types.ts';

/**
 * What the devices of a container change in its sandbox: nodes like those of this machine, and what CDI specs say.
 * @throws DEVICE_NOT_FOUND, DEVICE_INVALID
 */
export async function devicesOf(
  requests: readonly DeviceRequest[],
  { rootless }: { readonly rootless: boolean },
): Promise<DeviceEdits> {
  const paths = requests.filter(({ source }) => source.startsWith('/'));
  const names = requests.filter(({ source }) => !source.startsWith('/'));
  const described = await resolveDevices(
    names.map(({ source: name }) => ({ name, required: true })),
    { rootless },
  );
  const nodes = paths.flatMap(({ source, target, access }) =>
    nodesBelow(source, target).map((node) => ({ ...node, access })),
  );
  // Without root no node can be made: the runtime shows the host's of the same path, another one is mounted.
  const isMoved = ({ source, path }: (typeof nodes)[number]) => rootless && source !== path;
  return {
    ...described,
    nodes: [
      ...described.nodes,
      ...nodes.filter((node) => !isMoved(node)).map(({ source: _, ...node }): DeviceNode => node),
    ],
    mounts: [
      ...described.mounts,
      ...nodes.filter(isMoved).map(
        ({ source, path }): SandboxMount => ({
          ...{ type: 'bind', target: path, readonly: false, source, options: ['bind', 'rw'] },
        }),
      ),
    ],
  };
}

type FoundNode = Omit<DeviceNode, 'access'> & { readonly source: string };

/** Of a directory all devices in it, as in Docker. */
function nodesBelow(source: string, target: string): FoundNode[] {
  const stat = statSync(source, { throwIfNoEntry: false });
  if (stat === undefined) throw notFound(source, 'there is none');
  if (stat.isDirectory()) {
    const nodes = readdirSync(source, { recursive: true, encoding: 'utf8' }).flatMap((name) => {
      const inside = lstatSync(join(source, name), { throwIfNoEntry: false });
      return inside === undefined || !isDevice(inside)
        ? []
        : [nodeOf(join(source, name), { path: join(target, name), stat: inside })];
    });
    if (nodes.length > 0) return nodes;
  } else if (isDevice(stat)) return [nodeOf(source, { path: target, stat })];
  throw notFound(source, 'it is no device');
}

function isDevice(stat: Stats): boolean {
  return stat.isCharacterDevice() || stat.isBlockDevice();
}

function nodeOf(source: string, { path, stat }: { readonly path: string; readonly stat: Stats }): FoundNode {
  const { mode, uid, gid } = stat;
  return { source, path, ...deviceNumbers(stat), fileMode: mode & 0o777, uid, gid };
}

function notFound(source: string, why: string): OcibuildError {
  return new OcibuildError('DEVICE_NOT_FOUND', `Cannot give the container the device "${source}": ${why}`, {
    details: { device: source },
  });
}
