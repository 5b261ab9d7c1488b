import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { OcibuildError, throwIfAborted } from '../errors/error.ts';
import { writeFileAtomic } from '../util/atomic-fs.ts';
import { openLayout } from './layout.ts';
import { ANNOTATION, type Descriptor, type Index, MEDIA_TYPE } from './types.ts';

const LAYOUT_FILE = '{"imageLayoutVersion":"1.0.0"}';
/** The lock is held for milliseconds; one this old was left by a killed process of another machine or pid namespace. */
const STALE_LOCK_MS = 30_000;
const LOCK_POLL_MS = 20;

/**
 * Puts entries into a layout's `index.json`, and makes the layout where there is none. An entry of the same
 * `ref.name` (and of the same full name, where both have one) is replaced, every other entry stays. Readers see
 * the index before or after, never between; concurrent writers wait for one another.
 * @returns the index as written.
 * @throws LAYOUT_INVALID when the directory holds a layout of another version.
 */
export async function writeLayoutIndex(
  dir: string,
  entries: readonly Descriptor[],
  { signal }: { signal: AbortSignal },
): Promise<Index> {
  await mkdir(join(dir, 'blobs', 'sha256'), { recursive: true });
  const lock = await lockIndex(dir, signal);
  try {
    makeLayoutFile(dir);
    const layout = await openLayout(dir);
    const exists = (await readIfThere(join(dir, 'index.json'))) !== undefined;
    const before: Index = exists
      ? await layout.readIndex()
      : { schemaVersion: 2, mediaType: MEDIA_TYPE.index, manifests: [] };
    const index = { ...before, manifests: mergeEntries(before.manifests, entries) };
    replace(dir, 'index.json', JSON.stringify(index));
    return index;
  } finally {
    await rm(lock, { force: true });
  }
}

/** Makes the file that says that a directory is a layout, where it is not there. */
export function makeLayoutFile(dir: string): void {
  if (!existsSync(join(dir, 'oci-layout'))) replace(dir, 'oci-layout', LAYOUT_FILE);
}

/** A replaced entry's place goes to its first successor: the order of names is kept. */
function mergeEntries(before: readonly Descriptor[], added: readonly Descriptor[]): Descriptor[] {
  const rest = [...added];
  const merged: Descriptor[] = [];
  for (const entry of before) {
    if (!added.some((candidate) => replaces(candidate, entry))) {
      merged.push(entry);
      continue;
    }
    const at = rest.findIndex((candidate) => replaces(candidate, entry));
    if (at >= 0) merged.push(...rest.splice(at, 1));
  }
  return [...merged, ...rest];
}

function replaces(added: Descriptor, entry: Descriptor): boolean {
  const name = added.annotations?.[ANNOTATION.refName];
  if (name !== entry.annotations?.[ANNOTATION.refName]) return false;
  if (name === undefined) return added.digest === entry.digest;
  const [mine, other] = [added, entry].map((d) => d.annotations?.[ANNOTATION.containerdName]);
  return mine === undefined || other === undefined || mine === other;
}

/** Flushed: the names of images cannot be made again. */
function replace(dir: string, name: string, data: string): void {
  const temp = join(dir, `.${name}.${process.pid}.${randomBytes(6).toString('hex')}`);
  writeFileAtomic(join(dir, name), data, { temp, sync: true });
}

async function lockIndex(dir: string, signal: AbortSignal): Promise<string> {
  const path = join(dir, '.index.json.lock');
  for (;;) {
    throwIfAborted(signal);
    try {
      await writeFile(path, `${process.pid}`, { flag: 'wx', mode: 0o644 });
      return path;
    } catch (cause) {
      if (!(cause instanceof Error && 'code' in cause && cause.code === 'EEXIST')) {
        throw new OcibuildError('LAYOUT_INVALID', `Cannot write image layout "${dir}": it is not writable`, {
          cause,
        });
      }
    }
    await dropStaleLock(path);
    await sleep(LOCK_POLL_MS);
  }
}

async function dropStaleLock(path: string): Promise<void> {
  const owner = await readIfThere(path);
  if (owner === undefined) return;
  const takenMs = (await stat(path).catch(() => undefined))?.mtimeMs;
  const isOld = takenMs !== undefined && Date.now() - takenMs >= STALE_LOCK_MS;
  const dead = /^\d+$/.test(owner) && !isAlive(Number(owner));
  if (!dead && !isOld) return;
  // Renamed first: of two processes that find the same stale lock one gets it, and a lock taken meanwhile by a
  // third is seen by its text and put back.
  const aside = `${path}.${process.pid}.${randomBytes(4).toString('hex')}`;
  await rename(path, aside).catch(() => undefined);
  const taken = await readIfThere(aside);
  if (taken !== undefined && taken !== owner) await rename(aside, path);
  else await rm(aside, { force: true });
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (cause) {
    return !(cause instanceof Error && 'code' in cause && cause.code === 'ESRCH');
  }
}

async function readIfThere(path: string): Promise<string | undefined> {
  return await readFile(path, 'utf8').catch((cause: unknown) => {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined;
    throw cause;
  });
}
