import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { createImageIndex } from '../../cache/image-index.ts';
import { beginPruning } from '../../cache/lease.ts';
import { isOcibuildError, throwIfAborted } from '../../errors/error.ts';
import type { Digest } from '../../image/types.ts';
import { EMPTY_LAYER, type LayerId } from '../../layer/layer-id.ts';
import { isAlive } from '../../util/owner.ts';
import { dropStep, keptSteps } from '../failed/kept-steps.ts';
import { createHolds, type Holds, isNamed, isUsed, type StoreParts } from './holds.ts';
import { TREE_FILES, treeStem } from './layer-items.ts';
import { isGitHeld } from './other-items.ts';
import type { StoreItem } from './types.ts';

export interface RemoveOptions {
  readonly signal: AbortSignal;
  /** Everything was meant: steps that changed nothing are forgotten too. */
  readonly total: boolean;
  readonly onRemoved?: (items: readonly StoreItem[]) => void;
}

/** Items of one transaction: other processes wait meanwhile, and a rename takes 20 µs. */
const BATCH = 64;

/**
 * Removes items, each only if nobody uses it at that moment. Files are renamed away in the transaction that changes the
 * rows: killed in between, a row promises what is gone, which everybody checks.
 * @returns what was removed
 */
export async function removeItems(
  store: StoreParts,
  items: readonly StoreItem[],
  { signal, total, onRemoved = () => undefined }: RemoveOptions,
): Promise<readonly StoreItem[]> {
  const { db, root } = store;
  const readHolds = createHolds(store);
  using _flag = beginPruning(root);
  const removed: StoreItem[] = [];
  // What has several forms loses its row with the last one.
  for (let start = 0; start < items.length; start += BATCH) {
    throwIfAborted(signal);
    const batch = items.slice(start, start + BATCH);
    const remove = (): StoreItem[] =>
      db.transaction(() => {
        const holds = readHolds();
        return batch.filter((item) => take(item, store, holds));
      });
    const taken = await onFullDisk(remove, () => root.emptyTrash({ wait: true }));
    removed.push(...taken);
    onRemoved(taken);
    await root.emptyTrash({ wait: true });
  }
  const forget = (): void => db.transaction(() => dropRecords(store, { holds: readHolds(), total }));
  await onFullDisk(forget, () => root.emptyTrash({ wait: true }));
  return removed;
}

/** The files of a transaction are gone also when there was no room to write it down: with theirs there is. */
async function onFullDisk<T>(body: () => T, makeRoom: () => Promise<void>): Promise<T> {
  try {
    return body();
  } catch (error) {
    if (!isOcibuildError(error) || error.code !== 'DISK_FULL') throw error;
    await makeRoom();
    return body();
  }
}

function take(item: StoreItem, store: StoreParts, holds: Holds): boolean {
  const { root, rows, db } = store;
  const { target } = item;
  switch (target.kind) {
    case 'blob':
      return takeBlob(target.digest, store, holds);
    case 'snapshot':
    case 'tree':
    case 'row': {
      const row = rows.get(target.layer);
      if (row === undefined || isUsed(row, { holds })) return false;
      if (target.kind === 'snapshot' && row.snapshot !== undefined) {
        root.discard(join(root.snapshotsDir, row.snapshot));
        rows.update(row.id, { snapshot: null, snapshotBytes: null });
      } else if (target.kind === 'tree') {
        for (const end of TREE_FILES) root.discard(join(root.treesDir, `${treeStem(row.id)}${end}`));
        rows.update(row.id, { hasTree: false, hasChunkIndex: false });
      }
      dropEmptyRow(row.id, store, holds);
      return true;
    }
    case 'mount':
      return takeMount(target.name, store);
    case 'git':
      if (isGitHeld({ db }, target.name)) return false;
      root.discard(join(root.dir, 'git', target.name));
      return true;
    case 'file':
      if (isKnown(target.path, store)) return false;
      root.discard(target.path);
      return true;
    case 'kept':
      return false;
  }
}

function takeBlob(digest: Digest, store: StoreParts, holds: Holds): boolean {
  const { root, rows, db, content } = store;
  if (holds.images.has(digest) || holds.reading.has(digest)) return false;
  const layers = rows.byBlob(digest);
  if (layers.some((row) => isUsed(row, { holds }))) return false;
  const use = db.get('SELECT used_ms FROM blob_uses WHERE digest = ?', digest);
  if (use !== undefined && Number(use.used_ms) >= holds.horizon) return false;
  // A base image that lacks something is fetched anew. Before the blob goes, or a name would lead nowhere; what reads the
  // image now has a lease.
  const names = createImageIndex(root, db);
  for (const name of holds.fetched.get(digest) ?? []) names.remove(name);
  root.discard(content.path(digest));
  db.run('DELETE FROM blob_uses WHERE digest = ?', digest);
  for (const row of layers) {
    // What can be fetched again is known by its blob.
    if (row.origin === undefined) rows.update(row.id, { blobDigest: null, blobSize: null });
    dropEmptyRow(row.id, store, holds);
  }
  return true;
}

/** A layer of which nothing is left; where an image names it, its row says where the bytes can be had. */
function dropEmptyRow(id: LayerId, { root, rows, content }: StoreParts, holds: Holds): void {
  const row = rows.get(id);
  if (row === undefined) return;
  const { blobDigest, snapshot } = row;
  if (blobDigest !== undefined && (isNamed(blobDigest, holds) || content.peek(blobDigest) !== undefined))
    return;
  if (snapshot !== undefined && existsSync(join(root.snapshotsDir, snapshot))) return;
  for (const end of TREE_FILES) root.discard(join(root.treesDir, `${treeStem(id)}${end}`));
  rows.delete(id);
}

/** Removes a cache mount, unless a step has it. To be called in a transaction. */
export function takeMount(name: string, { root, db }: Pick<StoreParts, 'root' | 'db'>): boolean {
  const users = db.all('SELECT pid, start_time FROM cache_mount_users WHERE name = ?', name);
  if (users.some(({ pid, start_time }) => isAlive({ pid: Number(pid), startTime: String(start_time) })))
    return false;
  root.discard(join(root.mountsDir, name));
  db.run('DELETE FROM cache_mount_users WHERE name = ?', name);
  db.run('DELETE FROM cache_mounts WHERE name = ?', name);
  return true;
}

/** A file of which nothing was known may have got its row meanwhile. */
function isKnown(path: string, { root, db }: StoreParts): boolean {
  if (path.startsWith(`${root.snapshotsDir}/`)) {
    const name = path.slice(root.snapshotsDir.length + 1);
    return db.get('SELECT 1 FROM layers WHERE snapshot = ?', name) !== undefined;
  }
  const tree = /^(.+?)(?:\.chunks)?\.json$/.exec(path.slice(root.treesDir.length + 1));
  if (!path.startsWith(`${root.treesDir}/`) || tree === null || path.endsWith('.estargz.json')) return false;
  const id = (tree[1] ?? '').replace(/^sha256-/, 'sha256:');
  return db.get('SELECT 1 FROM layers WHERE id = ?', id) !== undefined;
}

/** Records of layers that are no more: they would be misses for ever. A record that goes too early is one miss. */
function dropRecords(
  store: StoreParts,
  { holds, total }: { readonly holds: Holds; readonly total: boolean },
): void {
  const { db, rows } = store;
  const known = new Set<LayerId>(rows.list().map(({ id }) => id));
  for (const { key, layers, used_ms } of db.all('SELECT key, layers, used_ms FROM records')) {
    const ids = (JSON.parse(String(layers)) as LayerId[]).filter((id) => id !== EMPTY_LAYER);
    const isOld = total && Number(used_ms) < holds.horizon;
    if (ids.length === 0 ? isOld : ids.some((id) => !known.has(id)))
      db.run('DELETE FROM records WHERE key = ?', key ?? '');
  }
  for (const step of keptSteps(store.root.dir)) {
    if (!known.has(step.own) && (step.user === undefined || !isAlive(step.user))) dropStep(store, step);
  }
  if (!total) return;
  for (const { digest } of db.all('SELECT digest FROM blob_uses WHERE used_ms < ?', holds.horizon)) {
    if (store.content.peek(String(digest) as Digest) === undefined)
      db.run('DELETE FROM blob_uses WHERE digest = ?', digest ?? '');
  }
}
