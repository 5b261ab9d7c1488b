import type { ContextScan } from '../../cache/contexts/context-types.ts';
import type { ContextMemory } from '../inputs/local-files.ts';

/** What was seen of contexts, and what is known to have changed since. */
export interface SessionContexts extends ContextMemory {
  /** Absolute paths that are to be looked at again; undefined: nothing that is known can be trusted. */
  note(paths: Iterable<string> | undefined): void;
  /** Whether there was something at an absolute path; true where that is not known. */
  saw(path: string): boolean;
  /** Looks at everything anew: absolute paths that differ from what is known and was not noted. */
  differences(): readonly string[];
  /** Forgets what no build has asked for since the last call. */
  trim(): void;
}

interface Known {
  scan: ContextScan;
  /** Relative to the context; undefined: everything. */
  changed: Set<string> | undefined;
  isUsed: boolean;
}

/** Above this a walk of everything takes no longer than looking for each. */
const MAX_CHANGED = 2000;

export function createSessionContexts(): SessionContexts {
  const scans = new Map<string, Known>();

  function update(known: Known): boolean {
    const { changed } = known;
    if (changed === undefined || changed.size > MAX_CHANGED) return false;
    if (changed.size > 0) known.scan = known.scan.again(changed);
    known.changed = new Set();
    return true;
  }

  return {
    scan(name, scan) {
      const known = scans.get(name);
      if (known !== undefined && update(known)) {
        known.isUsed = true;
        return known.scan;
      }
      // A failure in between leaves nothing that could be taken for the truth.
      scans.delete(name);
      const made = scan();
      scans.set(name, { scan: made, changed: new Set(), isUsed: true });
      return made;
    },
    note(paths) {
      for (const known of scans.values()) {
        if (paths === undefined) known.changed = undefined;
        for (const path of paths ?? []) {
          const inside = relativeTo(known.scan.dir, path);
          if (inside !== undefined) known.changed?.add(inside);
        }
      }
    },
    saw(path) {
      const asked = [...scans.values()].flatMap(({ scan, changed }) => {
        const inside = relativeTo(scan.dir, path);
        return inside === undefined ? [] : [{ scan, inside, isSure: changed?.has(inside) === false }];
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
        // A build that comes walks it anyway.
        if (!update(known)) return [];
        return known.scan.differences().map((path) => (path === '' ? dir : `${dir}/${path}`));
      });
    },
    trim() {
      for (const [name, known] of scans) {
        if (!known.isUsed) scans.delete(name);
        known.isUsed = false;
      }
    },
  };
}

function relativeTo(dir: string, path: string): string | undefined {
  if (path === dir) return '';
  const prefix = dir.endsWith('/') ? dir : `${dir}/`;
  return path.startsWith(prefix) ? path.slice(prefix.length) : undefined;
}
