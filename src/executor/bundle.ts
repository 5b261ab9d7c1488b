import { existsSync, readFileSync } from 'node:fs';
import { runtimeConfig } from '../image/runtime-config.ts';
import type { ImageConfig } from '../image/types.ts';
import { finalPath, locate } from './in-root.ts';
import { defaultSeccomp } from './seccomp.ts';
import { runtimeSpec } from './spec.ts';
import { resolveUser } from './user.ts';

/** What a bundle runs when its image names no command. */
const DEFAULT_ARGS = ['/bin/sh'];

/**
 * The `config.json` of a bundle, as text: the sandbox of a RUN step around the image's own process settings. The
 * network is the host's. Rootless, the bundle carries the id maps of this process, so that its owners fit.
 * @param rootfs directory that holds the unpacked image
 * @see runtime-spec config.md, image-spec conversion.md
 */
export function bundleConfig(image: ImageConfig, rootfs: string, rootless: boolean): string {
  const user = resolveUser(rootfs, image.config?.User ?? '');
  const { process, annotations, volumes } = runtimeConfig(image, user);
  const seccomp = defaultSeccomp(globalThis.process.arch);
  const spec = runtimeSpec({
    process: {
      id: 'bundle',
      rootfs: { lower: [], upper: rootfs, work: rootfs },
      args: process.args.length === 0 ? DEFAULT_ARGS : process.args,
      env: process.env,
      cwd: process.cwd,
      user: image.config?.User ?? '',
      network: 'host',
      security: 'sandbox',
      mounts: [],
      hostname: 'ocibuild',
      extraHosts: [],
      ulimits: [],
    },
    user,
    cwd: finalPath(locate(rootfs, process.cwd)),
    rootPath: 'rootfs',
    // conversion.md §Volumes: each should be a mount; a tmpfs needs nothing on the host and takes the content over.
    mounts: volumes.map((destination) => ({
      destination,
      type: 'tmpfs',
      source: 'tmpfs',
      options: ['nosuid', 'nodev', 'tmpcopyup'],
    })),
    machine: {
      rootless,
      cgroupV2: false,
      limitsSwap: false,
      noDeviceControl: false,
      hasPath: existsSync,
      ...(seccomp === undefined ? {} : { seccomp }),
      capabilities: [],
      devices: [],
    },
  });
  return `${JSON.stringify({ ...spec, annotations, ...(rootless ? forNormalUser(spec) : {}) }, undefined, 2)}\n`;
}

/** What lets the user who owns the bundle start it with plain `runc run`. */
function forNormalUser(spec: Record<string, unknown>): Record<string, unknown> {
  const linux = spec.linux as { namespaces: readonly { type: string }[] };
  const { user, ...process } = spec.process as { user: Record<string, unknown> };
  const { additionalGids: _, ...mainIds } = user;
  return {
    // runc starts no container with further groups for a caller who is not root.
    process: { ...process, user: mainIds },
    linux: {
      ...linux,
      namespaces: [...linux.namespaces, { type: 'user' }],
      uidMappings: idMap('/proc/self/uid_map'),
      gidMappings: idMap('/proc/self/gid_map'),
    },
  };
}

/** @see user_namespaces(7): start inside, start outside, length */
function idMap(file: string): { containerID: number; hostID: number; size: number }[] {
  return readFileSync(file, 'utf8')
    .trim()
    .split('\n')
    .map((line) => {
      const [containerID = 0, hostID = 0, size = 0] = line.trim().split(/\s+/).map(Number);
      return { containerID, hostID, size };
    });
}
