import { OcibuildError } from '../../errors/error.ts';
import { baseName, resolvePath, type TreeView } from '../../layer/tree-view.ts';
import type { TreeEntry } from '../../layer/types.ts';
import type { CopySource } from '../../llb/ops.ts';
import { compileGoMatch } from '../../util/go-match.ts';

/** One source of a COPY, resolved: a file, or a directory with everything in it. */
export interface Selected {
  /** Name it gets when it goes into a directory. */
  readonly name: string;
  /** What the source is, symlinks followed. */
  readonly root: TreeEntry;
  /** Directory: everything below, paths relative to it, a directory before its content. */
  readonly below: readonly SelectedEntry[];
}

export interface SelectedEntry {
  readonly relative: string;
  /** With its path in the source. */
  readonly entry: TreeEntry;
}

/**
 * Finds what the sources of a COPY mean in a file system: wildcards by Go's filepath.Match, sorted; a named or
 * matched symlink is followed inside the root; links met inside a directory stay links.
 * @throws COPY_SOURCE_MISSING for a plain path that is not there; a wildcard may match nothing.
 */
export function selectSources(view: TreeView, sources: readonly CopySource[]): Selected[] {
  return sources.flatMap((source) =>
    source.wildcard
      ? expand(view, source.path).map((path) => selectOne(view, path))
      : [selectOne(view, source.path)],
  );
}

/** The literal directory above the first wildcard of each source: nothing outside of these is ever selected,
 * unless a symlink on the way leads there. */
export function staticPrefix({ path, wildcard }: CopySource): string {
  if (!wildcard) return path;
  const parts = path.split('/');
  const first = parts.findIndex((part) => /[*?[\\]/.test(part));
  return parts.slice(0, first === -1 ? undefined : first).join('/');
}

function selectOne(view: TreeView, path: string): Selected {
  const resolved = resolvePath(view, path, { followLast: true });
  if (resolved?.entry === undefined) {
    throw new OcibuildError('COPY_SOURCE_MISSING', `Cannot find "/${path}" in the source of the copy`, {
      details: { path: `/${path}` },
      hint: 'check the path, and that no ignore file excludes it',
    });
  }
  const { entry } = resolved;
  const below: SelectedEntry[] = [];
  if (entry.type === 'dir') collect(view, resolved.path, '', below);
  return { name: baseName(path), root: entry, below };
}

function collect(view: TreeView, root: string, relative: string, into: SelectedEntry[]): void {
  const directory = join(root, relative);
  for (const name of view.children(directory)) {
    const entry = view.get(join(directory, name));
    if (entry === undefined) continue;
    const below = join(relative, name);
    into.push({ relative: below, entry });
    if (entry.type === 'dir') collect(view, root, below, into);
  }
}

/** Paths that match a pattern, component by component, symlinked directories on the way followed. */
function expand(view: TreeView, pattern: string): string[] {
  let found: string[] = [''];
  for (const part of pattern.split('/')) {
    const matches = compileGoMatch(part);
    const literal = !/[*?[\\]/.test(part);
    found = found.flatMap((path) => {
      if (literal)
        return resolvePath(view, join(path, part), { followLast: true })?.entry ? [join(path, part)] : [];
      const directory = resolvePath(view, path, { followLast: true });
      if (directory?.entry?.type !== 'dir') return [];
      return view
        .children(directory.path)
        .filter(matches)
        .map((name) => join(path, name));
    });
  }
  return found;
}

export function join(directory: string, name: string): string {
  if (directory === '') return name;
  return name === '' ? directory : `${directory}/${name}`;
}
