import { userInfo } from 'node:os';
import { isOcibuildError } from '../errors/error.ts';
import { readDefinition } from './definition-files.ts';
import { normaliseOptions } from './normalise.ts';
import type { BuildOptions } from './options.ts';

const RUNS_SOMETHING = /^[ \t]*(?:ONBUILD[ \t]+)?RUN\b/im;

/**
 * A normal user's process that has to mount, or to give files to other ids, starts itself anew as root of a user
 * namespace of its own; then this does not return. Root stays what it is, and so does a build without RUN, which
 * works where user namespaces are switched off.
 * @param always whatever the Dockerfile says
 * @throws ROOTLESS_UNAVAILABLE
 */
export async function enterNamespaceIfNeeded(
  options: Pick<BuildOptions, 'env' | 'cwd'> & Partial<BuildOptions>,
  always: boolean,
): Promise<void> {
  if (process.platform !== 'linux' || process.geteuid?.() === 0) return;
  if (!always && !runsSomething({ context: '.', ...options })) return;
  const { enterUserNamespace } = await import('../executor/rootless.ts');
  const { uid, gid, username } = userInfo();
  // Inside, the process is root by number; the store stays the user's own.
  enterUserNamespace(
    process.argv.slice(1),
    { ...options.env, OCIBUILD_ROOTLESS: String(uid) },
    {
      uid,
      gid,
      userName: username,
      execPath: process.execPath,
      execArgv: process.execArgv,
    },
  );
}

function runsSomething(options: BuildOptions): boolean {
  try {
    return RUNS_SOMETHING.test(readDefinition(normaliseOptions(options)).dockerfile.text);
  } catch (error) {
    // The build itself reports what is wrong.
    if (isOcibuildError(error)) return false;
    throw error;
  }
}
