import {
  closeSync,
  lstatSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
  rmdirSync,
  type Stats,
  unlinkSync,
  utimesSync,
} from 'node:fs';
import { decodeName, fsPath } from '../path-bytes.ts';
import { type Sys, sys } from '../sys.ts';
import { type DiffUpperOptions, keptXattrs } from './diff-upper.ts';

const CHUNK_BYTES = 1 << 20;
/** From so many names on, lists of directories cost less than a look at each name. */
const MANY_NAMES = 16;

interface Removal {
  readonly calls: Sys;
  readonly opaqueXattr: DiffUpperOptions['opaqueXattr'];
  readonly chunks: readonly [Buffer, Buffer];
}

/**
 * Removes from an overlay's upper directory what is in every respect, times included, as the layers below show it:
 * overlay copies each file that a `chown -R` or `chmod -R` walks over, also where its owner and mode stay as they were.
 * A file with several names stays, for that one of them is new may be the change.
 * @param lower the directories below, base first
 * @see kernel Documentation/filesystems/overlayfs.rst §non-directories
 */
export function removeUnchangedCopies(
  upper: string,
  lower: readonly string[],
  { opaqueXattr }: Pick<DiffUpperOptions, 'opaqueXattr'>,
): void {
  const chunks = [Buffer.alloc(CHUNK_BYTES), Buffer.alloc(CHUNK_BYTES)] as const;
  cleanDirectory(upper, lower.toReversed(), { calls: sys(), opaqueXattr, chunks });
}

/** @param below directories of that path which show through, topmost first */
function cleanDirectory(dir: string, below: readonly string[], removal: Removal): void {
  if (below.length === 0 || isOpaque(dir, removal)) return;
  const before = lstatSync(fsPath(dir));
  let isTouched = false;
  const names = namesIn(dir);
  // A step that makes many files in a directory: one list says that none of them is below.
  const known = names.length < MANY_NAMES ? undefined : new Set(below.flatMap(namesIn));
  for (const name of names) {
    if (known?.has(name) === false) continue;
    const path = `${dir}/${name}`;
    const stat = lstatSync(fsPath(path));
    const shown = showing(name, below, removal);
    const [top] = shown;
    if (top === undefined) continue;
    if (stat.isDirectory()) {
      cleanDirectory(path, shown, removal);
      if (isOpaque(path, removal) || !isSame({ path, stat }, top, removal)) continue;
      if (namesIn(path).length > 0) continue;
      rmdirSync(fsPath(path));
    } else {
      if (stat.nlink > 1 || !isSame({ path, stat }, top, removal)) continue;
      unlinkSync(fsPath(path));
    }
    isTouched = true;
  }
  if (isTouched) utimesSync(fsPath(dir), before.atimeMs / 1000, before.mtimeMs / 1000);
}

function namesIn(dir: string): readonly string[] {
  return readdirSync(fsPath(dir), { encoding: 'buffer' }).map(decodeName);
}

/** What the layers below have of a name, topmost first: of a directory every part that shows, else one path. */
function showing(name: string, below: readonly string[], removal: Removal): readonly string[] {
  const found: string[] = [];
  for (const dir of below) {
    const path = `${dir}/${name}`;
    const stat = lstatSync(fsPath(path), { throwIfNoEntry: false });
    if (stat === undefined) continue;
    if (!stat.isDirectory()) return found.length > 0 || isWhiteout(stat) ? found : [path];
    found.push(path);
    if (isOpaque(path, removal)) break;
  }
  return found;
}

function isSame(one: { path: string; stat: Stats }, below: string, removal: Removal): boolean {
  const [a, b] = [one.stat, lstatSync(fsPath(below))];
  const isDirectory = a.isDirectory();
  return (
    a.mode === b.mode &&
    a.uid === b.uid &&
    a.gid === b.gid &&
    a.mtimeMs === b.mtimeMs &&
    a.rdev === b.rdev &&
    (isDirectory || a.size === b.size) &&
    xattrsOf(one.path, removal) === xattrsOf(below, removal) &&
    (!a.isSymbolicLink() || readlink(one.path).equals(readlink(below))) &&
    (!a.isFile() || sameContent(one.path, below, removal))
  );
}

function readlink(path: string): Buffer {
  return readlinkSync(fsPath(path), { encoding: 'buffer' });
}

function xattrsOf(path: string, { calls }: Removal): string {
  const native = fsPath(path);
  return JSON.stringify(keptXattrs(calls, native, calls.llistxattr(native)) ?? {});
}

function sameContent(a: string, b: string, { chunks: [chunkA, chunkB] }: Removal): boolean {
  const fdA = openSync(fsPath(a), 'r');
  try {
    const fdB = openSync(fsPath(b), 'r');
    try {
      for (;;) {
        const length = readSync(fdA, chunkA);
        if (length !== readSync(fdB, chunkB)) return false;
        if (length === 0) return true;
        if (!chunkA.subarray(0, length).equals(chunkB.subarray(0, length))) return false;
      }
    } finally {
      closeSync(fdB);
    }
  } finally {
    closeSync(fdA);
  }
}

function isWhiteout(stat: Stats): boolean {
  return stat.isCharacterDevice() && stat.rdev === 0;
}

function isOpaque(path: string, { calls, opaqueXattr }: Removal): boolean {
  return calls.lgetxattr(fsPath(path), opaqueXattr)?.toString('latin1') === 'y';
}
