import { createHash } from 'node:crypto';
import { createReadStream, mkdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { scanContext } from '../../cache/contexts/context-scan.ts';
import type { ContextEntry, ContextScan } from '../../cache/contexts/context-types.ts';
import { createDownloadRows } from '../../cache/download-rows.ts';
import { redact } from '../../errors/redact.ts';
import { parseHttpRef } from '../../frontend/parse/remote-ref.ts';
import type { Digest } from '../../image/types.ts';
import { createTreeView } from '../../layer/tree/tree-view.ts';
import type { TreeEntry } from '../../layer/types.ts';
import { canonicalJson, type Definition, digestOf } from '../../llb/definition.ts';
import type { ArchiveSource, ExternalSource, GitSource, HttpSource } from '../../llb/ops.ts';
import type { PlanSource } from '../../solver/ops/file-plan.ts';
import type { ExternalFiles, LocalFiles } from '../../solver/ops/types.ts';
import type { EventSink } from '../../solver/types.ts';
import { createGitRepositories } from '../../source/git.ts';
import { isWholeCommit } from '../../source/git-refs.ts';
import { createDownloads } from '../../source/http.ts';
import type { Download, Downloads, GitRepositories, RemoteMemory, SshIdentity } from '../../source/types.ts';
import type { Engine } from '../engine.ts';
import type { NormalOptions } from '../normalise.ts';
import { type ArchiveStore, createArchiveReader } from './archives.ts';
import { createDownloadReports, createGitReports } from './download-reports.ts';
import { filesOfScan } from './local-files.ts';
import { createSecrets } from './secrets.ts';

export type RemoteSource = Exclude<ExternalSource, { readonly type: 'local' }>;

/** What a build reads that is neither a directory nor an image. */
export interface RemoteSources extends Disposable {
  readonly downloads: Downloads;
  readonly git: GitRepositories;
  files(source: RemoteSource): ExternalFiles;
  /** The unpacked archive; undefined where the file is none.
   * @param name what errors call it: nobody has given it the path that it has */
  archive(path: string, name: string, signal: AbortSignal): Promise<PlanSource | undefined>;
  /** Seconds since the epoch: the commit's; Last-Modified of a download, else its newest file. */
  time(source: RemoteSource, signal: AbortSignal): Promise<number | undefined>;
}

function archiveName(source: HttpSource | ArchiveSource): string {
  return source.type === 'http' ? redact(source.url) : 'stdin';
}

export interface RemoteSourcesOptions {
  /** Is told of downloads. */
  readonly emit: EventSink;
  readonly memory?: RemoteMemory | undefined;
}

export function createRemoteSources(
  engine: Engine,
  options: NormalOptions,
  { emit, memory }: RemoteSourcesOptions,
): RemoteSources {
  const remembering = memory === undefined ? {} : { memory };
  const { root, content, db, keys } = engine;
  const { env, cwd, ssh = {} } = options;
  const secret = createSecrets(options.secrets ?? {}, { env, cwd }).get;
  const downloads = createDownloads({
    ...{ content, env, secret, ...remembering },
    rows: () => createDownloadRows(db),
    report: createDownloadReports(emit, Date.now),
  });
  const home = env.HOME ?? homedir();
  const git = createGitRepositories({
    root,
    env,
    secret,
    lock: keys.lock,
    report: createGitReports(emit, Date.now),
    ...remembering,
    otherKnownHosts: [join(home, '.ssh/known_hosts'), '/etc/ssh/ssh_known_hosts'],
    async ssh(id): Promise<SshIdentity | undefined> {
      const given = ssh[id];
      if (given === undefined) return undefined;
      if (given.type === 'agent') return { socket: resolve(cwd, given.socket) };
      return { keyFiles: given.files.map((file) => resolve(cwd, file)) };
    },
  });
  const archives: ArchiveStore = createArchiveReader(root);
  const unpacked = new Map<string, Promise<PlanSource | undefined>>();
  const opened = new Map<string, Promise<LocalFiles>>();
  const checkouts: string[] = [];

  const archive: RemoteSources['archive'] = (path, name, signal) => {
    const source = unpacked.get(path) ?? archives.open(path, signal, name);
    unpacked.set(path, source);
    return source;
  };

  async function openHttp(source: HttpSource, signal: AbortSignal): Promise<LocalFiles> {
    const download = await downloads.read(source, signal);
    const inside =
      source.unpack === true ? await archive(download.path, archiveName(source), signal) : undefined;
    return inside === undefined ? oneFile(source, download) : withFileDigests(inside);
  }

  async function openGit(source: GitSource, signal: AbortSignal): Promise<LocalFiles> {
    const dest = root.tempPath();
    checkouts.push(dest);
    mkdirSync(dest, { mode: 0o700 });
    const dir = await git.checkout(source, dest, signal);
    const seconds = source.mtime === 'commit' ? await git.commitTime(source, signal) : undefined;
    const isOurs = (path: string) => source.keepGitDir !== true && basename(path) === '.git';
    const ignore = { excluded: isOurs, mayContainIncluded: () => false };
    return filesOfScan(asCommitted(scanContext({ dir, select: [''], ignore, signal }), seconds));
  }

  async function open(source: RemoteSource, signal: AbortSignal): Promise<LocalFiles> {
    switch (source.type) {
      case 'http':
        return openHttp(source, signal);
      case 'git':
        return openGit(source, signal);
      case 'archive': {
        const inside = await archive(content.path(source.digest), archiveName(source), signal);
        if (inside === undefined) throw new TypeError(`Cannot unpack "${source.digest}": it is no archive`);
        return withFileDigests(inside);
      }
    }
  }

  async function identity(source: RemoteSource, signal: AbortSignal): Promise<string> {
    switch (source.type) {
      case 'archive':
        return source.digest;
      case 'http': {
        const { filename, mode, unpack, checksum } = source;
        const digest = checksum ?? (await downloads.fetch(source, signal)).digest;
        return canonicalJson({ digest, filename, mode, unpack });
      }
      case 'git': {
        const { subdir, keepGitDir, submodules, mtime, ref, remote } = source;
        const { commit } = await git.resolve(source, signal);
        // What `.git` holds names the remote and the branch; the files alone do not depend on them.
        const origin = keepGitDir === true ? { ref, remote } : {};
        return canonicalJson({ commit, subdir, keepGitDir, submodules, mtime, ...origin });
      }
    }
  }

  return {
    downloads,
    git,
    archive,
    files: (source) => ({
      identity: async (signal) => [{ name: nameOf(source), value: await identity(source, signal) }],
      open(signal) {
        const key = digestOf(source);
        const files = opened.get(key) ?? open(source, signal);
        opened.set(key, files);
        return files;
      },
    }),
    async time(source, signal) {
      if (source.type === 'git') return git.commitTime(source, signal);
      const download = source.type === 'http' ? await downloads.fetch(source, signal) : undefined;
      if (download?.modifiedSec !== undefined) return download.modifiedSec;
      const path = download?.path ?? content.path((source as ArchiveSource).digest);
      const inside = await archive(path, archiveName(source), signal);
      return inside === undefined ? undefined : newestFile(inside);
    },
    [Symbol.dispose]() {
      archives.close();
      for (const dir of checkouts.splice(0)) root.discard(dir);
    },
  };
}

/** Whether everything that a build reads from elsewhere is named by its content. */
export function isPinnedBuild({ context, dockerfile }: NormalOptions, { vertices }: Definition): boolean {
  if (dockerfile !== undefined && parseHttpRef(dockerfile) !== undefined) return false;
  if (context.type === 'stdin' || (context.type !== 'directory' && !isPinned(context))) return false;
  return [...vertices.values()].every(
    ({ op }) =>
      op.kind !== 'source' || op.source.type === 'image' || op.source.type === 'local' || isPinned(op.source),
  );
}

/** Whether what a source stands for can never change. */
function isPinned(source: RemoteSource): boolean {
  switch (source.type) {
    case 'archive':
      return false;
    case 'http':
      return source.checksum !== undefined;
    case 'git':
      return source.ref !== undefined && isWholeCommit(source.ref);
  }
}

function nameOf(source: RemoteSource): string {
  switch (source.type) {
    case 'archive':
      return 'context';
    case 'http':
      return `download ${new URL(source.url).host}`;
    case 'git':
      return 'commit';
  }
}

/** A download as a file system. */
function oneFile({ filename, mode }: HttpSource, download: Download): LocalFiles {
  const { digest, size, modifiedSec = 0, path } = download;
  const about = { uid: 0, gid: 0, mtimeSec: modifiedSec };
  const root: TreeEntry = { path: '', type: 'dir', mode: 0o755, size: 0, ...about };
  const file: TreeEntry = { path: filename, type: 'file', mode, size, digest, ...about };
  return withFileDigests({ view: createTreeView([[root, file]]), content: () => ({ path }) });
}

function withFileDigests(source: PlanSource): LocalFiles {
  return {
    ...source,
    async digests(entries, signal) {
      const known = new Map<string, Digest>();
      for (const entry of entries) {
        known.set(entry.path, entry.digest ?? (await digestOfFile(source.content(entry).path, signal)));
      }
      return known;
    },
  };
}

async function digestOfFile(path: string | Buffer, signal: AbortSignal): Promise<Digest> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path, { signal })) hash.update(chunk);
  return `sha256:${hash.digest('hex')}`;
}

/** What git does not keep must not depend on this process: modes without the umask's cuts, and owners. */
function asCommitted(scan: ContextScan, mtimeSec: number | undefined): ContextScan {
  const entries = scan.entries.map((entry): ContextEntry => {
    const mode =
      entry.type === 'symlink' ? 0o777 : entry.type === 'dir' || entry.mode & 0o100 ? 0o755 : 0o644;
    return { ...entry, mode, ...(mtimeSec === undefined ? {} : { mtimeSec }) };
  });
  return { ...scan, entries };
}

function newestFile({ view }: PlanSource): number | undefined {
  let newest: number | undefined;
  const visit = (path: string): void => {
    for (const name of view.children(path)) {
      const below = path === '' ? name : `${path}/${name}`;
      const entry = view.get(below);
      if (entry?.type === 'dir') visit(below);
      else if (entry !== undefined) newest = Math.max(newest ?? 0, entry.mtimeSec);
    }
  };
  visit('');
  return newest;
}
