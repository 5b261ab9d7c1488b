import { spawn } from 'node:child_process';
import { existsSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { workerUrl } from '../../util/worker-url.ts';
import { parseDuration } from './filters.ts';
import { diskSpace, parseSpace } from './sizes.ts';
import type { DiskSpace, GcOptions } from './types.ts';

type Env = Readonly<Record<string, string | undefined>>;

const INTERVAL_MS = 600_000;
/** On a disk that is nearly full builds could fill the rest meanwhile. */
const TIGHT_INTERVAL_MS = 60_000;
const TIGHT_PART = 0.1;
/** Its mtime: when the store was last cleared, or began. Its size: room that prune takes back on a full disk, where
 * SQLite cannot even open its log. */
const MARK = 'gc';
const RESERVE_BYTES = 128 << 10;

/**
 * What options and variables say of clearing a store; undefined where it is off. Options come first.
 * @throws USAGE_INVALID for a variable that cannot be read
 */
export function readGcOptions(
  given: GcOptions | false | undefined,
  env: Env,
  diskBytes: number,
): GcOptions | undefined {
  if (given === false || /^(?:off|false|0|no)$/i.test(env.OCIBUILD_GC ?? '')) return undefined;
  const read = <T>(name: string, parse: (name: string, text: string) => T): T | undefined => {
    const text = env[name];
    return text === undefined || text === '' ? undefined : parse(name, text);
  };
  const space = (name: string, text: string): number => parseSpace(name, text, diskBytes);
  const values = {
    intervalMs: read('OCIBUILD_GC_INTERVAL', parseDuration),
    reservedSpace: read('OCIBUILD_GC_RESERVED_SPACE', space),
    maxUsedSpace: read('OCIBUILD_GC_MAX_USED_SPACE', space),
    minFreeSpace: read('OCIBUILD_GC_MIN_FREE_SPACE', space),
    keepDurationMs: read('OCIBUILD_GC_KEEP_DURATION', parseDuration),
  };
  const known = Object.entries(values).filter(([, value]) => value !== undefined);
  return { ...(Object.fromEntries(known) as GcOptions), ...given };
}

/** How long after the last time a store is looked at again. */
export function gcIntervalMs({ intervalMs = INTERVAL_MS }: GcOptions, { total, free }: DiskSpace): number {
  return free < total * TIGHT_PART ? Math.min(intervalMs, TIGHT_INTERVAL_MS) : intervalMs;
}

/**
 * Clears the store in a process of its own, when that was not done for a while: one stat for a build that comes too
 * early. A new store is only marked.
 */
export function startGcIfDue(root: string, given: GcOptions | false | undefined, env: Env): void {
  const mark = join(root, MARK);
  try {
    const options = readGcOptions(given, env, 0);
    if (options === undefined) return;
    const markMs = statSync(mark, { throwIfNoEntry: false })?.mtimeMs;
    if (markMs === undefined) {
      if (existsSync(join(root, 'index.json'))) fillReserve(root);
      return;
    }
    if (Math.abs(Date.now() - markMs) < gcIntervalMs(options, diskSpace(root))) return;
    // First, so that of many builds that end now one does it.
    const now = new Date();
    utimesSync(mark, now, now);
    const script = fileURLToPath(workerUrl(import.meta.url, 'gc-main.ts'));
    // Not `process.execArgv`: a host that was started with `node -e` would run once more.
    const child = spawn(process.execPath, [script, root, JSON.stringify(given ?? {})], {
      cwd: '/',
      env: { ...env },
      detached: true,
      stdio: 'ignore',
    });
    child.once('error', () => undefined);
    child.unref();
  } catch {
    // A full disk, a store that is read only: the build is done, and the next one tries again.
  }
}

/** Makes the little room on a full disk that pruning takes. */
export function releaseReserve(root: string): void {
  writeFileSync(join(root, MARK), '');
}

/** Takes it back; the mark is that of now. */
export function fillReserve(root: string): void {
  writeFileSync(join(root, MARK), Buffer.alloc(RESERVE_BYTES, 0xff));
}
