import { join, relative } from 'node:path';
import { scanContext, scanContextInTurns } from '../../cache/contexts/context-scan.ts';
import type { ContextEntry, ContextScan, IgnoreRules } from '../../cache/contexts/context-types.ts';
import type { StoreRoot } from '../../cache/types.ts';
import { createTreeView } from '../../layer/tree/tree-view.ts';
import type { TreeEntry } from '../../layer/types.ts';
import { type Definition, digestOf } from '../../llb/definition.ts';
import type { LocalSource } from '../../llb/ops.ts';
import { staticPrefix } from '../../solver/ops/select.ts';
import type { LocalFiles } from '../../solver/ops/types.ts';
import { createIgnoreMatcher } from '../../util/ignore-matcher.ts';

export interface LocalSources {
  open(source: LocalSource): Promise<LocalFiles>;
  /** What was scanned so far. */
  scans(): readonly ContextScan[];
  /** Keeps what was learnt of the files for the next build. */
  save(): void;
}

export interface LocalSourcesOptions {
  readonly root: StoreRoot;
  /** Directory of each local source by name. */
  readonly dirs: Readonly<Record<string, string>>;
  readonly definition: Definition;
  readonly signal: AbortSignal;
  /** Told when a directory is being read, and when that is done, with the number of entries. */
  readonly onScan: (
    source: LocalSource,
    read: () => ContextScan | Promise<ContextScan>,
  ) => Promise<ContextScan>;
  /** Knows the scans of earlier builds of this process. */
  readonly memory?: ContextMemory;
}

/** Scans that outlive a build. */
export interface ContextMemory {
  /** The scan of that name, brought up to date; `scan` makes it where it is not known. */
  scan(name: string, scan: () => ContextScan): ContextScan;
}

/** What some instruction of a graph selects of a directory. */
export interface LocalTree {
  readonly dir: string;
  /** Without those inside others; `''` is everything. */
  readonly select: readonly string[];
  readonly ignore?: IgnoreRules;
  /** The lines that `ignore` comes from. */
  readonly rules: readonly string[];
}

/** Build contexts: each is walked once, and only where a reachable instruction selects something. */
export function createLocalSources(options: LocalSourcesOptions): LocalSources {
  const opened = new Map<string, Promise<LocalFiles>>();
  const scans: ContextScan[] = [];

  async function open(source: LocalSource): Promise<LocalFiles> {
    const { root, signal } = options;
    const tree = localTree(source, { ...options, storeDir: root.dir });
    const { dir, select } = tree;
    const name = digestOf({ dir, select, ignore: source.ignore }).slice(7, 39);
    const statCacheFile = join(root.treesDir, `context-${name}.stat`);
    const how = { ...tree, statCacheFile, tempPath: root.tempPath };
    // A scan that is kept outlives the signal of this build, and is never half done when a change is told of.
    const scan = await options.onScan(
      source,
      () => options.memory?.scan(name, () => scanContext(how)) ?? scanContextInTurns({ ...how, signal }),
    );
    scans.push(scan);
    return filesOfScan(scan);
  }

  return {
    open(source) {
      const key = digestOf(source);
      let files = opened.get(key);
      if (files === undefined) {
        files = open(source);
        opened.set(key, files);
      }
      return files;
    },
    scans: () => scans,
    save() {
      for (const scan of scans) scan.save();
    },
  };
}

/** What the local sources of a graph read, each once. */
export function localTrees(
  definition: Definition,
  where: { readonly dirs: LocalSourcesOptions['dirs']; readonly storeDir: string },
): readonly LocalTree[] {
  const sources = new Map<string, LocalSource>();
  for (const { op } of definition.vertices.values()) {
    if (op.kind === 'source' && op.source.type === 'local') sources.set(digestOf(op.source), op.source);
  }
  return [...sources.values()].map((source) => localTree(source, { definition, ...where }));
}

function localTree(
  source: LocalSource,
  {
    definition,
    dirs,
    storeDir,
  }: Pick<LocalSourcesOptions, 'definition' | 'dirs'> & { readonly storeDir: string },
): LocalTree {
  const dir = dirs[source.name];
  if (dir === undefined)
    throw new TypeError(`Cannot read the local source "${source.name}": it has no directory`);
  const select = prefixesOf(definition, source);
  return { dir, select, rules: source.ignore, ...ignoreRules(source, relative(dir, storeDir)) };
}

/** The store changes while it is used, so a context that it lies in does not have it. */
function ignoreRules({ ignore }: LocalSource, store: string): { ignore?: IgnoreRules } {
  const rules = ignore.length === 0 ? undefined : createIgnoreMatcher(ignore);
  if (store === '' || store.startsWith('..')) return rules === undefined ? {} : { ignore: rules };
  return {
    ignore: {
      excluded: (path, isDir) =>
        path === store || path.startsWith(`${store}/`) || rules?.excluded(path, isDir) === true,
      mayContainIncluded: (dir) => dir !== store && rules?.mayContainIncluded(dir) === true,
    },
  };
}

/** A scanned directory as a step sees it. */
export function filesOfScan(scan: ContextScan): LocalFiles {
  const { entries } = scan;
  const firstOfInode = new Map<string, string>();
  for (const entry of entries) {
    if (entry.nlink < 2 || entry.type !== 'file') continue;
    const inode = `${entry.dev}:${entry.ino}`;
    if (!firstOfInode.has(inode)) firstOfInode.set(inode, entry.path);
  }
  const view = createTreeView([entries]);
  const scanned = (entry: TreeEntry): ContextEntry => view.get(entry.path) as ContextEntry;
  return {
    view: {
      ...view,
      inodePath(path) {
        const entry = view.get(path) as ContextEntry | undefined;
        if (entry === undefined || entry.nlink < 2) return path;
        return firstOfInode.get(`${entry.dev}:${entry.ino}`) ?? path;
      },
    },
    content(entry) {
      const known = scanned(entry);
      return { path: scan.filePath(known), mtimeMs: known.mtimeMs };
    },
    async digests(wanted, signal) {
      const known = wanted.map(scanned);
      await scan.digestAll(known, { signal });
      return new Map(
        known.flatMap(({ path, digest }) => (digest === undefined ? [] : [[path, digest] as const])),
      );
    },
  };
}

/** The parts of a local source that some instruction selects, without those inside others. */
function prefixesOf(definition: Definition, source: LocalSource): readonly string[] {
  const key = digestOf(source);
  const prefixes = new Set<string>();
  for (const { op, inputs } of definition.vertices.values()) {
    if (op.kind !== 'file') continue;
    for (const action of op.actions) {
      if (action.type !== 'copy') continue;
      const from = definition.vertices.get(inputs[action.from] ?? 'sha256:')?.op;
      if (from?.kind !== 'source' || from.source.type !== 'local' || digestOf(from.source) !== key) continue;
      for (const one of action.sources) prefixes.add(staticPrefix(one));
    }
  }
  const all = [...prefixes].sort();
  return all.filter(
    (path) => !all.some((other) => other !== path && (other === '' || path.startsWith(`${other}/`))),
  );
}
