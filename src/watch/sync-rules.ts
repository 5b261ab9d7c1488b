import { resolve } from 'node:path';
import { OcibuildError } from '../errors/error.ts';
import { isAtOrBelow } from './is-at-or-below.ts';

/** Files that are copied into the running container when they change, in place of a build. */
export interface SyncRule {
  /** A file or directory of this machine, absolute. */
  readonly source: string;
  /** Where it is in the container, absolute. */
  readonly target: string;
  /** The container is started again after the copy. */
  readonly restart: boolean;
}

export interface SyncRules {
  readonly sync: readonly SyncRule[];
  /** Paths for which the image is built, also where a rule covers them. Absolute. */
  readonly rebuild: readonly string[];
}

export interface SyncPlan {
  readonly copies: readonly { readonly source: string; readonly target: string }[];
  readonly restart: boolean;
  /** Changes that need a build. */
  readonly build: readonly string[];
}

/** `SRC:DST`; SRC from the current directory. @throws USAGE_INVALID */
export function parseSyncRule(text: string, { cwd, restart }: { cwd: string; restart: boolean }): SyncRule {
  const at = text.lastIndexOf(':');
  const [source, target] = [text.slice(0, at), text.slice(at + 1)];
  if (at > 0 && target.startsWith('/')) {
    return { source: resolve(cwd, source), target: target.replace(/(.)\/+$/, '$1'), restart };
  }
  throw new OcibuildError(
    'USAGE_INVALID',
    `Cannot use --${restart ? 'sync-restart' : 'sync'} "${text}": expected SRC:DST, DST a path in the container that begins with /`,
    { hint: 'for example --sync ./src:/app/src' },
  );
}

/** Decides what becomes of each change: of several rules the one with the longest path counts, `rebuild` first. */
export function planSync(changed: readonly string[], { sync, rebuild }: SyncRules): SyncPlan {
  const copies: { source: string; target: string }[] = [];
  const build: string[] = [];
  let restart = false;
  for (const path of changed) {
    const rule = longest(
      sync.filter(({ source }) => isAtOrBelow(path, source)),
      ({ source }) => source,
    );
    const forced = longest(
      rebuild.filter((dir) => isAtOrBelow(path, dir)),
      (dir) => dir,
    );
    if (rule === undefined || (forced !== undefined && forced.length >= rule.source.length)) build.push(path);
    else {
      const inside = path.slice(rule.source.length);
      copies.push({ source: path, target: rule.target === '/' ? inside || '/' : rule.target + inside });
      restart ||= rule.restart;
    }
  }
  return { copies, restart, build };
}

function longest<T>(all: readonly T[], pathOf: (one: T) => string): T | undefined {
  return all.reduce<T | undefined>(
    (best, one) => (best === undefined || pathOf(one).length > pathOf(best).length ? one : best),
    undefined,
  );
}
