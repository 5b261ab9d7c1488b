import { mkdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { listDir } from '../../cache/list-dir.ts';
import { storeError } from '../../cache/store-error.ts';
import { OcibuildError } from '../../errors/error.ts';
import { writeFileAtomic } from '../../util/atomic-fs.ts';
import { isAlive } from '../../util/owner.ts';
import { readJson } from '../../util/read-json.ts';
import type { PastBuild, PastRequest } from './types.ts';

const RECORD = 'build.json';
const MAX_BUILDS = 100;
const MAX_BYTES = 256 * 1024 * 1024;
/** Base 36 digits of a time until the year 5188. */
const TIME_DIGITS = 9;

/** Where the builds of a store are. */
export function buildsDir(root: string): string {
  return join(root, 'builds');
}

/** A build as it is in the store. */
export interface StoredBuild {
  readonly build: PastBuild;
  readonly dir: string;
}

/** Ids sort by the time at which their builds began. */
export function newBuildId(nowMs: number): string {
  const random = Math.random().toString(36).slice(2, 5).padEnd(3, '0');
  return nowMs.toString(36).padStart(TIME_DIGITS, '0') + random;
}

/** The file of what a step printed. */
export function logFile(dir: string, number: number): string {
  return join(dir, `${number}.log`);
}

export function createBuildDir(root: string, id: string): string {
  const dir = join(buildsDir(root), id);
  try {
    mkdirSync(buildsDir(root), { recursive: true, mode: 0o700 });
    mkdirSync(dir, { mode: 0o700 });
  } catch (error) {
    throw storeError(error, dir);
  }
  return dir;
}

export function writeBuild(dir: string, build: PastBuild): void {
  writeFileAtomic(join(dir, RECORD), `${JSON.stringify(build)}\n`, {
    temp: join(dir, `${RECORD}.${process.pid}`),
    mode: 0o600,
  });
}

/** Undefined where there is no such build, or not yet. */
export function readBuild(root: string, id: string): StoredBuild | undefined {
  const dir = join(buildsDir(root), id);
  const build = readJson<PastBuild>(join(dir, RECORD));
  if (build?.version !== 1) return undefined;
  const isKilled = build.status === 'running' && !isAlive(build.owner);
  return { dir, build: isKilled ? killed(build) : build };
}

function killed(build: PastBuild): PastBuild {
  const steps = build.steps.map((step) =>
    step.status === 'running' ? { ...step, status: 'killed' as const } : step,
  );
  return { ...build, status: 'killed', steps };
}

/** All builds of a store, newest first. */
export function listBuilds(root: string): StoredBuild[] {
  return ids(root).flatMap((id) => readBuild(root, id) ?? []);
}

/** Names of the steps that earlier builds of the same context and Dockerfile had done. */
export function stepsDone(
  root: string,
  { context, dockerfile }: Pick<PastRequest, 'context' | 'dockerfile'>,
): ReadonlySet<string> {
  const same = listBuilds(root).filter(
    ({ build: { request } }) => request.context === context && request.dockerfile === dockerfile,
  );
  const done = same.flatMap(({ build }) =>
    build.steps.filter(({ status }) => status === 'done' || status === 'cached'),
  );
  return new Set(done.map(({ name }) => name));
}

/** The build of an id, of the start of an id, or the `latest`. @throws BUILD_NOT_FOUND */
export function findBuild(root: string, wanted: string): StoredBuild {
  const all = listBuilds(root);
  const [latest] = all;
  if (wanted === 'latest' && latest !== undefined) return latest;
  const starting = all.filter(({ build }) => build.id.startsWith(wanted));
  const found = starting.find(({ build }) => build.id === wanted) ?? starting[0];
  if (found !== undefined && (starting.length === 1 || found.build.id === wanted)) return found;
  const why = starting.length > 1 ? `${starting.length} ids begin like this` : 'there is none';
  throw new OcibuildError('BUILD_NOT_FOUND', `Cannot find the build "${wanted}": ${why}`, {
    hint: '`ocibuild builds` lists those that the store remembers',
    details: { build: wanted },
  });
}

/** Forgets a build and its logs. @throws STORE_NOT_WRITABLE */
export function removeBuild({ dir }: Pick<StoredBuild, 'dir'>): void {
  try {
    rmSync(dir, { recursive: true, force: true });
  } catch (error) {
    throw storeError(error, dir);
  }
}

/**
 * Forgets the oldest builds, until there are no more than 100 with 256 MiB of logs. The newest stays whatever its size,
 * and so do those that run.
 */
export function sweepBuilds(
  root: string,
  {
    maxBuilds = MAX_BUILDS,
    maxBytes = MAX_BYTES,
  }: { readonly maxBuilds?: number; readonly maxBytes?: number } = {},
): void {
  let bytes = 0;
  for (const [index, id] of ids(root).entries()) {
    const dir = join(buildsDir(root), id);
    bytes += sizeOf(dir);
    if (index === 0 || (index < maxBuilds && bytes <= maxBytes)) continue;
    if (readBuild(root, id)?.build.status !== 'running') removeBuild({ dir });
  }
}

function ids(root: string): string[] {
  return listDir(buildsDir(root)).sort().reverse();
}

function sizeOf(dir: string): number {
  return listDir(dir).reduce(
    (sum, name) => sum + (statSync(join(dir, name), { throwIfNoEntry: false })?.size ?? 0),
    0,
  );
}
