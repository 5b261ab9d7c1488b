import type { DiskUsageItem } from '../../build/prune/types.ts';
import { oneLine, sizeOf, table } from '../table.ts';

const MAX_DESCRIPTION = 60;
const ID_LENGTH = 12;

interface Line {
  readonly id: string;
  readonly type: string;
  readonly forms: readonly string[];
  readonly bytes: number;
  readonly reclaimable: boolean;
  readonly usedMs: number;
  readonly description: string;
}

/** A line for each layer, whatever its forms, and for each other thing; the last used first. */
export function itemTable(items: readonly DiskUsageItem[], nowMs: number): string {
  const lines = mergedLines(items).sort((a, b) => b.usedMs - a.usedMs || b.bytes - a.bytes);
  return table([
    ['ID', 'TYPE', 'RECLAIMABLE', 'SIZE', 'LAST USED', 'DESCRIPTION'],
    ...lines.map(({ id, type, forms, bytes, reclaimable, usedMs, description }) => {
      const what = forms.length === 0 ? type : `${type} (${forms.join(', ')})`;
      return [
        id,
        what,
        String(reclaimable),
        sizeOf(bytes),
        agoOf(nowMs - usedMs),
        oneLine(description, MAX_DESCRIPTION),
      ];
    }),
  ]);
}

/** Everything that is known, item by item. */
export function itemBlocks(items: readonly DiskUsageItem[], nowMs: number): string {
  return [...items]
    .sort((a, b) => b.usedMs - a.usedMs)
    .map((item) => {
      const rows: [string, string][] = [
        ['ID', item.id],
        ['Type', item.type],
        ...(item.form === undefined ? [] : ([['Form', item.form]] as [string, string][])),
        ...(item.layer === undefined ? [] : ([['Layer', item.layer]] as [string, string][])),
        ['Description', oneLine(item.description)],
        ['Size', sizeOf(item.bytes)],
        ['Created', new Date(item.createdMs).toISOString()],
        ['Last used', `${agoOf(nowMs - item.usedMs)}`],
        ['Usage count', String(item.uses)],
        ['Reclaimable', String(item.reclaimable)],
        ['In use', String(item.inUse)],
        ['Shared', String(item.shared)],
        ['Mutable', String(item.mutable)],
        ...(item.images.length === 0 ? [] : ([['Images', item.images.join(', ')]] as [string, string][])),
      ];
      return rows.map(([name, value]) => `${`${name}:`.padEnd(13)}${value}\n`).join('');
    })
    .join('\n');
}

/** `3 minutes ago` */
export function agoOf(ms: number): string {
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 1) return 'just now';
  const [count, unit] =
    minutes < 60
      ? [minutes, 'minute']
      : minutes < 48 * 60
        ? [Math.floor(minutes / 60), 'hour']
        : [Math.floor(minutes / 1440), 'day'];
  return `${count} ${unit}${count === 1 ? '' : 's'} ago`;
}

function mergedLines(items: readonly DiskUsageItem[]): Line[] {
  const groups = Map.groupBy(items, (item) =>
    item.type === 'internal'
      ? `${item.description} ${item.reclaimable}`
      : `${item.layer ?? item.id} ${item.reclaimable}`,
  );
  return [...groups.values()].map((group) => {
    const [first] = group as [DiskUsageItem];
    return {
      id: shortId(first.layer ?? first.id),
      type: first.type,
      forms: [...new Set(group.flatMap(({ form }) => form ?? []))],
      bytes: group.reduce((sum, { bytes }) => sum + bytes, 0),
      reclaimable: first.reclaimable,
      usedMs: Math.max(...group.map(({ usedMs }) => usedMs)),
      description: first.description,
    };
  });
}

function shortId(id: string): string {
  // Names of cache mounts differ only at their end.
  if (/^\d+-\d+-\w+$/.test(id)) return id;
  const digits = /^(?:sha256:|run-|files-)([0-9a-f]+)/.exec(id)?.[1];
  return (digits ?? id.slice(id.lastIndexOf('/') + 1)).slice(0, ID_LENGTH);
}
