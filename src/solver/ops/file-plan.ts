import { OcibuildError } from '../../errors/error.ts';
import { sortTree } from '../../layer/tree/tree.ts';
import { baseName, parentOf, resolvePath, type TreeView } from '../../layer/tree/tree-view.ts';
import type { FileContent, Tree, TreeEntry } from '../../layer/types.ts';
import type { ModeChange } from '../../util/symbolic-mode.ts';
import type { InTurns } from '../../util/turns.ts';
import { copiedEntry, directoryEntry } from './planned-entry.ts';
import { join, type Selected } from './select.ts';

/** So many entries take about 20 ms. */
const TURN_ENTRIES = 4096;

/** Numbers that new entries get; undefined keeps what the source has. */
export interface PlanOwner {
  readonly uid: number;
  readonly gid: number;
}

/** One source file system and how its files are read. */
export interface PlanSource {
  readonly view: TreeView;
  content(entry: TreeEntry): FileContent;
}

export interface OpenedArchive extends PlanSource {
  /** Hard links to files that the archive does not hold: path → target, both in the archive. */
  readonly foreignLinks: ReadonlyMap<string, string>;
  /** What the archive says at a path, a hard link as such. */
  entryAt(path: string): TreeEntry | undefined;
}

export interface PlannedLayer {
  readonly tree: Tree;
  content(entry: TreeEntry): FileContent;
}

export interface FilePlan {
  mkdir(path: string, mode: number, owner: PlanOwner | undefined): void;
  mkfile(
    path: string,
    data: { digest: TreeEntry['digest']; size: number; path: string },
    entry: FileAttributes,
  ): void;
  /** `dest` absolute, a trailing slash says directory. */
  copy(
    selected: readonly Selected[],
    source: PlanSource,
    dest: string,
    attributes: CopyAttributes,
  ): InTurns<void>;
  /**
   * Everything of an unpacked archive goes below `dest`.
   * @param lower what `linkTargets` gave, with digests, and where it is read from
   */
  unpack(
    archive: OpenedArchive,
    dest: string,
    about: { readonly owner: PlanOwner | undefined; readonly lower?: PlanSource; readonly targets?: Tree },
  ): void;
  /** Files of the base that an archive below `dest` makes hard links to. */
  linkTargets(archive: OpenedArchive, dest: string): Tree;
  finish(): PlannedLayer;
}

export interface FileAttributes {
  readonly mode: number;
  readonly owner: PlanOwner | undefined;
}

export interface CopyAttributes {
  /** `--chmod`: a mode for everything, or what becomes of each. */
  readonly mode: number | ModeChange | undefined;
  readonly owner: PlanOwner | undefined;
  /** Of directories that the copy makes on its way; undefined: root, and the group of a parent with setgid. */
  readonly directoryOwner?: PlanOwner | undefined;
  /** A new destination has the mode of the source directory. */
  readonly keepsMode?: boolean;
}

/** Changes a tree without touching a disk: the layer that a COPY, ADD or WORKDIR makes on top of `base`.
 * Directories that are only passed through are repeated with their attributes, because the upper layer's win
 * when layers are stacked; their times are the build's epoch, so the layer depends on no clock.
 * @param epochSec mtime of directories that the plan makes or changes, in seconds */
export function createFilePlan(base: TreeView, epochSec: number): FilePlan {
  const made = new Map<string, TreeEntry>();
  const origins = new Map<string, { readonly source: PlanSource; readonly entry: TreeEntry }>();
  const files = new Map<string, FileContent>();
  /** Of a file with several names: all of them. */
  const names = new Map<string, Set<string>>();
  /** Directories that a new non-directory replaced: nothing of the base shows below them. */
  const replaced = new Set<string>();

  const view: Pick<TreeView, 'get'> = {
    get(path) {
      const own = made.get(path);
      if (own !== undefined) return own;
      if (replaced.size === 0) return base.get(path);
      for (let up = parentOf(path); up !== undefined; up = parentOf(up))
        if (replaced.has(up)) return undefined;
      return base.get(path);
    },
  };

  /** Puts an entry in, with the directories above it. The parents exist or were made before. */
  function put(entry: TreeEntry, before: TreeEntry | undefined = view.get(entry.path)): void {
    for (let up = parentOf(entry.path); up !== undefined && up !== ''; up = parentOf(up)) {
      // What was put came with the directories above it.
      if (made.has(up)) break;
      const existing = view.get(up);
      if (existing?.type === 'dir') made.set(up, { ...existing, path: up, mtimeSec: epochSec });
    }
    if (before?.type === 'dir' && entry.type !== 'dir') {
      replaced.add(entry.path);
      for (const path of made.keys()) if (path.startsWith(`${entry.path}/`)) forget(path);
    }
    forget(entry.path);
    // Archives tell all sorts of modes for a symlink, a file system knows one.
    made.set(entry.path, entry.type === 'symlink' ? { ...entry, mode: 0o777 } : entry);
  }

  function forget(path: string): void {
    made.delete(path);
    origins.delete(path);
    files.delete(path);
    names.get(path)?.delete(path);
    names.delete(path);
  }

  /** mkdir -p after following symlinks; gives the real path. */
  function ensureDirectory(path: string, mode: number, owner?: PlanOwner, inherits = SETGID): string {
    const { path: real } = follow(path);
    let at = '';
    for (const part of real.split('/').filter((p) => p !== '')) {
      at = join(at, part);
      const existing = view.get(at);
      if (existing?.type === 'dir') continue;
      if (existing !== undefined) {
        throw new OcibuildError(
          'COPY_TARGET_CLASH',
          `Cannot make the directory "/${real}": "/${at}" is a ${kindOf(existing)}`,
        );
      }
      const parent = view.get(parentOf(at) ?? '');
      const setgid = (parent?.mode ?? 0) & SETGID;
      const inherited = setgid === 0 ? undefined : { uid: 0, gid: parent?.gid ?? 0 };
      put(directoryEntry(at, mode | (setgid & inherits), owner ?? inherited, epochSec));
    }
    return real;
  }

  /** One that an archive only implies. As in Docker it is root's whatever owner is asked for, and its mode is set
   * after it was made: of a parent with setgid it has the group, and the bit no more. */
  function impliedDirectory(path: string): string {
    return ensureDirectory(path, 0o755, undefined, 0);
  }

  function follow(path: string): { path: string; entry: TreeEntry | undefined } {
    const resolved = resolvePath(view, path, { followLast: true });
    if (resolved === undefined) {
      throw new OcibuildError('COPY_INVALID', `Cannot resolve "${path}": too many levels of symbolic links`);
    }
    return resolved;
  }

  function putCopy(path: string, entry: TreeEntry, source: PlanSource, attributes: CopyAttributes): void {
    const existing = view.get(path);
    if (existing?.type === 'dir' && entry.type !== 'dir') {
      throw new OcibuildError(
        'COPY_TARGET_CLASH',
        `Cannot copy the ${kindOf(entry)} "/${entry.path}" over the directory "/${path}"`,
      );
    }
    put(copiedEntry(entry, path, attributes), existing);
    if (entry.type === 'file') origins.set(path, { source, entry });
  }

  function* copyDirectory(
    one: Selected,
    source: PlanSource,
    dest: string,
    attributes: CopyAttributes,
  ): InTurns<void> {
    const mode = attributes.keepsMode === true ? one.root.mode : newDirectoryMode(attributes);
    const root = ensureDirectory(dest, mode, attributes.directoryOwner);
    const seen = new Map<string, string>();
    /** Where a directory of the source lands: differs from its own path where a symlink stands there. */
    const landed = new Map<string, string>([['', root]]);
    for (const [i, { relative, entry, onTheWay }] of one.below.entries()) {
      if (i % TURN_ENTRIES === TURN_ENTRIES - 1) yield;
      const at = join(landed.get(parentOf(relative) ?? '') ?? root, baseName(relative));
      if (entry.type === 'dir') {
        landed.set(relative, copyNested(at, entry, { source, attributes, onTheWay }));
        continue;
      }
      const inode = linked(source, entry);
      const first = inode === undefined ? undefined : seen.get(inode);
      putCopy(at, entry, source, attributes);
      if (inode === undefined || entry.type !== 'file') continue;
      if (first === undefined) seen.set(inode, at);
      else linkPaths(at, first);
    }
  }

  function copyNested(
    at: string,
    entry: TreeEntry,
    how: { source: PlanSource; attributes: CopyAttributes; onTheWay: true | undefined },
  ): string {
    const existing = view.get(at);
    if (existing !== undefined && existing.type !== 'dir') {
      throw new OcibuildError(
        'COPY_TARGET_CLASH',
        `Cannot copy the directory "/${entry.path}" over the ${kindOf(existing)} "/${at}"`,
      );
    }
    // As Docker does it: a directory that is there and only leads to what is copied takes the mode, and no owner.
    if (how.onTheWay && existing !== undefined)
      put({ ...existing, path: at, mode: entry.mode, mtimeSec: epochSec });
    else putCopy(at, entry, how.source, how.attributes);
    return at;
  }

  /** `path` becomes one more name of the file at `other`, which gets its attributes. */
  function linkPaths(path: string, other: string): void {
    const all = names.get(other) ?? new Set([other]);
    all.add(path);
    for (const name of [path, other]) names.set(name, all);
  }

  /** The first name in canonical order is the file: a link's target must come first in a layer. */
  function withHardlinks(tree: Tree): Tree {
    const targets = new Map<Set<string>, string>();
    return tree.map((entry) => {
      const all = names.get(entry.path);
      if (all === undefined || all.size < 2) return entry;
      const { digest, ...facts } = made.get([...all].at(-1) as string) as TreeEntry;
      const target = targets.get(all);
      if (target !== undefined)
        return { ...facts, path: entry.path, type: 'hardlink', size: 0, link: target };
      targets.set(all, entry.path);
      return { ...facts, ...(digest === undefined ? {} : { digest }), path: entry.path };
    });
  }

  return {
    mkdir(path, mode, owner) {
      ensureDirectory(path, mode, owner);
    },
    mkfile(path, data, { mode, owner }) {
      const target = intoPath(path);
      const { uid, gid } = owner ?? { uid: 0, gid: 0 };
      const digest = data.digest === undefined ? {} : { digest: data.digest };
      put({ path: target, type: 'file', mode, uid, gid, size: data.size, mtimeSec: epochSec, ...digest });
      files.set(target, { path: data.path });
    },
    *copy(selected, source, dest, attributes) {
      const toDirectory = dest.endsWith('/');
      for (const one of selected) {
        if (one.root.type === 'dir') {
          yield* copyDirectory(one, source, dest, attributes);
          continue;
        }
        const target = follow(dest);
        const intoDirectory = toDirectory || target.entry?.type === 'dir';
        const make = (path: string): string =>
          ensureDirectory(path, newDirectoryMode(attributes), attributes.directoryOwner);
        const real = make(intoDirectory ? dest : dest.slice(0, dest.lastIndexOf('/')));
        // Where a dangling symlink stands, its target is made.
        if (!intoDirectory) make(parentOf(target.path) ?? '');
        const path = intoDirectory ? join(real, one.name) : target.path;
        putCopy(path, one.root, source, attributes);
      }
    },
    linkTargets(archive, dest) {
      const root = follow(dest).path;
      return [...archive.foreignLinks.values()].flatMap((link) => {
        const { path, entry } = linkTarget(root, link);
        return made.has(path) || entry === undefined ? [] : [{ ...entry, path }];
      });
    },
    unpack(source, dest, { owner, lower, targets = [] }) {
      const root = ensureDirectory(dest, 0o755, owner);
      const walk = (relative: string): void => {
        for (const name of source.view.children(relative)) {
          const path = join(relative, name);
          const entry = source.view.get(path);
          if (entry === undefined) continue;
          const parent = parentOf(path) ?? '';
          const real = impliedDirectory(join(root, parent));
          const at = join(real, name);
          // A directory of the archive replaces a symlink, even one to a directory.
          if (source.view.layerOf(path) >= 0) put({ ...entry, path: at, ...(owner ?? {}) });
          if (entry.type === 'file') origins.set(at, { source, entry });
          if (entry.type === 'dir') walk(path);
        }
      };
      walk('');
      linkUnpacked(source, root);
      for (const [path, link] of source.foreignLinks) {
        const { path: target, entry } = linkTarget(root, link);
        if (entry?.type !== 'file') {
          throw new OcibuildError(
            'ARCHIVE_INVALID',
            `Cannot unpack hard link "${path}": its target "/${target}" is neither in the archive nor at the destination`,
          );
        }
        const known = targets.find((each) => each.path === target);
        // The header of the link tells the facts of the file, as it does for tar and Docker.
        const { mode, uid, gid, mtimeSec } = source.entryAt(path) ?? entry;
        const facts = { ...entry, ...known, mode, uid, gid, mtimeSec, ...(owner ?? {}) };
        if (known !== undefined && lower !== undefined && !made.has(target)) {
          put({ ...facts, path: target });
          origins.set(target, { source: lower, entry: known });
        }
        const at = join(impliedDirectory(join(root, parentOf(path) ?? '')), baseName(path));
        put({ ...facts, path: at });
        const origin = origins.get(target);
        if (origin !== undefined) origins.set(at, origin);
        const inline = files.get(target);
        if (inline !== undefined) files.set(at, inline);
        linkPaths(at, target);
      }
    },
    finish() {
      const tree = withHardlinks(sortTree([...made.values()]));
      return {
        tree,
        content(entry) {
          const file = files.get(entry.path);
          if (file !== undefined) return file;
          const origin = origins.get(entry.path);
          if (origin === undefined) {
            throw new OcibuildError(
              'INTERNAL',
              `Cannot read "/${entry.path}": the copy does not know its source`,
            );
          }
          return origin.source.content(origin.entry);
        },
      };
    },
  };

  function linkTarget(root: string, link: string): { path: string; entry: TreeEntry | undefined } {
    const resolved = resolvePath(view, join(root, link), { followLast: false });
    return resolved ?? { path: join(root, link), entry: undefined };
  }

  /** Hardlinks of an archive stay hardlinks where their target landed in the layer too. */
  function linkUnpacked(source: PlanSource, root: string): void {
    const seen = new Map<string, string>();
    for (const [path, { source: from, entry }] of origins) {
      if (from !== source || !(root === '' || path.startsWith(`${root}/`))) continue;
      const inode = linked(source, entry);
      if (inode === undefined) continue;
      const first = seen.get(inode);
      if (first === undefined) seen.set(inode, path);
      else linkPaths(path, first);
    }
  }

  /** A file's path: into the directory that stands there, or the path itself after symlinks. */
  function intoPath(path: string): string {
    const target = follow(path);
    if (target.entry?.type === 'dir') {
      throw new OcibuildError(
        'COPY_TARGET_CLASH',
        `Cannot write the file "${path}": a directory stands there`,
      );
    }
    ensureDirectory(path.slice(0, path.lastIndexOf('/')), 0o755, undefined);
    return target.path;
  }
}

/** mkdir(2) gives a new directory the setgid bit and the group of its parent, and Docker's copies show it. */
const SETGID = 0o2000;

/** Directories that a copy makes on its way get the permission bits of an octal `--chmod` under the usual umask. */
function newDirectoryMode({ mode }: CopyAttributes): number {
  return typeof mode === 'number' ? mode & 0o755 : 0o755;
}

/** Names the inode of a file: equal for the entries of one layer that share it. */
function linked(source: PlanSource, entry: TreeEntry): string | undefined {
  return entry.type === 'file'
    ? `${source.view.layerOf(entry.path)}:${source.view.inodePath(entry.path)}`
    : undefined;
}

function kindOf(entry: TreeEntry): string {
  return entry.type === 'dir'
    ? 'directory'
    : entry.type === 'char' || entry.type === 'block'
      ? 'device'
      : entry.type;
}
