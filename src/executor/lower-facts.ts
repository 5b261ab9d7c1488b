import { chmodSync, chownSync, lstatSync, mkdirSync, type Stats, statSync, utimesSync } from 'node:fs';
import { fsPath } from '../layer/path-bytes.ts';
import { sys } from '../layer/sys.ts';
import { impliedIn } from '../layer/tree/implied-directories.ts';
import { parentOf } from '../layer/tree/tree-view.ts';

/** Labels, ACL caches and overlay's own marks: nothing that a layer says of a directory. */
const OF_MACHINE = /^(security\.|system\.|(trusted|user)\.overlay\.)/;

interface Lower {
  readonly dir: string;
  readonly implied: ReadonlySet<string>;
}

/**
 * The layers to stack, base first. An archive may hold `tmp/x` without `tmp`: what the snapshot made up for that would
 * hide owner, mode and attributes of a directory below it, so that a topmost layer at `dir` shows them again.
 */
export function withLowerFacts(
  lower: readonly string[],
  options: { dir: string; rootless: boolean },
): readonly string[] {
  const { dir, rootless } = options;
  const layers = lower.map((each): Lower => ({ dir: each, implied: new Set(impliedIn(each)) }));
  const hidden = layers.slice(1).flatMap(({ implied }) => [...implied]);
  const find = (path: string): Found | undefined => findFacts(layers, path, prefixOf(rootless));
  const wanted = [...new Set(hidden)].filter((path) => find(path)?.isMasked === true);
  if (wanted.length === 0) return lower;
  const paths = new Set(wanted.flatMap((path) => [...ancestors(path), path]));
  // Its root is what the step's view of the root takes over.
  const { mode, uid, gid } = statSync(lower.at(-1) ?? dir);
  mkdirSync(dir);
  chownSync(dir, uid, gid);
  chmodSync(dir, mode & 0o7777);
  const sorted = [...paths].sort();
  for (const path of sorted) {
    const target = `${dir}/${path}`;
    mkdirSync(fsPath(target));
    const found = find(path);
    if (found === undefined) chmodSync(fsPath(target), 0o755);
    else copyFacts(found, target);
  }
  // Making a directory in another changes its time.
  for (const path of sorted.reverse()) {
    const time = (find(path)?.stat.mtimeMs ?? 0) / 1000;
    utimesSync(fsPath(`${dir}/${path}`), time, time);
  }
  return [...lower, dir];
}

interface Found {
  readonly at: string;
  readonly stat: Stats;
  /** A layer above has made one up. */
  readonly isMasked: boolean;
}

/** The directory that the uppermost layer has which lists it; undefined where it is gone or nobody lists it. */
function findFacts(layers: readonly Lower[], path: string, prefix: string): Found | undefined {
  let isMasked = false;
  for (const { dir, implied } of layers.toReversed()) {
    let at = dir;
    let closed = false;
    let stat: Stats | undefined;
    for (const part of path.split('/')) {
      closed ||= isOpaque(at, prefix);
      at = `${at}/${part}`;
      stat = lstatSync(fsPath(at), { throwIfNoEntry: false });
      if (stat === undefined) break;
      // A whiteout, or something that took the place of a directory: it hides what is below, links are not followed.
      if (!stat.isDirectory()) return undefined;
    }
    if (stat !== undefined && !implied.has(path)) return { at, stat, isMasked };
    if (closed) return undefined;
    isMasked ||= stat !== undefined;
  }
  return undefined;
}

function copyFacts({ at, stat }: Found, target: string): void {
  chownSync(fsPath(target), stat.uid, stat.gid);
  chmodSync(fsPath(target), stat.mode & 0o7777);
  const calls = sys();
  for (const name of calls.llistxattr(fsPath(at))) {
    if (OF_MACHINE.test(name)) continue;
    const value = calls.lgetxattr(fsPath(at), name);
    if (value !== undefined) calls.lsetxattr(fsPath(target), name, value);
  }
}

function isOpaque(at: string, prefix: string): boolean {
  return sys().lgetxattr(fsPath(at), `${prefix}opaque`)?.toString('latin1') === 'y';
}

function prefixOf(rootless: boolean): string {
  return rootless ? 'user.overlay.' : 'trusted.overlay.';
}

function ancestors(path: string): string[] {
  const found: string[] = [];
  for (let parent = parentOf(path); parent; parent = parentOf(parent)) found.push(parent);
  return found;
}
