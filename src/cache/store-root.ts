import {
  accessSync,
  chmodSync,
  constants,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  statSync,
  unlinkSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { OcibuildError, throwIfAborted } from '../errors/error.ts';
import { errnoOf, writeFileAtomic } from '../util/atomic-fs.ts';
import { currentOwner, isAlive, type Owner, ownedName, ownerOf } from '../util/owner.ts';
import { readError, storeError } from './store-error.ts';
import type { LeftBundle, StoreRoot } from './types.ts';

const PRIVATE = ['snapshots', 'trees', 'mounts', 'run', 'tmp', 'trash'] as const;
/** What may stand in a directory that has no `oci-layout` yet: another process is making the store right now. */
const OURS =
  /^(oci-layout|blobs|builds|failed|containers|gc|leases|volumes|git|snapshots|trees|mounts|run|tmp|trash|index\.json|cache\.db.*|lost\+found)$/;
const LAYOUT_VERSION = '1.0.0';

/**
 * Opens the store, makes it when the directory is missing or empty, and sweeps what dead processes left.
 * An OCI layout of another tool is taken over as it is.
 * @throws STORE_NOT_WRITABLE, STORE_INVALID, DISK_FULL
 * @see image-spec image-layout.md
 */
export async function openStore(root: string, options: { signal?: AbortSignal } = {}): Promise<StoreRoot> {
  throwIfAborted(options.signal);
  const dir = resolve(root);
  const owner = currentOwner();
  prepare(dir, owner);
  const trash: string[] = [];
  const leftBundles = sweep(dir, owner, trash);
  return {
    ...pathsOf(dir, owner),
    leftBundles,
    discard(path) {
      moveToTrash(path, dir, owner, trash);
    },
    async emptyTrash({ wait = false } = {}) {
      const directories = trash.splice(0).filter((path) => !removeSmall(path));
      if (directories.length === 0) return;
      const { removeTrees } = await import('./remove-trees.ts');
      await removeTrees(directories, wait);
    },
  };
}

/** Whether there is a store, or the beginning of one. */
export function isStore(dir: string): boolean {
  return ['oci-layout', 'index.json'].some((name) => existsSync(join(dir, name)));
}

/**
 * The store as it stands, for who only looks: nothing is made, swept or deleted. One that is not there is empty.
 * @throws STORE_INVALID, STORE_NOT_READABLE
 */
export function viewStore(root: string): StoreRoot {
  const dir = resolve(root);
  try {
    statSync(dir);
    checkLayout(dir);
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw readError(error, dir);
  }
  return {
    ...pathsOf(dir, currentOwner()),
    leftBundles: [],
    discard: () => undefined,
    emptyTrash: async () => undefined,
  };
}

type Paths = Omit<StoreRoot, 'leftBundles' | 'discard' | 'emptyTrash'>;

function pathsOf(dir: string, owner: Owner): Paths {
  return {
    dir,
    blobsDir: join(dir, 'blobs', 'sha256'),
    snapshotsDir: join(dir, 'snapshots'),
    treesDir: join(dir, 'trees'),
    mountsDir: join(dir, 'mounts'),
    runDir: join(dir, 'run'),
    tmpDir: join(dir, 'tmp'),
    trashDir: join(dir, 'trash'),
    databaseFile: join(dir, 'cache.db'),
    indexFile: join(dir, 'index.json'),
    tempPath: () => join(dir, 'tmp', ownedName(owner)),
    bundle() {
      const id = ownedName(owner);
      return { id, dir: join(dir, 'run', id) };
    },
  };
}

function prepare(dir: string, owner: Owner): void {
  try {
    makePath(dir);
    checkLayout(dir);
    for (const name of PRIVATE) makeDir(join(dir, name), 0o700);
    makeDir(join(dir, 'blobs'), 0o755);
    makeDir(join(dir, 'blobs', 'sha256'), 0o755);
    // The sync makes sure that a power loss in the first minute leaves a layout, not two empty files.
    const create = (name: string, value: unknown): void => {
      if (lstatSync(join(dir, name), { throwIfNoEntry: false }) !== undefined) return;
      // Exclusive, or a process that starts beside this one could lose the tag it has just written.
      writeFileAtomic(join(dir, name), JSON.stringify(value), {
        temp: join(dir, 'tmp', ownedName(owner)),
        sync: true,
        exclusive: true,
      });
    };
    create('index.json', {
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.index.v1+json',
      manifests: [],
    });
    create('oci-layout', { imageLayoutVersion: LAYOUT_VERSION });
    for (const name of ['.', 'tmp', 'blobs/sha256'])
      accessSync(join(dir, name), constants.W_OK | constants.X_OK);
  } catch (error) {
    const code = errnoOf(error);
    if (code === 'ENOTDIR' || code === 'EEXIST')
      throw invalid(dir, 'a file stands where a directory is needed', error);
    // ENOENT: a file system that makes no directories, such as /proc.
    throw storeError(code === 'ENOENT' ? Object.assign(error as Error, { code: 'EROFS' }) : error, dir);
  }
}

/** mkdir -p with one try a level: node's own never returns where mkdir gives ENOENT below an existing parent, as
 * /proc does. */
function makePath(dir: string, last = false): void {
  try {
    mkdirSync(dir, { mode: 0o755 });
  } catch (error) {
    if (errnoOf(error) === 'EEXIST' && statSync(dir, { throwIfNoEntry: false })?.isDirectory()) return;
    if (last || errnoOf(error) !== 'ENOENT' || dirname(dir) === dir) throw error;
    makePath(dirname(dir));
    makePath(dir, true);
  }
}

function checkLayout(dir: string): void {
  const layout = readLayout(dir);
  if (layout === undefined) refuseForeign(dir);
  else if (layout !== LAYOUT_VERSION) {
    throw invalid(
      dir,
      `its oci-layout has version "${layout}", this version of ocibuild reads "${LAYOUT_VERSION}"`,
    );
  }
}

/** Version of the layout, or undefined when there is none. */
function readLayout(dir: string): string | undefined {
  let text: string;
  try {
    text = readFileSync(join(dir, 'oci-layout'), 'utf8');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && 'imageLayoutVersion' in value) {
      return String(value.imageLayoutVersion);
    }
  } catch {
    // Falls through: told below.
  }
  throw invalid(dir, 'its oci-layout holds no imageLayoutVersion');
}

/** `--root ~` must not turn a home directory into a store. */
function refuseForeign(dir: string): void {
  const stranger = readdirSync(dir).find((name) => !OURS.test(name));
  if (stranger === undefined) return;
  throw invalid(dir, `it is neither empty nor a store: it holds "${stranger}"`);
}

function invalid(dir: string, why: string, cause?: unknown): OcibuildError {
  return new OcibuildError('STORE_INVALID', `Cannot use "${dir}" as store: ${why}`, {
    hint: 'choose an empty directory with --root or OCIBUILD_ROOT',
    details: { path: dir },
    cause,
  });
}

function makeDir(path: string, mode: number): void {
  try {
    mkdirSync(path, { mode });
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error;
    if (!lstatSync(path).isDirectory()) throw error;
    return;
  }
  // mkdir's mode is cut by the umask.
  chmodSync(path, mode);
}

/** Three readdirs when there is nothing to do. Things are claimed by renaming them to a name of ours, so of two
 * processes that sweep at once one gets each. Bundles keep their name: it is the id of a container. */
function sweep(dir: string, owner: Owner, trash: string[]): readonly LeftBundle[] {
  const verdicts = new Map<string, boolean>();
  const dead = (name: string): boolean => {
    const other = ownerOf(name);
    if (other === undefined) return false;
    const key = `${other.pid}-${other.startTime}`;
    const known = verdicts.get(key) ?? !isAlive(other);
    verdicts.set(key, known);
    return known;
  };
  for (const folder of ['tmp', 'trash']) {
    for (const name of readdirSync(join(dir, folder))) {
      if (!dead(name)) continue;
      try {
        moveToTrash(join(dir, folder, name), dir, owner, trash);
      } catch {
        // Rootless builds leave directories of mapped users, which can be moved from inside the user namespace
        // only: the next sweep that runs there takes them.
      }
    }
  }
  return readdirSync(join(dir, 'run'))
    .filter(dead)
    .map((id) => ({ id, dir: join(dir, 'run', id) }));
}

function moveToTrash(path: string, dir: string, owner: Owner, trash: string[]): void {
  const target = join(dir, 'trash', ownedName(owner));
  try {
    renameSync(path, target);
    trash.push(target);
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw storeError(error, path);
  }
}

/** Deletes a file or an empty directory; false for a directory with content. */
function removeSmall(path: string): boolean {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  try {
    if (stat?.isDirectory()) rmdirSync(path);
    else if (stat !== undefined) unlinkSync(path);
    return true;
  } catch (error) {
    return errnoOf(error) === 'ENOENT';
  }
}
