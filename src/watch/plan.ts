import { realpathSync } from 'node:fs';
import { dirname } from 'node:path';
import type { BuildInputs } from '../build/session/types.ts';
import { isAtOrBelow } from './is-at-or-below.ts';

/** Where to listen, and what of what is heard there matters. All paths are absolute. */
export interface WatchPlan {
  /** Directories to watch, none inside another. */
  readonly roots: readonly string[];
  /** Whether nothing at or below a path matters. Without `isDir` only what holds for files and directories. */
  ignored(path: string, isDir?: boolean): boolean;
  /** Whether a change of a path may change what a build reads. */
  concerns(path: string): boolean;
  /** Whether a path is itself read, and not only on the way to what is read. */
  reads(path: string): boolean;
  /** The path as the build knows it: a context behind a link is watched where it really is. */
  named(path: string): string;
  /** Equal where two plans listen to the same. */
  readonly key: string;
}

export interface WatchPlanOptions extends BuildInputs {
  /** Directories outside of the inputs that matter too. */
  readonly more?: readonly string[];
  /** Files that the build does not read and that are listened to. */
  readonly aside?: readonly string[];
  /** What the build itself writes: paths that never matter, with all below them. */
  readonly written?: readonly string[];
}

interface Area {
  /** As it really is, without links. */
  readonly dir: string;
  readonly name: string;
  /** Relative to `dir`; `''` is everything. */
  readonly select: readonly string[];
  readonly rules: readonly string[];
  excluded(path: string, isDir: boolean): boolean;
  mayContainIncluded(path: string): boolean;
}

/** What to watch for a build: its texts, and of directories what its steps select and no ignore file excludes. */
export function planWatch({
  files,
  trees = [],
  more = [],
  aside = [],
  written = [],
}: WatchPlanOptions): WatchPlan {
  const single = new Set([
    ...[...files, ...aside].flatMap((path) => [path, real(path)]),
    ...trees.map(({ dir }) => dir),
  ]);
  const areas: Area[] = [
    ...trees.map(({ dir, select, rules, ignore }) => ({
      dir: real(dir),
      name: dir,
      rules,
      select: [...select, ...select.flatMap((path) => linkTargets(dir, path))],
      excluded: ignore?.excluded ?? never,
      mayContainIncluded: ignore?.mayContainIncluded ?? never,
    })),
    ...more.map((dir) => ({ dir: real(dir), name: dir, select: [''], rules: [], ...rulesFor(dir, trees) })),
  ];
  const roots = outermost([...[...single].map((path) => dirname(path)), ...areas.map(({ dir }) => dir)]);
  const outputs = written.flatMap((path) => [path, real(path)]);
  const isWritten = (path: string): boolean => outputs.some((output) => isAtOrBelow(path, output));
  const onTheWay = (path: string): boolean =>
    [...single, ...areas.map(({ dir }) => dir)].some((wanted) => isAtOrBelow(wanted, path));

  /** Undefined where the area does not hold the path. */
  const inArea = ({ dir, select, ...rules }: Area, path: string, isDir: boolean): boolean => {
    if (!isAtOrBelow(path, dir)) return false;
    const inside = path.slice(dir === '/' ? 1 : dir.length + 1);
    if (inside === '') return true;
    const isSelected = select.some(
      (prefix) => prefix === '' || isAtOrBelow(inside, prefix) || isAtOrBelow(prefix, inside),
    );
    return isSelected && (!rules.excluded(inside, isDir) || (isDir && rules.mayContainIncluded(inside)));
  };
  const matters = (path: string, isDir: boolean): boolean =>
    !isWritten(path) && (single.has(path) || areas.some((area) => inArea(area, path, isDir)));

  return {
    roots,
    ignored: (path, isDir) =>
      !onTheWay(path) &&
      (isDir === true || !matters(path, false)) &&
      (isDir === false || !matters(path, true)),
    concerns: (path) => matters(path, false) || matters(path, true),
    reads: (path) =>
      !isWritten(path) &&
      (files.includes(path) ||
        areas.some(({ dir, name, select }) =>
          [dir, name].some((top) =>
            select.some((inside) => isAtOrBelow(path, inside === '' ? top : `${top}/${inside}`)),
          ),
        )),
    named(path) {
      const area = areas.find(({ dir, name }) => dir !== name && isAtOrBelow(path, dir));
      return area === undefined ? path : area.name + path.slice(area.dir.length);
    },
    key: JSON.stringify([
      [...single],
      areas.map(({ dir, name, select, rules }) => [dir, name, select, rules]),
      outputs,
    ]),
  };
}

/** A directory in a context is ignored where the context is. */
function rulesFor(
  dir: string,
  trees: NonNullable<BuildInputs['trees']>,
): Pick<Area, 'excluded' | 'mayContainIncluded'> {
  const tree = trees.find((one) => one.ignore !== undefined && isAtOrBelow(dir, one.dir));
  const rules = tree?.ignore;
  if (tree === undefined || rules === undefined) return { excluded: never, mayContainIncluded: never };
  const prefix = dir === tree.dir ? '' : `${dir.slice(tree.dir.length + 1)}/`;
  return {
    excluded: (path, isDir) => rules.excluded(prefix + path, isDir),
    mayContainIncluded: (path) => rules.mayContainIncluded(prefix + path),
  };
}

/** Where a selected path leads through links, when that is inside the directory too. */
function linkTargets(dir: string, path: string): readonly string[] {
  const [from, to] = [real(dir), real(`${dir}/${path}`)];
  return to !== `${from}/${path}` && isAtOrBelow(to, from) ? [to.slice(from.length + 1)] : [];
}

function real(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}

function outermost(paths: readonly string[]): string[] {
  const all = [...new Set(paths)];
  return all.filter((path) => !all.some((other) => other !== path && isAtOrBelow(path, other))).sort();
}

function never(): boolean {
  return false;
}
