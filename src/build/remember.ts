import { existsSync, lstatSync, readdirSync, readlinkSync, realpathSync, rmSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { type LastBuild, writeLastBuild } from '../cache/last-build.ts';
import type { ExportSet } from '../exporter/types.ts';
import type { Digest } from '../image/types.ts';
import { dockerConfigFile } from '../transfer/docker-context.ts';
import { type FileTrace, type Invocation, keyOf, lastBuildFile, variablesOf } from './fast-path.ts';
import { asksGitLabels } from './inputs/vcs.ts';
import type { NormalOptions } from './normalise.ts';
import type { BuildTrace } from './run-build.ts';
import { VERSION } from './version.ts';

type StatRow = LastBuild['files'][number];

/**
 * Keeps what a finished build read, made and would print if nothing changed, so that the same command line can be
 * answered at once. A build that wrote elsewhere than to the store, or that asks a registry each time, has to go
 * the whole way again.
 */
export function rememberBuild(
  trace: BuildTrace,
  invocation: Invocation,
  lines: LastBuild['lines'],
  config: FileTrace = { readMs: trace.startedMs, files: [], env: {}, isWhole: true },
): void {
  const { options, targets, root } = trace;
  const file = lastBuildFile(root.dir, invocation);
  const sets = targets.flatMap(({ set }) => set ?? []);
  if (sets.length < targets.length || !trace.pinned || !config.isWhole || !isRepeatable(options)) {
    rmSync(file, { force: true });
    return;
  }
  const record: LastBuild = {
    version: VERSION,
    argv: keyOf(invocation),
    cwd: invocation.cwd,
    env: { ...variablesOf(invocation.argv, invocation.env), ...config.env },
    files: [
      ...rowsOf(trace.files.looked),
      ...rowsOf(layoutFiles(options, trace)),
      ...rowsOf(config.files),
      ...rowsOf(policyFiles(options)),
      // It may have proxies, which an ARG reads.
      ...rowsOf([dockerConfigFile(options.env)]),
      ...trace.local.scans().flatMap((scan) => [...scan.statRows()]),
    ],
    texts: {},
    tags: {
      ...trace.baseTags,
      ...Object.fromEntries(
        targets.flatMap(({ target, set }) =>
          set === undefined ? [] : target.names.map(({ familiar }) => [familiar, set.top.digest]),
        ),
      ),
    },
    blobs: [...new Set(sets.flatMap(blobsOf))].map((digest) =>
      join(root.blobsDir, digest.slice('sha256:'.length)),
    ),
    lines,
  };
  try {
    writeLastBuild(file, record, { readMs: Math.min(trace.startedMs, config.readMs), temp: root.tempPath() });
  } catch {
    // A full disk must not fail a build that is done; without a record the next one goes the whole way.
  }
}

/**
 * Steps that ran although the cache had them have other results now: no earlier build is the answer to its command line
 * any more.
 */
export function forgetAnswers({ noCache, noCacheFilter = [] }: NormalOptions, storeDir: string): void {
  if (noCache !== true && noCacheFilter.length === 0) return;
  const dir = join(storeDir, 'last-builds');
  // One by one: another process may write into the directory.
  for (const name of existsSync(dir) ? readdirSync(dir) : []) rmSync(join(dir, name), { force: true });
}

function blobsOf({ top, images, attestations = [] }: ExportSet): Digest[] {
  const descriptors = [...images, ...attestations].flatMap(({ manifest, configDescriptor, layers }) => [
    manifest,
    configDescriptor,
    ...layers.map(({ descriptor }) => descriptor),
  ]);
  return [top, ...descriptors].map(({ digest }) => digest);
}

function isRepeatable(options: NormalOptions): boolean {
  return (
    options.outputs.every(({ type }) => type === 'store') &&
    options.dockerfileText === undefined &&
    // Provenance tells of one run at one time: each has its own, also where nothing is left to do.
    options.attest.provenance === undefined &&
    // A commit may change nothing but itself.
    !asksGitLabels(options.env) &&
    options.noCache !== true &&
    // What is written elsewhere may be gone there.
    (options.cacheTo ?? []).length === 0 &&
    // The record holds the command line as it is.
    !(options.cacheFrom ?? []).some((cache) => 'secretAccessKey' in cache || 'token' in cache) &&
    (options.noCacheFilter ?? []).length === 0 &&
    options.pull !== 'always' &&
    options.pull !== 'newer'
  );
}

/** Layouts that base images may have come from change with their index. */
function layoutFiles({ buildContexts = {} }: NormalOptions, { layoutDirs }: BuildTrace): string[] {
  return Object.keys(buildContexts).length === 0 ? [] : layoutDirs.map((dir) => join(dir, 'index.json'));
}

function policyFiles({ sourcePolicy, cwd }: NormalOptions): string[] {
  return typeof sourcePolicy === 'string' ? [resolve(cwd, sourcePolicy)] : [];
}

/** Rows of files, and of all that they link to; mode 0 stands for nothing there. */
function rowsOf(paths: readonly string[]): StatRow[] {
  return paths.flatMap((path) => withTargets(path, MAX_LINKS).map(rowOf));
}

/** Linux' own limit on symlinks in one path (ELOOP). */
const MAX_LINKS = 40;

/** A link of a chain may be turned elsewhere without a trace on its ends; a dangling one has an end that may appear. */
function withTargets(path: string, left: number): string[] {
  const isLink = lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true;
  if (!isLink || left === 0) return [path];
  return [path, ...withTargets(resolve(realpathSync(dirname(path)), readlinkSync(path)), left - 1)];
}

function rowOf(path: string): StatRow {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return [path, 0, 0, 0, 0, 0];
  return [path, stat.mtimeMs, stat.ctimeMs, stat.size, stat.ino, stat.mode];
}
