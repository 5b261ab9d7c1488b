import { isOcibuildError, OcibuildError } from '../../errors/error.ts';
import { suggest } from '../../errors/suggest.ts';
import { baseName, resolvePath, type TreeView } from '../../layer/tree/tree-view.ts';
import type { TreeEntry } from '../../layer/types.ts';
import type { CopyAction, CopySource } from '../../llb/ops.ts';
import { compileGoMatch, hasWildcard } from '../../util/go-match.ts';
import { createIgnoreMatcher, type IgnoreMatcher } from '../../util/ignore-matcher.ts';

/** One source of a COPY, resolved: a file, or a directory with everything in it. */
export interface Selected {
  /** Name it gets when it goes into a directory. */
  readonly name: string;
  /** What the source is, symlinks followed. */
  readonly root: TreeEntry;
  /** Directory: what is copied of it, paths relative to it, a directory before its content. */
  readonly below: readonly SelectedEntry[];
}

export interface SelectedEntry {
  readonly relative: string;
  /** With its path in the source. */
  readonly entry: TreeEntry;
  /** A directory that was not asked for itself, but leads to what was. */
  readonly onTheWay?: true;
}

/** The flags of a COPY that say which files it takes. */
export type Selection = Pick<CopyAction, 'exclude' | 'parents' | 'ifExists'>;

/**
 * Finds what the sources of a COPY mean in a file system: wildcards by Go's filepath.Match, sorted; a named or
 * matched symlink is followed inside the root; links met inside a directory stay links.
 * @throws COPY_SOURCE_MISSING for a plain path that is not there; a wildcard may match nothing where its directory is.
 */
export function selectSources(
  view: TreeView,
  sources: readonly CopySource[],
  { exclude, parents, ifExists }: Selection = {},
): Selected[] {
  const excluded = exclude === undefined ? undefined : createIgnoreMatcher(exclude);
  return sources.flatMap((source) => {
    try {
      if (parents === true) return selectParents(view, source, excluded);
      const paths = source.wildcard ? expand(view, source.path) : [source.path];
      return paths.map((path) => selectOne(view, path, excluded));
    } catch (error) {
      const skipped = ifExists === true && isOcibuildError(error) && error.code === 'COPY_SOURCE_MISSING';
      if (skipped) return [];
      throw error;
    }
  });
}

/** The literal directory above the first wildcard of each source: nothing outside of these is ever selected,
 * unless a symlink on the way leads there. */
export function staticPrefix({ path, wildcard }: CopySource): string {
  if (!wildcard) return path;
  const parts = path.split('/');
  const first = parts.findIndex(isWild);
  return parts.slice(0, first === -1 ? undefined : first).join('/');
}

function selectOne(view: TreeView, path: string, excluded: IgnoreMatcher | undefined): Selected {
  const { path: real, entry } = find(view, path);
  const below = entry.type === 'dir' ? collect(view, real, rulesOf(excluded)) : [];
  return { name: baseName(path), root: entry, below };
}

/**
 * What `--parents` takes: of each directory that stands at the pivot, whatever the rest of the path matches there, with
 * the directories that lead to it. Symlinks are not followed below the pivot.
 */
function selectParents(
  view: TreeView,
  { path, wildcard, pivot = 0 }: CopySource,
  excluded: IgnoreMatcher | undefined,
): Selected[] {
  const parts = path.split('/');
  const above = parts.slice(0, pivot).join('/');
  const pattern = parts.slice(pivot).join('/');
  const roots = hasWildcard(above) ? expand(view, above) : [above];
  const selected = roots.flatMap((root): Selected[] => {
    const { path: real, entry } = find(view, root);
    if (entry.type !== 'dir') return [];
    const rules = rulesOf(excluded, pattern === '' ? undefined : createIgnoreMatcher(['**', `!${pattern}`]));
    return [{ name: baseName(root), root: entry, below: collect(view, real, rules) }];
  });
  if (!wildcard && pattern !== '' && !selected.some(({ below }) => below.length > 0))
    throw missing(view, path);
  return selected;
}

function find(view: TreeView, path: string): { path: string; entry: TreeEntry } {
  const resolved = resolvePath(view, path, { followLast: true });
  if (resolved?.entry === undefined) throw missing(view, path);
  return { path: resolved.path, entry: resolved.entry };
}

function missing(view: TreeView, path: string): OcibuildError {
  const behindLink = resolvePath(view, path, { followLast: false })?.entry !== undefined;
  return new OcibuildError('COPY_SOURCE_MISSING', `Cannot find "/${path}" in the source of the copy`, {
    details: { path: `/${path}` },
    hint: behindLink
      ? 'it lies behind a symbolic link, or is excluded: name the directory that the link leads to'
      : (nearOf(view, path) ?? 'check the path, and that no ignore file excludes it'),
  });
}

/** A path that is there and reads like the one that is not: one of its names has a slip of the keyboard. */
function nearOf(view: TreeView, path: string): string | undefined {
  const parts = path.split('/');
  const wrong = parts.findIndex((_, i) => view.get(parts.slice(0, i + 1).join('/')) === undefined);
  const above = parts.slice(0, wrong).join('/');
  const near = suggest(parts[wrong] ?? '', view.children(above));
  const found = near === undefined ? '' : join(above, [near, ...parts.slice(wrong + 1)].join('/'));
  return near === undefined || view.get(found) === undefined ? undefined : `did you mean "/${found}"?`;
}

/** Whether an entry is copied, is only passed through, or is left out; and whether a directory is worth a look. */
interface Rules {
  fate(path: string, isDir: boolean): 'taken' | 'passed' | 'left';
  mayHold(dir: string): boolean;
}

function rulesOf(excluded: IgnoreMatcher | undefined, wanted?: IgnoreMatcher): Rules {
  return {
    fate(path, isDir) {
      if (excluded?.excluded(path, isDir) === true) return isDir ? 'passed' : 'left';
      if (wanted?.excluded(path, isDir) === true) return isDir ? 'passed' : 'left';
      return 'taken';
    },
    mayHold: (dir) =>
      excluded?.mayContainIncluded(dir) !== false && wanted?.mayContainIncluded(dir) !== false,
  };
}

function collect(view: TreeView, root: string, rules: Rules): SelectedEntry[] {
  const found: SelectedEntry[] = [];
  /** Directories above that stand for something only once there is something to hold. */
  const pending: SelectedEntry[] = [];
  const visit = (relative: string): void => {
    const directory = join(root, relative);
    for (const name of view.children(directory)) {
      const entry = view.get(join(directory, name));
      if (entry === undefined) continue;
      const below = join(relative, name);
      const isDir = entry.type === 'dir';
      const fate = rules.fate(below, isDir);
      if (fate === 'taken') {
        found.push(...pending.splice(0), { relative: below, entry });
        if (isDir) visit(below);
      } else if (isDir && rules.mayHold(below)) {
        const passage: SelectedEntry = { relative: below, entry, onTheWay: true };
        pending.push(passage);
        visit(below);
        if (pending.at(-1) === passage) pending.pop();
      }
    }
  };
  visit('');
  return found;
}

/** Paths that match a pattern, component by component. Symlinks are followed above the first wildcard only: from there
 * on the tree is walked, and a link is no directory.
 * @throws COPY_SOURCE_MISSING where the path above the first wildcard is not there, or leads in circles; what lies behind
 * another symlink may be missing, as in Docker. */
function expand(view: TreeView, pattern: string): string[] {
  const parts = pattern.split('/');
  const first = parts.findIndex(isWild);
  const above = parts.slice(0, first).join('/');
  const start = resolvePath(view, above, { followLast: true });
  const absent = start?.path === above && start.entry === undefined;
  if (start === undefined || absent) throw missing(view, above);
  if (start.entry?.type !== 'dir') return [];
  let found: string[] = [start.path];
  for (const part of parts.slice(first)) {
    const matches = compileGoMatch(part);
    found = found.flatMap((path) => {
      if (view.get(path)?.type !== 'dir') return [];
      if (!isWild(part)) return view.get(join(path, part)) === undefined ? [] : [join(path, part)];
      return view
        .children(path)
        .filter(matches)
        .map((name) => join(path, name));
    });
  }
  return found;
}

function isWild(part: string): boolean {
  return /[*?[\\]/.test(part);
}

export function join(directory: string, name: string): string {
  if (directory === '') return name;
  return name === '' ? directory : `${directory}/${name}`;
}
