import type { ContextScan } from '../../cache/contexts/context-types.ts';
import type { ContextMemory } from '../inputs/local-files.ts';

/** What was seen of contexts, and what is known to have changed since. */
export interface SessionContexts extends ContextMemory {
  /** A build begins. */
  begin(): void;
  /** Absolute paths that are to be looked at again; undefined: the next build looks at everything. */
  note(paths: Iterable<string> | undefined): void;
  /** Whether there was something at an absolute path; true where that is not known. */
  saw(path: string): boolean;
  /** Looks again at all that the last build looked at: absolute paths that differ and were not noted. */
  differences(): readonly string[];
  /** Forgets what the last build did not ask for. */
  trim(): void;
}

interface Known {
  scan: ContextScan;
  /** Relative to the context. */
  changed: Set<string>;
  isTrusted: boolean;
  isUsed: boolean;
}

/** Above this a walk of everything takes no longer than looking for each. */
const MAX_CHANGED = 2000;

export function createSessionContexts(): SessionContexts {
  const scans = new Map<string, Known>();

  function update(known: Known): boolean {
    const { changed } = known;
    if (changed.size > MAX_CHANGED) return false;
    if (changed.size > 0) known.scan = known.scan.again(changed);
    known.changed = new Set();
    return true;
  }

  return {
    scan(name, scan) {
      const known = scans.get(name);
      if (known?.isTrusted === true && update(known)) {
        known.isUsed = true;
        return known.scan;
      }
      // A failure in between leaves nothing that could be taken for the truth.
      scans.delete(name);
      const made = scan();
      scans.set(name, { scan: made, changed: new Set(), isTrusted: true, isUsed: true });
      return made;
    },
    begin() {
      for (const known of scans.values()) known.isUsed = false;
    },
    note(paths) {
      for (const known of scans.values()) {
        if (paths === undefined) known.isTrusted = false;
        for (const path of paths ?? []) {
          const inside = relativeTo(known.scan.dir, path);
          if (inside !== undefined) known.changed.add(inside);
        }
      }
    },
    saw(path) {
      const asked = [...scans.values()].flatMap(({ scan, changed, isTrusted }) => {
        const inside = relativeTo(scan.dir, path);
        return inside === undefined ? [] : [{ scan, inside, isSure: isTrusted && !changed.has(inside) }];
      });
      return (
        asked.length === 0 ||
        asked.some(
          ({ scan, inside, isSure }) => !isSure || scan.entries.some((entry) => entry.path === inside),
        )
      );
    },
    differences() {
      return [...scans.values()].flatMap((known) => {
        const { dir } = known.scan;
        // A build that comes walks it anyway. One that failed may not have come so far.
        if (!known.isUsed || !update(known)) return [];
        return known.scan.differences().map((path) => (path === '' ? dir : `${dir}/${path}`));
      });
    },
    trim() {
      for (const [name, { isUsed }] of scans) if (!isUsed) scans.delete(name);
    },
  };
}

function relativeTo(dir: string, path: string): string | undefined {
  if (path === dir) return '';
  const prefix = dir.endsWith('/') ? dir : `${dir}/`;
  return path.startsWith(prefix) ? path.slice(prefix.length) : undefined;
}
