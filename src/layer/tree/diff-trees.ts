import type { Tree, TreeEntry } from '../types.ts';

/** One path that differs between two file systems. */
export interface PathChange {
  readonly path: string;
  readonly kind: 'added' | 'removed' | 'changed';
  /** changed: what of it, as `mode 0644 → 0755`. */
  readonly facts: readonly string[];
}

/** What differs between two trees in canonical order, path by path; times last, for they differ most. */
export function diffTrees(before: Tree, after: Tree): readonly PathChange[] {
  const old = new Map(before.map((entry) => [entry.path, entry]));
  const changes: PathChange[] = [];
  for (const entry of after) {
    const was = old.get(entry.path);
    old.delete(entry.path);
    if (was === undefined) changes.push({ path: entry.path, kind: 'added', facts: [] });
    else {
      const facts = changedFacts(was, entry);
      if (facts.length > 0) changes.push({ path: entry.path, kind: 'changed', facts });
    }
  }
  for (const path of old.keys()) changes.push({ path, kind: 'removed', facts: [] });
  return changes.sort((a, b) => (a.path < b.path ? -1 : 1));
}

function changedFacts(a: TreeEntry, b: TreeEntry): string[] {
  const octal = (mode: number): string => mode.toString(8).padStart(4, '0');
  const device = ({ devMajor = 0, devMinor = 0 }: TreeEntry): string => `${devMajor}:${devMinor}`;
  const time = (sec: number): string => new Date(sec * 1000).toISOString().replace('.000Z', 'Z');
  const facts: [string, string | number, string | number][] = [
    ['type', a.type, b.type],
    ['mode', octal(a.mode), octal(b.mode)],
    ['owner', `${a.uid}:${a.gid}`, `${b.uid}:${b.gid}`],
    ['size', a.size, b.size],
    ['link', a.link ?? '-', b.link ?? '-'],
    ['device', device(a), device(b)],
    ['attributes', attributes(a), attributes(b)],
    ['time', time(a.mtimeSec), time(b.mtimeSec)],
  ];
  const changed = facts.filter(([, x, y]) => x !== y).map(([name, x, y]) => `${name} ${x} → ${y}`);
  const both = a.digest !== undefined && b.digest !== undefined;
  // Another size says it already.
  if (both && a.digest !== b.digest && a.size === b.size) changed.unshift('content');
  return changed;
}

function attributes({ xattrs = {} }: TreeEntry): string {
  const names = Object.entries(xattrs).map(([name, value]) => `${name}=${value}`);
  return names.sort().join(',') || '-';
}
