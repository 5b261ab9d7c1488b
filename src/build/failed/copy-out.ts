import { lstatSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { isOcibuildError } from '../../errors/error.ts';
import { finalPath, locate } from '../../executor/in-root.ts';
import { exportLocal } from '../../exporter/local.ts';
import type { ExportTree } from '../../exporter/types.ts';
import { fsPath } from '../../layer/path-bytes.ts';
import { diffUpper } from '../../layer/tree/diff-upper.ts';
import type { Tree, TreeEntry } from '../../layer/types.ts';
import type { CacheMount, ExecMount } from '../../llb/ops.ts';
import { equipStep } from '../../solver/ops/exec-mounts.ts';
import { layeredSource } from '../../solver/ops/layered-source.ts';
import { selectSources, staticPrefix } from '../../solver/ops/select.ts';
import { selectedTree } from '../../solver/ops/selected-digests.ts';
import type { FailedExec, StepDeps } from '../../solver/ops/types.ts';
import { hasWildcard } from '../../util/go-match.ts';
import { createIgnoreMatcher } from '../../util/ignore-matcher.ts';

export interface CopyOutContext {
  readonly failed: Pick<FailedExec, 'op' | 'inputs' | 'layers'>;
  readonly deps: StepDeps;
  readonly signal: AbortSignal;
}

/**
 * Copies a file or directory of a failed step to `dest`, also from its cache and bind mounts. A directory's content goes
 * into `dest`; a file goes into it where it is a directory or ends with `/`. Whoever runs this owns the files; set-id
 * bits, devices and extended attributes stay behind, and links are copied as links. Of a path with wildcards, those of
 * COPY and `**`, all that matches goes into the directory `dest`, below the directories that differ.
 * @returns false where there is no such path, or nothing matches
 */
export async function copyOut(context: CopyOutContext, path: string, dest: string): Promise<boolean> {
  const whole = join('/', path).replace(/(.)\/$/, '$1');
  const place = hasWildcard(whole) ? join('/', staticPrefix({ path: whole, wildcard: true })) : whole;
  const pattern = whole.slice(place.length).replace(/^\//, '');
  const mount = mountOf(context.failed.op.mounts, place);
  if (mount === undefined)
    return fromLayers(context, context.failed.layers, { path: place.slice(1), pattern, dest });
  const inside = place.slice(mount.target.length).replace(/^\//, '');
  switch (mount.type) {
    case 'cache':
      return fromCache(context, mount, { path: inside, pattern, dest });
    case 'bind': {
      const layers = context.failed.inputs[mount.input]?.layers ?? [];
      return fromLayers(context, layers, { path: join(mount.source, inside), pattern, dest });
    }
    default:
      // It went with the step.
      return false;
  }
}

/** The mount that a path leads into; of several on one place the last is seen. */
function mountOf(mounts: readonly ExecMount[], path: string): Placed | undefined {
  const around = mounts.filter(
    (mount): mount is Placed =>
      mount.target !== undefined && (path === mount.target || path.startsWith(`${mount.target}/`)),
  );
  const depth = Math.max(...around.map(({ target }) => target.length));
  return around.findLast(({ target }) => target.length === depth);
}

type Placed = ExecMount & { readonly target: string };

interface Wanted {
  readonly path: string;
  /** Of what is wanted below the path; empty: all of it. */
  readonly pattern: string;
  readonly dest: string;
}

async function fromLayers(
  { deps, signal }: CopyOutContext,
  layers: FailedExec['layers'],
  { path, pattern, dest }: Wanted,
): Promise<boolean> {
  const source = await layeredSource(layers, deps, signal);
  try {
    const pivot = path === '' ? 0 : path.split('/').length;
    const wanted = { path: join(path, pattern), wildcard: pattern !== '', pivot };
    const [selected] = selectSources(source.view, [wanted], { parents: pattern !== '' });
    if (selected === undefined || (pattern !== '' && selected.below.length === 0)) return false;
    const entries = [selected.root, ...selected.below.map(({ entry }) => entry)];
    await source.ready(entries.filter(({ type }) => type === 'file'));
    const tree = selectedTree(selected);
    const origin = new Map(tree.map((entry, i) => [entry.path, entries[i] ?? entry]));
    const contentOf = (name: string): string | Buffer => {
      const entry = origin.get(name);
      if (entry === undefined) throw new RangeError(`Cannot read "${name}": it was not selected`);
      return source.content(entry).path;
    };
    await write({ tree, content: contentOf }, { name: basename(path), dest }, signal);
    return true;
  } catch (error) {
    if (isOcibuildError(error) && error.code === 'COPY_SOURCE_MISSING') return false;
    throw error;
  }
}

async function fromCache(
  { failed, deps, signal }: CopyOutContext,
  mount: CacheMount,
  { path, pattern, dest }: Wanted,
): Promise<boolean> {
  const only = { ...failed.op, mounts: [mount], devices: undefined };
  const { devices: _, ...op } = only;
  await using equipment = await equipStep({ op, inputs: failed.inputs, deps, signal }, false);
  const root = equipment.mounts[0]?.source ?? '';
  // A link in the cache may lead anywhere: it is followed inside of it only.
  const location = locate(root, `/${path}`);
  if (location.missing.length > 0) return false;
  const found = join(root, finalPath(location));
  const isDirectory = lstatSync(found).isDirectory();
  const opaqueXattr = 'user.overlay.opaque';
  if (pattern !== '' && !isDirectory) return false;
  const tree: Tree = isDirectory
    ? matching(diffUpper(found, { opaqueXattr, withRoot: true }), pattern)
    : diffUpper(dirname(found), { opaqueXattr })
        .filter((entry) => entry.path === basename(found))
        .map((entry) => ({ ...entry, path: '' }));
  if (pattern !== '' && tree.length <= 1) return false;
  const content = (name: string): string | Buffer => fsPath(isDirectory ? `${found}/${name}` : found);
  await write({ tree, content }, { name: basename(found), dest }, signal);
  return true;
}

/** What a pattern matches, with all below that and the directories on the way. */
function matching(tree: Tree, pattern: string): Tree {
  if (pattern === '') return tree;
  const { excluded } = createIgnoreMatcher(['**', `!${pattern}`]);
  const kept = new Set<string>(['']);
  for (const { path, type } of tree) {
    if (path === '' || excluded(path, type === 'dir')) continue;
    for (let above = path; above !== '.'; above = dirname(above)) kept.add(above);
  }
  return tree.filter(({ path }) => kept.has(path));
}

async function write(
  { tree, content }: ExportTree,
  { name, dest }: { readonly name: string; readonly dest: string },
  signal: AbortSignal,
): Promise<void> {
  const [root] = tree;
  const options = { signal, names: [], keepOwners: false };
  const plain = tree.filter(isPlain).map(harmless);
  if (root === undefined || root.type === 'dir') return exportLocal({ tree: plain, content }, dest, options);
  const intoDirectory =
    dest.endsWith('/') || statSync(dest, { throwIfNoEntry: false })?.isDirectory() === true;
  const target = intoDirectory ? join(dest, name) : dest;
  const only = plain.map((entry) => ({ ...entry, path: basename(target) }));
  await exportLocal({ tree: only, content: () => content('') }, dirname(target), options);
}

function isPlain({ type }: TreeEntry): boolean {
  return ['dir', 'file', 'symlink', 'hardlink'].includes(type);
}

/** A program that the step made set-id would be so for whoever copies it. */
function harmless({ xattrs: _, ...entry }: TreeEntry): TreeEntry {
  return { ...entry, uid: 0, gid: 0, mode: entry.mode & 0o777 };
}
