import { rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { isStore, openStore } from '../../cache/store-root.ts';
import { isOcibuildError } from '../../errors/error.ts';
import { defaultRoot } from '../default-root.ts';
import { type Engine, openEngine } from '../engine.ts';
import { isNormalUser } from '../namespace/is-normal-user.ts';
import type { InsideName } from '../namespace/types.ts';
import { fillReserve, releaseReserve } from './auto-gc.ts';
import { parseFilters } from './filters.ts';
import { chooseItems, choosePolicies, sizeOf } from './policy.ts';
import { removeItems } from './remove.ts';
import { diskSpace } from './sizes.ts';
import { surveyStore } from './survey.ts';
import type { DiskUsage, DiskUsageItem, PrunePolicy, StoreItem } from './types.ts';

interface StoreOptions {
  /** @default OCIBUILD_ROOT, or the user's own store */
  readonly root?: string;
  /** @default process.env */
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly signal?: AbortSignal;
}

export interface DiskUsageOptions extends StoreOptions {
  /** As in `PruneOptions`. */
  readonly filters?: readonly string[];
}

export interface PruneOptions extends StoreOptions, PrunePolicy {
  /** Remove nothing, say what would go. */
  readonly dryRun?: boolean;
  /** Several rules in turn, in place of the one that the other options make. */
  readonly policies?: readonly PrunePolicy[];
}

export interface PruneResult {
  readonly removed: readonly DiskUsageItem[];
  readonly freedBytes: number;
}

/** Two that prune at once would only look at the same things. */
const LOCK = 'sha256:prune';

/**
 * What a store holds, and what of it can go.
 * @throws STORE_INVALID, STORE_NOT_WRITABLE, USAGE_INVALID for a filter
 */
export async function diskUsage(options: DiskUsageOptions = {}): Promise<DiskUsage> {
  return asOwner('diskUsage', options, () => diskUsageHere(options));
}

async function diskUsageHere(options: DiskUsageOptions): Promise<DiskUsage> {
  const nowMs = Date.now();
  const matches = parseFilters(options.filters ?? [], nowMs);
  await using engine = await openStoreFor(options, 'look');
  const all = isStore(engine.root.dir) ? await surveyStore(engine, nowMs) : [];
  const items = all.filter(({ target }) => target.kind !== 'row');
  const meant = items.filter(matches);
  return {
    items: meant.map(publicItem),
    totalBytes: sizeOf(meant),
    reclaimableBytes: sizeOf(meant.filter(({ reclaimable }) => reclaimable)),
    sharedBytes: sizeOf(meant.filter(({ shared }) => shared)),
    inUseBytes: sizeOf(meant.filter(({ inUse }) => inUse)),
  };
}

/**
 * Removes what a policy says. Images that have a name stay whole, and so does what any process works with.
 * @throws STORE_INVALID, STORE_NOT_WRITABLE, CANCELLED, USAGE_INVALID for a filter
 * @example
 * const { freedBytes } = await prune({ filters: ['until=24h'] });
 */
export async function prune(options: PruneOptions = {}): Promise<PruneResult> {
  return asOwner('prune', options, () => pruneHere(options));
}

async function pruneHere(options: PruneOptions): Promise<PruneResult> {
  const { signal = new AbortController().signal, policies = [options], dryRun = false } = options;
  for (const { filters = [] } of policies) parseFilters(filters, 0);
  await using engine = await openStoreFor(options, dryRun ? 'look' : 'change');
  if (!isStore(engine.root.dir)) return resultOf([]);
  if (dryRun) return resultOf(await choose(engine, policies));
  await using _only = await engine.keys.lock(LOCK, signal);
  const chosen = await choose(engine, policies);
  const removed = await removeItems(engine, chosen, { signal, total: policies.some(isTotal) });
  restoreReserve(engine.root.dir);
  return resultOf(removed);
}

/** Files of the ids of a namespace are read and removed only there. */
async function asOwner<T>(name: InsideName, options: StoreOptions, here: () => Promise<T>): Promise<T> {
  if (!isNormalUser()) return here();
  const { insideOrHere } = await import('../namespace/as-user.ts');
  return insideOrHere(name, options, { here });
}

async function choose(engine: Engine, policies: readonly PrunePolicy[]): Promise<readonly StoreItem[]> {
  const nowMs = Date.now();
  const items = await surveyStore(engine, nowMs);
  const state = { nowMs, disk: diskSpace(engine.root.dir) };
  const [only] = policies;
  return policies.length === 1 && only !== undefined
    ? chooseItems(items, only, state)
    : choosePolicies(items, policies, state);
}

function isTotal({ filters = [], keepDurationMs = 0, ...caps }: PrunePolicy): boolean {
  const { reservedSpace, maxUsedSpace, minFreeSpace } = caps;
  const bounds = [reservedSpace, maxUsedSpace, minFreeSpace];
  return filters.length === 0 && keepDurationMs === 0 && bounds.every((bound) => bound === undefined);
}

function resultOf(items: readonly StoreItem[]): PruneResult {
  const removed = items.filter(({ target }) => target.kind !== 'row').map(publicItem);
  return { removed, freedBytes: sizeOf(items) };
}

function publicItem({ target: _, ...item }: StoreItem): DiskUsageItem {
  return item;
}

function restoreReserve(root: string): void {
  try {
    fillReserve(root);
  } catch {
    // Still full: the next build or prune tries again.
  }
}

/** On a full disk the index may not open: what is only a memory of earlier builds goes first then. */
async function openStoreFor(
  { root, env = process.env, signal }: StoreOptions,
  access: 'look' | 'change',
): Promise<Engine> {
  const dir = resolve(root ?? defaultRoot(env));
  const options = { root: dir, env, signal: signal ?? new AbortController().signal, access };
  try {
    return await openEngine(options);
  } catch (error) {
    if (!isOcibuildError(error) || error.code !== 'DISK_FULL') throw error;
    releaseReserve(dir);
    rmSync(join(dir, 'last-builds'), { recursive: true, force: true });
    await (await openStore(dir)).emptyTrash({ wait: true });
    return openEngine(options);
  }
}
