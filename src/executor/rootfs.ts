import { chmodSync, chownSync, existsSync, lstatSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { OcibuildError } from '../errors/error.ts';
import { SYS, sys } from '../layer/sys.ts';
import { removeUnchangedCopies } from '../layer/tree/unchanged-copies.ts';
import { readText } from '../util/read-text.ts';
import { finalPath, locate, makeDirs, makeStub, removeStubs, type Stub, type StubKind } from './in-root.ts';
import { withLowerFacts } from './lower-facts.ts';
import { bindMount, mountOverlay, syscallErrno, unmount } from './mounts.ts';
import { hostsFile, resolvConf } from './network.ts';
import { removeBundle } from './remove-bundle.ts';
import type { SpecMount } from './spec.ts';
import type { ProcessSpec, SandboxMount } from './types.ts';
import { type ResolvedUser, resolveGroups, resolveUser } from './user.ts';
import { fillVolumes } from './volumes.ts';

/** A root that is mounted and ready for the runtime. */
export interface PreparedRoot {
  readonly user: ResolvedUser;
  readonly cwd: string;
  readonly mounts: readonly SpecMount[];
  /** Where `config.json` belongs, and the runtime's state: in memory where the step has secrets. */
  readonly configDir: string;
  /**
   * Unmounts everything, takes the mount points away again and removes the bundle directory.
   * @param becomesLayer what the step wrote is kept: copies that it changed nothing of go
   */
  release(becomesLayer: boolean): void;
}

/** Mount points that Docker leaves in the layer of a step whose root lacks them. */
const LASTING_POINTS = ['/proc', '/dev', '/sys'];

interface Target {
  readonly path: string;
  readonly kind: StubKind;
}

/** Mounts a step's root at `BUNDLE/rootfs` and everything that its mounts need, in this thread's namespace. */
export function prepareRoot(spec: ProcessSpec, bundle: string, rootless: boolean): PreparedRoot {
  const root = join(bundle, 'rootfs');
  const mounted: string[] = [];
  const stubs: Stub[] = [];
  const upperStubs: Stub[] = [];
  let lower: readonly string[] = [];
  const release = (becomesLayer: boolean): void => {
    if (mounted.includes(root)) removeStubs(root, stubs);
    while (mounted.length > 0) {
      unmount(mounted.at(-1) ?? root);
      mounted.pop();
    }
    removeStubs(
      spec.rootfs.upper,
      upperStubs.filter((stub) => !isOfImage(stub, spec.rootfs)),
    );
    if (becomesLayer) {
      const opaqueXattr = rootless ? 'user.overlay.opaque' : 'trusted.overlay.opaque';
      removeUnchangedCopies(spec.rootfs.upper, lower, { opaqueXattr });
    }
    removeBundle(bundle);
  };
  try {
    mkdirSync(root, { recursive: true });
    for (const dir of [bundle, root]) chmodSync(dir, 0o711);
    const files = writeNetworkFiles(spec, bundle);
    const configDir = hasSecrets(spec) ? mountMemory(bundle, mounted) : bundle;
    const stepMounts = prepareMounts({ spec, bundle, rootless, mounted, configDir });
    const fileTargets = files.map((mount): Target => ({ path: mount.destination, kind: 'file' }));
    // Only of a tmpfs on a new directory does runc keep the mode that it was asked for: so it makes that itself.
    const stepTargets = stepMounts
      .filter(({ type, options }) => type !== 'tmpfs' || !options.some((word) => word.startsWith('mode=')))
      .map((mount): Target => ({ path: mount.destination, kind: kindOf(mount) }));
    const base = makeStubLayer(join(bundle, 'points'), fileTargets);
    lower = mountRoot({ spec, bundle, base: base.dir, rootless });
    mounted.push(root);
    fillVolumes(root, spec.mounts);
    upperStubs.push(...base.stubs.map((stub) => ({ ...stub, path: join(spec.rootfs.upper, stub.path) })));

    for (const point of LASTING_POINTS) makeDirs(root, locate(root, point), { uid: 0, gid: 0 });
    // In the upper, as in Docker: a step may rename a directory that was made to hold a mount point.
    const covered = [...LASTING_POINTS, ...stepMounts.map(({ destination }) => destination)];
    for (const { path, kind } of [...fileTargets, ...stepTargets])
      if (!isBelowOwnMount(path, covered)) stubs.push(...makeStub(root, locate(root, path), kind));
    const own = resolveUser(root, spec.user);
    const groups = resolveGroups(root, spec.container?.extras?.groups ?? []);
    const user = { ...own, additionalGids: [...new Set([...own.additionalGids, ...groups])] };
    const cwd = makeCwd(root, spec.cwd, user);
    return { user, cwd, mounts: [...files, ...stepMounts], configDir, release };
  } catch (error) {
    try {
      release(false);
    } catch {
      // Why the step cannot start counts more than a directory that stays until the store is opened again.
    }
    throw error;
  }
}

/**
 * A lowest layer that holds just the points of the files that every step has: where an image lacks /etc/hosts, it is
 * there all the same and neither the upper nor the times of a directory change.
 */
function makeStubLayer(dir: string, targets: readonly Target[]): { dir: string; stubs: Stub[] } {
  mkdirSync(dir);
  chmodSync(dir, 0o755);
  const stubs = targets.flatMap((target) =>
    isBelowOwnMount(target.path, LASTING_POINTS) ? [] : makeStub(dir, locate(dir, target.path), target.kind),
  );
  return { dir, stubs: stubs.map((stub) => ({ ...stub, path: stub.path.slice(dir.length) })) };
}

/** Gives the directories below the upper, base first. */
function mountRoot(options: {
  spec: ProcessSpec;
  bundle: string;
  base: string;
  rootless: boolean;
}): readonly string[] {
  const { upper, work, lower: layers } = options.spec.rootfs;
  const { rootless } = options;
  const target = join(options.bundle, 'rootfs');
  const linkDir = join(options.bundle, 'links');
  const facts = { dir: join(options.bundle, 'facts'), rootless };
  const lower = [options.base, ...withLowerFacts(layers, facts)];
  try {
    mountOverlay({ target, lower, upper, work, rootless, linkDir });
    return lower;
  } catch (error) {
    // Without a base there is nothing to lay over: the upper itself is the root.
    if (layers.length > 0) throw error;
    bindMount(upper, target);
    return [];
  }
}

/** True where a layer has this entry itself: what the upper holds of it is the step's own change. */
function isOfImage({ path }: Stub, { upper, lower }: ProcessSpec['rootfs']): boolean {
  const inside = path.slice(upper.length);
  return (
    existsSync(path) &&
    lower.some((dir) => lstatSync(join(dir, inside), { throwIfNoEntry: false }) !== undefined)
  );
}

function writeNetworkFiles(spec: ProcessSpec, bundle: string): SpecMount[] {
  const write = (name: string, text: string): string => {
    const path = join(bundle, name);
    writeFileSync(path, text);
    chmodSync(path, 0o644);
    return path;
  };
  const { container } = spec;
  // A container may change its own files, as in Docker; what a step writes to them would be lost unseen.
  const options =
    container === undefined ? ['rbind', 'ro', 'nosuid', 'noexec', 'nodev'] : ['rbind', 'nosuid', 'nodev'];
  const address = container?.address === undefined ? [] : [`${spec.hostname}:${container.address}`];
  const servers = container?.resolvConf ?? resolvConf(spec.network, readText);
  const hosts = hostsFile(address.length === 0 ? spec.hostname : '', [...spec.extraHosts, ...address]);
  const mounts = [
    { destination: '/etc/resolv.conf', source: write('resolv.conf', servers) },
    { destination: '/etc/hosts', source: write('hosts', hosts) },
    ...(container === undefined
      ? []
      : [{ destination: '/etc/hostname', source: write('hostname', `${spec.hostname}\n`) }]),
  ];
  return mounts.map((mount) => ({ ...mount, type: 'bind', options }));
}

export function hasSecrets(spec: ProcessSpec): boolean {
  return (spec.secretEnv ?? []).length > 0 || spec.mounts.some(({ type }) => type === 'secret');
}

/** A tmpfs that only this thread and the runtime see: nothing of it is left when they are gone. */
function mountMemory(bundle: string, mounted: string[]): string {
  const target = join(bundle, 'private');
  mkdirSync(target, { mode: 0o700 });
  const flags = SYS.MS_NOSUID | SYS.MS_NODEV | SYS.MS_NOEXEC;
  sys().mount({ source: 'tmpfs', target, type: 'tmpfs', flags, data: 'mode=0700' });
  mounted.push(target);
  return target;
}

function prepareMounts(context: {
  spec: ProcessSpec;
  bundle: string;
  rootless: boolean;
  mounted: string[];
  configDir: string;
}): SpecMount[] {
  // Parents first; the sort is stable, so of two mounts on one place the later one is seen.
  const depth = (mount: SandboxMount): number => mount.target.split('/').filter(Boolean).length;
  const all = [...context.spec.mounts, ...(context.spec.devices?.mounts ?? [])];
  const sorted = all.toSorted((a, b) => depth(a) - depth(b));
  return sorted.map((mount, index): SpecMount => {
    const destination = join('/', mount.target).replace(/(.)\/$/, '$1');
    const access = mount.readonly ? 'ro' : 'rw';
    switch (mount.type) {
      case 'tmpfs': {
        const size = mount.size === undefined ? [] : [`size=${mount.size}`];
        return {
          destination,
          type: 'tmpfs',
          source: 'tmpfs',
          options: ['nosuid', access, ...size, ...(mount.options ?? [])],
        };
      }
      case 'bind': {
        if (mount.source === undefined)
          throw new TypeError(`Cannot bind on "${destination}": it has no source`);
        const options = mount.options ?? ['rbind', access];
        return { destination, type: 'bind', source: mount.source, options };
      }
      case 'secret': {
        const source = join(context.configDir, `secret-${index}`);
        writeSecret(source, mount);
        return { destination, type: 'bind', source, options: ['rbind', 'ro', 'nosuid', 'nodev', 'noexec'] };
      }
      case 'overlay': {
        const source = mountLayers(mount, index, context);
        return { destination, type: 'bind', source, options: ['rbind', access] };
      }
    }
    throw new TypeError(`Cannot mount on "${destination}": unknown type "${String(mount.type)}"`);
  });
}

function writeSecret(path: string, { file, target }: SandboxMount): void {
  if (file === undefined) throw new TypeError(`Cannot mount a secret on "${target}": it has no value`);
  writeFileSync(path, file.data, { mode: 0o600, flag: 'wx' });
  try {
    chownSync(path, file.uid, file.gid);
  } catch (cause) {
    if (syscallErrno(cause) !== 'EINVAL') throw cause;
    throw new OcibuildError(
      'MOUNT_INVALID',
      `Cannot give the secret on "${target}" to ${file.uid}:${file.gid}: the user namespace has no such owner`,
      { cause, hint: 'give the user more ids in /etc/subuid and /etc/subgid, or build as root' },
    );
  }
  chmodSync(path, file.mode);
}

/** Shows layers as one directory; gives the path of `subpath` in it. A writable one gets an upper that is dropped. */
function mountLayers(
  mount: SandboxMount,
  index: number,
  { bundle, rootless, mounted }: { bundle: string; rootless: boolean; mounted: string[] },
): string {
  const dir = (name: string): string => {
    const path = join(bundle, `${name}-${index}`);
    mkdirSync(path);
    chmodSync(path, 0o755);
    return path;
  };
  const target = dir('view');
  // A read-only overlay needs two lowers; the empty ones change nothing.
  const facts = { dir: join(bundle, `facts-${index}`), rootless };
  const lower = [dir('none'), ...withLowerFacts(mount.lower ?? [], facts)];
  if (lower.length === 1) lower.push(dir('nothing'));
  const writable = mount.readonly ? {} : { upper: dir('upper'), work: dir('work') };
  mountOverlay({ target, lower, rootless, linkDir: join(bundle, `links-${index}`), ...writable });
  mounted.push(target);
  const location = locate(target, mount.subpath ?? '/');
  if (location.missing.length > 0) {
    throw new OcibuildError(
      'MOUNT_INVALID',
      `Cannot mount "${mount.subpath}" on "${mount.target}": there is no such path in its source`,
      { details: { target: mount.target, subpath: mount.subpath } },
    );
  }
  return join(target, finalPath(location));
}

function makeCwd(root: string, cwd: string, user: ResolvedUser): string {
  try {
    const location = locate(root, cwd);
    makeDirs(root, location, user);
    const path = finalPath(location);
    if (statSync(join(root, path)).isDirectory()) return path;
  } catch (cause) {
    if (!['ENOTDIR', 'ELOOP', 'EEXIST', 'ENAMETOOLONG'].includes(syscallErrno(cause))) throw cause;
    throw invalidCwd(cwd, cause);
  }
  throw invalidCwd(cwd, undefined);
}

function invalidCwd(cwd: string, cause: unknown): OcibuildError {
  return new OcibuildError(
    'RUN_CWD_INVALID',
    `Cannot enter the working directory "${cwd}": it is no directory`,
    {
      cause,
      details: { cwd },
    },
  );
}

function kindOf(mount: SpecMount): StubKind {
  if (mount.type !== 'bind') return 'tmpfs';
  try {
    return statSync(mount.source).isDirectory() ? 'dir' : 'file';
  } catch (cause) {
    const why = syscallErrno(cause) === 'ENOENT' ? 'it is not there' : syscallErrno(cause);
    throw new OcibuildError(
      'MOUNT_INVALID',
      `Cannot mount "${mount.source}" on "${mount.destination}": ${why}`,
      { cause },
    );
  }
}

function isBelowOwnMount(path: string, points: readonly string[]): boolean {
  for (let dir = dirname(path); dir !== '/'; dir = dirname(dir)) if (points.includes(dir)) return true;
  return LASTING_POINTS.includes(path);
}
