import { execFile } from 'node:child_process';
import { join, relative } from 'node:path';
import { cancelledError } from '../../errors/error.ts';
import { redactCredentials } from '../../errors/redact.ts';
import { ANNOTATION } from '../../image/types.ts';
import { goBool } from '../../util/go-bool.ts';

type Env = Readonly<Record<string, string | undefined>>;

/** What is known of the repository that a directory belongs to. */
export interface Vcs {
  /** Address of the remote, without credentials. */
  readonly source?: string;
  /** The commit; `-dirty` behind it where something in the work tree differs from it. */
  readonly revision?: string;
  /** Where the directory is in it. */
  readonly 'localdir:context'?: string;
}

/** A repository as large as Linux takes a second. */
const TIMEOUT_MS = 10_000;

/**
 * Asks git about a directory. Nothing is known where git is missing, where the directory is no checkout, or where
 * git does not trust its owner; BUILDX_GIT_INFO=false asks nothing, BUILDX_GIT_CHECK_DIRTY=false takes the commit as it is.
 * @throws CANCELLED
 */
export async function readVcs(dir: string, env: Env, signal: AbortSignal): Promise<Vcs> {
  if (dir === '' || goBool(env.BUILDX_GIT_INFO ?? '') === false) return {};
  const git = (...args: string[]): Promise<string | undefined> => run(dir, args, { env, signal });
  const checksDirty = goBool(env.BUILDX_GIT_CHECK_DIRTY ?? '') !== false;
  const [revision, place, source, changes] = await Promise.all([
    git('rev-parse', '--verify', 'HEAD'),
    git('rev-parse', '--show-prefix'),
    remoteOf(git),
    checksDirty ? git('status', '--porcelain', '--', '.') : undefined,
  ]);
  return {
    ...(source === undefined ? {} : { source: redactUrl(source) }),
    ...(place === undefined ? {} : { 'localdir:context': place.replace(/\/$/, '') || '.' }),
    ...(revision === undefined ? {} : { revision: `${revision}${changes ? '-dirty' : ''}` }),
  };
}

/** Whether BUILDX_GIT_LABELS asks for labels of the repository: `1`, or `full` as older buildx has it. */
export function asksGitLabels(env: Env): boolean {
  const asked = env.BUILDX_GIT_LABELS ?? '';
  return asked === 'full' || goBool(asked) === true;
}

/**
 * The labels that say which commit of which repository an image was built from, where they are asked for.
 * @param places directory of the context, and the Dockerfile where it is a file
 * @throws CANCELLED
 * @see https://docs.docker.com/build/building/variables/#buildx_git_labels
 */
export async function gitLabels(
  { dir, dockerfile }: { readonly dir: string; readonly dockerfile: string | undefined },
  env: Env,
  signal: AbortSignal,
): Promise<Readonly<Record<string, string>>> {
  if (!asksGitLabels(env)) return {};
  const { source, revision, ...rest } = await readVcs(dir, { ...env, BUILDX_GIT_INFO: '1' }, signal);
  const place = rest['localdir:context'];
  const entrypoint =
    dockerfile === undefined || place === undefined ? '..' : join(place, relative(dir, dockerfile));
  return {
    ...(revision === undefined ? {} : { [ANNOTATION.revision]: revision }),
    ...(source === undefined ? {} : { [ANNOTATION.source]: source }),
    ...(entrypoint.startsWith('..') ? {} : { 'com.docker.image.source.entrypoint': entrypoint }),
  };
}

/** The remote that the branch follows, else the first. */
async function remoteOf(
  git: (...args: string[]) => Promise<string | undefined>,
): Promise<string | undefined> {
  const upstream = await git('rev-parse', '--abbrev-ref', '--symbolic-full-name', '@{upstream}');
  const remotes = (await git('remote'))?.split('\n') ?? [];
  const name = remotes.find((one) => upstream?.startsWith(`${one}/`)) ?? remotes[0];
  const url = name === undefined || name === '' ? undefined : await git('remote', 'get-url', name);
  return url || undefined;
}

/** User and password are for the transport only. */
function redactUrl(text: string): string {
  const url = URL.parse(text);
  if (url === null || !/^(?:https?|ssh|git|ftps?):$/.test(url.protocol)) return redactCredentials(text);
  url.password = '';
  if (url.protocol !== 'ssh:') url.username = '';
  return redactCredentials(url.href);
}

async function run(
  cwd: string,
  args: readonly string[],
  { env, signal }: { readonly env: Env; readonly signal: AbortSignal },
): Promise<string | undefined> {
  return new Promise((done, fail) => {
    execFile(
      'git',
      // A monitor of the file system is a program that the repository names.
      ['-c', 'core.fsmonitor=false', '-c', 'core.hooksPath=/dev/null', ...args],
      {
        cwd,
        signal,
        timeout: TIMEOUT_MS,
        maxBuffer: 64 << 20,
        env: { ...env, LC_ALL: 'C', GIT_OPTIONAL_LOCKS: '0', GIT_TERMINAL_PROMPT: '0' },
      },
      (error, stdout) => {
        if (signal.aborted) fail(cancelledError(signal));
        else done(error === null ? stdout.trim() : undefined);
      },
    );
  });
}
