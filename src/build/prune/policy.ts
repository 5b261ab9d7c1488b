import { parseFilters } from './filters.ts';
import type { DiskSpace, GcOptions, PrunePolicy, StoreItem } from './types.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const GB = 1e9;

export interface PolicyState {
  readonly nowMs: number;
  readonly disk: DiskSpace;
}

/**
 * What a policy takes, the longest unused first; of two that were used together the one that was used less often, then
 * the larger one.
 */
export function chooseItems(
  items: readonly StoreItem[],
  policy: PrunePolicy,
  state: PolicyState,
): readonly StoreItem[] {
  const matches = parseFilters(policy.filters ?? [], state.nowMs);
  const meant = items.filter(matches);
  const { keepDurationMs = 0, all = false } = policy;
  const candidates = meant
    .filter((item) => item.reclaimable && (all || !(item.shared || item.type === 'internal')))
    .filter(({ usedMs }) => keepDurationMs === 0 || state.nowMs - usedMs >= keepDurationMs)
    .sort((a, b) => a.usedMs - b.usedMs || a.uses - b.uses || b.bytes - a.bytes);
  let used = sizeOf(meant);
  const keep = bytesToKeep(used, policy, state.disk);
  if (keep === undefined) return candidates;
  const chosen: StoreItem[] = [];
  for (const item of candidates) {
    if (used <= keep) break;
    chosen.push(item);
    used -= item.bytes;
  }
  return chosen;
}

/** Applies policies in turn; each sees what the ones before have left. */
export function choosePolicies(
  items: readonly StoreItem[],
  policies: readonly PrunePolicy[],
  { nowMs, disk }: PolicyState,
): readonly StoreItem[] {
  const chosen = new Set<StoreItem>();
  let { free } = disk;
  for (const policy of policies) {
    const left = items.filter((item) => !chosen.has(item));
    for (const item of chooseItems(left, policy, { nowMs, disk: { ...disk, free } })) {
      chosen.add(item);
      free += item.bytes;
    }
  }
  return [...chosen];
}

/** Undefined where no bound is set: everything that matches goes. */
function bytesToKeep(used: number, policy: PrunePolicy, { free }: DiskSpace): number | undefined {
  const { reservedSpace, maxUsedSpace, minFreeSpace } = policy;
  if (maxUsedSpace === undefined && minFreeSpace === undefined) return reservedSpace;
  const missing = Math.max(0, (minFreeSpace ?? 0) - free);
  const target = Math.min(maxUsedSpace ?? Number.POSITIVE_INFINITY, missing > 0 ? used - missing : Infinity);
  return Math.max(target, reservedSpace ?? 0);
}

/** The rules of BuildKit: cheap sources first, then what is old, then what no image shares, then everything. */
export function defaultPolicies(disk: DiskSpace, options: GcOptions = {}): readonly PrunePolicy[] {
  const caps = {
    reservedSpace: options.reservedSpace ?? Math.min(disk.total / 10, 10 * GB),
    maxUsedSpace: options.maxUsedSpace ?? Math.min((disk.total / 10) * 8, 100 * GB),
    minFreeSpace: options.minFreeSpace ?? disk.total / 5,
  };
  const keepDurationMs = options.keepDurationMs ?? 60 * DAY_MS;
  return [
    {
      filters: ['type=source.local,exec.cachemount,source.git.checkout'],
      keepDurationMs: Math.min(48 * HOUR_MS, keepDurationMs),
      maxUsedSpace: 512e6,
    },
    { ...caps, keepDurationMs },
    caps,
    { ...caps, all: true },
  ];
}

export function sizeOf(items: readonly { readonly bytes: number }[]): number {
  return items.reduce((sum, { bytes }) => sum + bytes, 0);
}
