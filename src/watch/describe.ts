import { dirname, relative } from 'node:path';
import type { BuildResult } from '../build/options.ts';
import type { WatchCycle, WatchNotice } from './types.ts';

/** Paths that are named one by one; of more only the number is told. */
const MAX_NAMED = 3;

/** `src/a.ts changed`, `src/a.ts, b.ts and 12 more changed`; paths as seen from a directory. */
export function describeChanges(changed: readonly string[], from: string): string {
  // A directory changes with what is in it.
  const implied = new Set(changed.map((path) => dirname(path)));
  const names = [...new Set(changed)].flatMap((path) => {
    if (implied.has(path) && path !== '/') return [];
    const inside = relative(from, path);
    return inside === '' ? '.' : inside.startsWith('../..') ? path : inside;
  });
  const named = names.slice(0, names.length === MAX_NAMED + 1 ? MAX_NAMED + 1 : MAX_NAMED);
  const more = names.length - named.length;
  return `${named.join(', ')}${more === 0 ? '' : ` and ${more} more`} changed`;
}

/** What a build did, in one line: steps that ran, how long it took, what came out. */
export function describeCycle({ result, rebuilt, ms, error }: WatchCycle): string {
  const time = `${(ms / 1000).toFixed(2)} s`;
  if (error !== undefined || result === undefined) return `failed after ${time}; the last good image stays`;
  const cached = result.cachedSteps;
  const [first, ...others] = rebuilt;
  const steps =
    first === undefined
      ? 'every step was cached'
      : `ran ${[first, ...others].slice(0, MAX_NAMED).join(', ')}${others.length >= MAX_NAMED ? ` and ${others.length + 1 - MAX_NAMED} more` : ''}; ${cached} of ${result.totalSteps} cached`;
  return `${[...digestsOf(result), `in ${time}`].join(' ')}: ${steps}`;
}

export function describeNotice(notice: WatchNotice, from: string): string {
  switch (notice.kind) {
    case 'waiting': {
      const places = notice.places.map((path) => relative(from, path) || '.').slice(0, MAX_NAMED);
      const more = notice.places.length - places.length;
      return `waiting for changes in ${places.join(', ')}${more > 0 ? ` and ${more} more` : ''}; Ctrl-C ends`;
    }
    case 'stale':
      return `${describeChanges(notice.changed, from)}: the build starts anew`;
    case 'polling':
      return describePolling(notice.error, notice.everyMs);
  }
}

function describePolling(error: Error & { code?: string }, everyMs: number): string {
  const { code = error.message } = error;
  const reason = `cannot listen to all files (${code}), they are looked at every ${Math.round(everyMs / 1000)} s instead`;
  const limit = LIMITS[code];
  return limit === undefined ? reason : `${reason}\n  hint: ${limit}`;
}

/** @see inotify(7) */
const LIMITS: Readonly<Record<string, string>> = {
  ENOSPC:
    'raise the limit: sudo sysctl fs.inotify.max_user_watches=524288, or name what is not needed in .dockerignore',
  EMFILE: 'raise the limit: sudo sysctl fs.inotify.max_user_instances=1024, or ulimit -n',
};

function digestsOf({ digest, targets = {} }: BuildResult): readonly string[] {
  if (digest !== undefined) return [digest.slice(0, 'sha256:'.length + 12)];
  return Object.values(targets).flatMap(digestsOf);
}
