import { createHash } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import type { StoreRoot } from '../cache/types.ts';
import { isOcibuildError, OcibuildError } from '../errors/error.ts';
import { redact } from '../errors/redact.ts';
import { RetriableFailure, withRetry } from '../http/retry.ts';
import type { Digest } from '../image/types.ts';
import type { GitSource } from '../llb/ops.ts';
import { type GitAccess, type GitAccessDeps, gitAccess, withoutUser } from './git-access.ts';
import { type GitOutput, type GitProcessOptions, runGit } from './git-process.ts';
import { chooseRef, isWholeCommit, refPatterns } from './git-refs.ts';
import { linkRepository } from './link-repository.ts';
import type { GitCommit, GitReport, GitRepositories, RemoteMemory } from './types.ts';

export interface GitDeps extends Omit<GitAccessDeps, 'knownHostsFile'> {
  readonly root: StoreRoot;
  /** Held while a repository of the store is changed or read. */
  readonly lock: (key: Digest, signal: AbortSignal) => Promise<AsyncDisposable>;
  /** Of earlier builds: what it names is not asked for again. */
  readonly memory?: Pick<RemoteMemory, 'commits'>;
  /** A fetch begins. @param remote without credentials */
  readonly report?: (remote: string) => GitReport;
  /** PATH, proxies, certificates. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Pause before the second try of a fetch. @default 1000 */
  readonly retryDelayMs?: number;
}

interface Call {
  readonly args: readonly string[];
  readonly source: GitSource;
  readonly access: GitAccess;
  readonly signal: AbortSignal;
  readonly input?: string;
  readonly report?: GitReport | undefined;
}

/**
 * Repositories by way of the `git` program. Each remote has a bare repository in the store that holds the commits that
 * builds needed. It is never changed in place: a fetch goes to a copy that takes its place, so a killed one leaves
 * nothing behind.
 */
export function createGitRepositories(deps: GitDeps): GitRepositories {
  const { root, retryDelayMs: delayMs = 1000 } = deps;
  const folder = join(root.dir, 'git');
  const commits = new Map<string, Promise<GitCommit>>();

  const call = ({ args, access, signal, input, report }: Call): Promise<GitOutput> => {
    const options: GitProcessOptions = {
      env: deps.env,
      signal,
      secrets: access.secrets,
      config: access.config,
      extra: access.extra,
      ...(input === undefined ? {} : { input }),
      ...(report === undefined ? {} : { onProgress: report.part }),
    };
    return runGit(args, options);
  };
  const must = async (request: Call): Promise<GitOutput> => {
    const output = await call(request);
    if (output.status === 0) return output;
    throw failed(request.source, output);
  };
  const retrying = <T>(signal: AbortSignal, attempt: () => Promise<T>): Promise<T> =>
    withRetry(() => attempt().catch(throwRetriable), { signal, delayMs });
  const accessTo = (source: GitSource): Promise<GitAccess> => {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    return gitAccess(source, { ...deps, knownHostsFile: join(folder, 'known_hosts') });
  };

  async function findCommit(source: GitSource, signal: AbortSignal): Promise<GitCommit> {
    const { ref, checksum } = source;
    const byCommit = source.fetchByCommit === true ? checksum : undefined;
    const whole = [ref, byCommit].find((each) => each !== undefined && isWholeCommit(each));
    const found = whole === undefined ? await askRemote(source, signal) : { commit: whole, ref: undefined };
    // An annotated tag is an object of its own, and may be what was checked.
    const known = [found.commit, found.tagObject ?? ''];
    if (checksum === undefined || known.some((each) => each.startsWith(checksum))) return found;
    throw new OcibuildError(
      'CHECKSUM_MISMATCH',
      `Cannot use "${shownRemote(source)}": ${ref ?? 'HEAD'} is commit "${found.commit}", expected "${checksum}"`,
      { details: { expected: checksum, actual: found.commit } },
    );
  }

  async function remembered(key: string, source: GitSource, signal: AbortSignal): Promise<GitCommit> {
    const known = deps.memory?.commits.get(key);
    if (known !== undefined) return known;
    const found = await findCommit(source, signal);
    deps.memory?.commits.set(key, found);
    return found;
  }

  async function askRemote(source: GitSource, signal: AbortSignal): Promise<GitCommit> {
    const access = await accessTo(source);
    const args = ['ls-remote', '--symref', '--', access.remote, ...refPatterns(source.ref)];
    const output = await retrying(signal, () => must({ args, source, access, signal }));
    const found = chooseRef(output.stdout.toString('utf8'), source.ref);
    if (found !== undefined) return found;
    const isPart = source.ref !== undefined && /^[0-9a-f]{4,63}$/.test(source.ref);
    throw new OcibuildError(
      'GIT_REF_NOT_FOUND',
      `Cannot find ${source.ref === undefined ? 'a default branch' : `"${source.ref}"`} in "${shownRemote(source)}"`,
      {
        hint: isPart
          ? 'name a commit by all of its digits; its first few are no reference'
          : `list what there is: git ls-remote ${shownRemote(source)}`,
        details: { ref: source.ref ?? null },
      },
    );
  }

  /** Runs `use` with the repository of the remote, in which the commit is. */
  async function withRepository<T>(
    source: GitSource,
    signal: AbortSignal,
    use: (at: { dir: string; commit: GitCommit; access: GitAccess }) => Promise<T>,
  ): Promise<T> {
    const commit = await repositories.resolve(source, signal);
    const access = await accessTo(source);
    const format = commit.commit.length === 64 ? 'sha256' : 'sha1';
    const name = createHash('sha256')
      .update(`${format} ${shownRemote(source)}`)
      .digest('hex');
    const dir = join(folder, `${name.slice(0, 32)}.git`);
    await using _held = await deps.lock(`sha256:${name}`, signal);
    const about = { source, access, signal };
    if (!existsSync(dir) || !(await holds(dir, commit.commit, about))) {
      const fresh = root.tempPath();
      if (existsSync(dir)) linkRepository(dir, fresh);
      else
        await must({
          ...about,
          args: ['init', '-q', '--bare', '--template=', `--object-format=${format}`, fresh],
        });
      const report = deps.report?.(shownRemote(source));
      try {
        await retrying(signal, () => fetchCommit(fresh, commit, { ...about, report }));
        root.discard(dir);
        renameSync(fresh, dir);
        report?.end();
      } catch (error) {
        report?.end(error);
        throw error;
      } finally {
        root.discard(fresh);
      }
    }
    return use({ dir, commit, access });
  }

  type About = Pick<Call, 'source' | 'access' | 'signal' | 'report'>;

  async function holds(dir: string, commit: string, about: About): Promise<boolean> {
    const output = await call({ ...about, args: ['-C', dir, 'cat-file', '-e', `${commit}^{commit}`] });
    return output.status === 0;
  }

  /** The commit alone, by its ref and by its digits; then everything, for servers that give no parts. */
  async function fetchCommit(dir: string, { commit, ref }: GitCommit, about: About): Promise<void> {
    const kept = `refs/ocibuild/${commit}`;
    const shallow = ['fetch', '--progress', '--depth=1', '--no-tags', '--'];
    const { remote } = about.access;
    const ways = [
      ...(ref === undefined || about.source.fetchByCommit ? [] : [[...shallow, remote, `+${ref}:${kept}`]]),
      [...shallow, remote, `+${commit}:${kept}`],
      [
        'fetch',
        '--progress',
        '--no-tags',
        '--',
        remote,
        '+refs/heads/*:refs/heads/*',
        '+refs/tags/*:refs/tags/*',
      ],
    ];
    let last: GitOutput | undefined;
    for (const args of ways) {
      last = await call({ ...about, args: ['-C', dir, ...args] });
      // A branch may have moved on since it was asked for.
      if (await holds(dir, commit, about)) {
        await must({ ...about, args: ['-C', dir, 'update-ref', kept, `${commit}^{commit}`] });
        return;
      }
    }
    if (last !== undefined && last.status !== 0) throw failed(about.source, last);
    throw new OcibuildError(
      'GIT_REF_NOT_FOUND',
      `Cannot find commit "${commit}" in "${shownRemote(about.source)}"`,
      { hint: 'only what a branch or a tag leads to can be fetched from every server' },
    );
  }

  const repositories: GitRepositories = {
    resolve(source, signal) {
      const { remote, ref, checksum, fetchByCommit } = source;
      const key = JSON.stringify([remote, ref, checksum, fetchByCommit]);
      const found = commits.get(key) ?? remembered(key, source, signal);
      commits.set(key, found);
      return found;
    },
    commitTime: (source, signal) =>
      withRepository(source, signal, async ({ dir, commit, access }) => {
        const args = ['-C', dir, 'log', '-1', '--format=%ct', commit.commit];
        const { stdout } = await must({ args, source, access, signal });
        return Number(stdout.toString('utf8').trim());
      }),
    readFile: (source, path, { signal, onSize }) =>
      withRepository(source, signal, async ({ dir, commit, access }) => {
        const full = source.subdir === undefined ? path : `${source.subdir}/${path}`;
        const input = `${commit.commit}:${full}\n`;
        const ask = async (how: '--batch-check' | '--batch'): Promise<Buffer> => {
          const args = ['-C', dir, 'cat-file', how, '--follow-symlinks'];
          return (await must({ args, source, access, signal, input })).stdout;
        };
        const about = (await ask('--batch-check')).toString('latin1');
        const [, size] = /^[0-9a-f]+ blob (\d+)\n/.exec(about) ?? [];
        if (size === undefined) return undefined;
        onSize(Number(size));
        const stdout = await ask('--batch');
        const start = stdout.indexOf('\n') + 1;
        return stdout.subarray(start, start + Number(size));
      }),
    checkout: (source, dest, signal) =>
      withRepository(source, signal, async ({ dir, commit, access }) => {
        const about = { source, access, signal };
        const inside = (...args: readonly string[]) => must({ ...about, args: ['-C', dest, ...args] });
        const format = commit.commit.length === 64 ? 'sha256' : 'sha1';
        await must({ ...about, args: ['init', '-q', '--template=', `--object-format=${format}`, dest] });
        borrowObjects(dir, join(dest, '.git'));
        // Submodules may be named relative to the remote.
        await inside('config', 'remote.origin.url', access.remote);
        await inside('config', 'remote.origin.fetch', '+refs/heads/*:refs/remotes/origin/*');
        await inside('checkout', '-q', '-f', '--detach', commit.commit);
        if (source.submodules !== false && existsSync(join(dest, '.gitmodules'))) {
          const update = ['submodule', '-q', 'update', '--init', '--recursive'];
          const shallow = await call({ ...about, args: ['-C', dest, ...update, '--depth=1'] });
          if (shallow.status !== 0) await inside(...update);
        }
        if (source.keepGitDir === true) {
          await inside('config', 'remote.origin.url', shownRemote(source));
          // Reflogs name the user and the machine.
          const forget = ['reflog', 'expire', '--expire=now', '--all'];
          await inside(...forget);
          const each = ['submodule', '-q', 'foreach', '--recursive', ['git', ...forget].join(' ')];
          // A repository with a submodule that .gitmodules does not know has none here.
          await call({ ...about, args: ['-C', dest, ...each] });
          await inside('repack', '-q', '-a', '-d');
          rmSync(join(dest, '.git/objects/info/alternates'), { force: true });
        } else {
          rmSync(join(dest, '.git'), { recursive: true, force: true });
        }
        return subdirectory(source, dest);
      }),
  };
  return repositories;
}

/** Lets a new repository read the objects of another one, which must stay for as long. */
function borrowObjects(from: string, gitDir: string): void {
  mkdirSync(join(gitDir, 'objects/info'), { recursive: true });
  writeFileSync(join(gitDir, 'objects/info/alternates'), `${join(from, 'objects')}\n`);
  const shallow = join(from, 'shallow');
  if (existsSync(shallow)) copyFileSync(shallow, join(gitDir, 'shallow'));
}

function subdirectory(source: GitSource, dest: string): string {
  const { subdir } = source;
  if (subdir === undefined) return dest;
  const inside = realpathSync(dest);
  try {
    // A repository may hold a link that leads out of it.
    const real = realpathSync(join(inside, subdir));
    if (real.startsWith(`${inside}/`) && statSync(real).isDirectory()) return real;
  } catch {
    // Told below.
  }
  throw new OcibuildError(
    'GIT_REF_NOT_FOUND',
    `Cannot use the directory "${subdir}" of "${shownRemote(source)}": there is none`,
  );
}

/** Without user information. */
function shownRemote({ remote, ssh }: GitSource): string {
  const url = ssh === undefined ? URL.parse(remote) : null;
  if (url === null || (url.username === '' && url.password === '')) return remote;
  return withoutUser(url);
}

/** Failures that often pass by themselves, as git and its helpers tell them. A server that just hangs up has no such
 * repository. */
const PASSING = /timed out|Connection reset|error: 5\d\d|HTTP 5\d\d|early EOF|unexpected disconnect/i;

function throwRetriable(error: unknown): never {
  const passes = isOcibuildError(error) && error.code === 'GIT_FAILED' && PASSING.test(error.message);
  throw passes ? new RetriableFailure(error) : error;
}

function failed(source: GitSource, { said, status }: GitOutput): OcibuildError {
  const why = said === '' ? `git ended with exit code ${status}` : said;
  const denied = /Authentication failed|could not read (Username|Password)|Permission denied|HTTP (401|403)/i;
  const hint = denied.test(said)
    ? source.ssh === undefined
      ? 'give a token: --secret id=GIT_AUTH_TOKEN,env=TOKEN'
      : 'give an agent or a key that the server knows: --ssh default'
    : 'check the address, the network and the proxy variables';
  return new OcibuildError('GIT_FAILED', `Cannot read "${redact(shownRemote(source))}": ${why}`, { hint });
}
