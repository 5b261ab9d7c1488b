import { readFileSync } from 'node:fs';
import { isFetchedByBuild, parseIndex } from '../../cache/image-index.ts';
import { readLeases } from '../../cache/lease.ts';
import type { LayerRow } from '../../cache/types.ts';
import { isDigest } from '../../image/digest.ts';
import type { Digest } from '../../image/types.ts';
import type { LayerId } from '../../layer/layer-id.ts';
import { errnoOf } from '../../util/atomic-fs.ts';
import { isAlive } from '../../util/owner.ts';
import { listContainers } from '../containers/records.ts';
import type { Engine } from '../engine.ts';
import { keptSteps } from '../failed/kept-steps.ts';

export type StoreParts = Pick<Engine, 'root' | 'db' | 'content' | 'rows' | 'index'>;

/** What must stay, as it is at one moment. */
export interface Holds {
  /** What was used at this time or later, ms since the epoch, is in use. */
  readonly horizon: number;
  /** Blobs below what index.json lists, and the names that lead to them. */
  readonly images: ReadonlyMap<Digest, readonly string[]>;
  /** The same of base images that builds fetched: these need not stay. */
  readonly fetched: ReadonlyMap<Digest, readonly string[]>;
  /** Blobs below manifests that somebody reads or writes now. */
  readonly reading: ReadonlySet<Digest>;
  /** What leases list, what containers stand on, and failed steps that somebody looks into. */
  readonly layers: ReadonlySet<LayerId>;
  /** Content of those: any layer that has it may be what is read. */
  readonly diffIds: ReadonlySet<Digest>;
  /** Names in `snapshots/`. */
  readonly snapshots: ReadonlySet<string>;
}

export interface SurveyContext extends StoreParts {
  readonly holds: Holds;
  readonly nowMs: number;
  /** What layers were made by: names of steps. */
  readonly nameOf: (id: LayerId) => string | undefined;
}

/** What nobody knows of may be about to become known: for so long it is left alone. */
export const GRACE_MS: number = 3_600_000;

interface Entry {
  readonly digest: Digest;
  readonly name: string;
  readonly fetched?: boolean;
}

/** What index.json leads to. */
type Named = Pick<Holds, 'images' | 'fetched'>;

/** Larger than any document: a layer then. */
const MAX_DOCUMENT_BYTES = 4 << 20;

/**
 * Gives a function that reads what must stay. Called in the transaction that removes things its answer holds until the
 * end of it: leases that are written later wait for it, names are written in transactions too, and a container has its
 * record before the command that makes it lets go of its lease.
 */
export function createHolds({ root, db, content, rows }: StoreParts): () => Holds {
  const children = new Map<Digest, readonly Digest[]>();
  let known: { readonly text: string; readonly named: Named; readonly absent: readonly Digest[] } | undefined;

  /** What a manifest or an index leads to; nothing for other blobs, and for what is not here. */
  const childrenOf = (digest: Digest): readonly Digest[] => {
    const found = children.get(digest);
    if (found !== undefined) return found;
    const size = content.peek(digest);
    // What is absent now may come.
    if (size === undefined) return [];
    const read = size > MAX_DOCUMENT_BYTES ? [] : readChildren(content.path(digest));
    children.set(digest, read);
    return read;
  };

  const below = (entries: readonly Entry[]): Map<Digest, string[]> => {
    const reached = new Map<Digest, string[]>();
    const visit = (digest: Digest, name: string): void => {
      const names = reached.get(digest);
      if (names?.includes(name)) return;
      if (names === undefined) reached.set(digest, [name]);
      else names.push(name);
      for (const child of childrenOf(digest)) visit(child, name);
    };
    for (const { digest, name } of entries) visit(digest, name);
    return reached;
  };

  const namedNow = (): Named => {
    const text = readFileSync(root.indexFile, 'utf8');
    // A manifest of an index that was here in part may have come since.
    const isSame = known?.text === text && known.absent.every((digest) => content.peek(digest) === undefined);
    if (known === undefined || !isSame) {
      const entries = entriesOf(text, root.indexFile);
      const images = below(entries.filter((entry) => !entry.fetched));
      const fetched = below(entries.filter((entry) => entry.fetched));
      const absent = [...images.keys(), ...fetched.keys()].filter((digest) => !children.has(digest));
      known = { text, named: { images, fetched }, absent };
    }
    return known.named;
  };

  return () => {
    // First: who ends a lease has written what he leaves.
    const { horizon: leased, names } = readLeases(root);
    // SQLite knows no infinity as a bound value of an integer column.
    const horizon = Math.min(leased, Number.MAX_SAFE_INTEGER);
    const used = db.all('SELECT digest FROM blob_uses WHERE used_ms >= ?', horizon);
    const containers = listContainers(root.dir).filter(({ state }) => state.status !== 'stopped');
    const failed = keptSteps(root.dir).filter(({ user }) => user !== undefined && isAlive(user));
    const layers = new Set([
      ...names,
      ...containers.flatMap(({ plan }) => plan.layers),
      ...failed.flatMap((step) => [...step.layers, step.own]),
    ]);
    const digests = [...used.map(({ digest }) => String(digest)), ...names].filter(isDigest);
    return {
      ...{ horizon, layers, ...namedNow() },
      diffIds: new Set([...layers].flatMap((id) => rows.get(id)?.diffId ?? [])),
      reading: new Set(below(digests.map((digest) => ({ digest, name: '' }))).keys()),
      snapshots: new Set(
        containers.flatMap(({ plan }) =>
          plan.lower.map((path) => path.slice(root.snapshotsDir.length + 1).replace(/\/fs$/, '')),
        ),
      ),
    };
  };
}

/** All entries: also those of other tools, and those without a name. */
function entriesOf(text: string, file: string): Entry[] {
  return parseIndex(text, file).manifests.flatMap(({ digest, annotations = {} }) => {
    const name = annotations['org.opencontainers.image.ref.name'] ?? annotations['io.containerd.image.name'];
    return isDigest(digest)
      ? [{ digest, name: name ?? digest, fetched: isFetchedByBuild({ annotations }) }]
      : [];
  });
}

/** Every descriptor in a manifest or an index, whoever wrote it: a digest too much keeps a file, one too few loses it. */
function readChildren(path: string): Digest[] {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return [];
    throw error;
  }
  if (bytes[0] !== '{'.charCodeAt(0)) return [];
  const found: Digest[] = [];
  const visit = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return;
    if ('digest' in value && typeof value.digest === 'string' && isDigest(value.digest))
      found.push(value.digest);
    for (const inner of Object.values(value)) visit(inner);
  };
  try {
    const document = JSON.parse(bytes.toString('utf8')) as Record<string, unknown>;
    // A config or a statement is not followed: what they name is not needed to have them.
    for (const key of ['manifests', 'config', 'layers', 'blobs', 'subject']) visit(document[key]);
  } catch {
    // Not a document.
  }
  return found;
}

/** Whether a layer must stay. */
export function isUsed(row: LayerRow, { holds }: { readonly holds: Holds }): boolean {
  return (
    row.usedMs >= holds.horizon ||
    holds.layers.has(row.id) ||
    (row.diffId !== undefined && holds.diffIds.has(row.diffId)) ||
    (row.snapshot !== undefined && holds.snapshots.has(row.snapshot))
  );
}

/** Whether a name leads to a blob, also that of a base image. */
export function isNamed(digest: Digest, { images, fetched }: Named): boolean {
  return images.has(digest) || fetched.has(digest);
}
