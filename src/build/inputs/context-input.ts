import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import { OcibuildError } from '../../errors/error.ts';
import { parseGitRef, parseHttpRef } from '../../frontend/parse/remote-ref.ts';
import type { GitSource, HttpSource } from '../../llb/ops.ts';

/** What a build context is said to be. */
export type ContextInput =
  | { readonly type: 'directory'; readonly dir: string }
  | { readonly type: 'stdin' }
  | GitSource
  | HttpSource;

/** The name of a download that is the main context and no archive, as in Docker. */
const CONTEXT_FILE = 'context';

/**
 * Reads the name of the main context or, with `name`, of a named one. A directory of that name comes before a
 * repository.
 * @throws USAGE_INVALID
 */
export function readContextInput(
  text: string,
  {
    cwd,
    keepGitDir,
    named,
  }: { readonly cwd: string; readonly keepGitDir?: boolean; readonly named?: boolean },
): ContextInput {
  if (text === '-') return { type: 'stdin' };
  const dir = resolve(cwd, text);
  if (isDirectory(dir)) return { type: 'directory', dir };
  const git = parseGitRef(text, undefined);
  if (git !== undefined)
    return keepGitDir === true && git.keepGitDir === undefined ? { ...git, keepGitDir } : git;
  const http = parseHttpRef(text);
  if (http !== undefined) {
    const filename = named === true ? http.filename : CONTEXT_FILE;
    return { type: 'http', url: http.url, filename, mode: 0o600, unpack: true };
  }
  const [, scheme] = /^([a-z][a-z0-9+.-]*):\/\//i.exec(text) ?? [];
  if (scheme === undefined) return { type: 'directory', dir };
  throw new OcibuildError('USAGE_INVALID', `Cannot use the context "${text}": "${scheme}://" is unknown`, {
    hint:
      named === true
        ? 'a named context is a directory, a git or http(s) URL, docker-image://REF or oci-layout://DIR'
        : 'a context is a directory, a git or http(s) URL, or "-" for stdin',
  });
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}
