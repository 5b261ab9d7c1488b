import { isOcibuildError } from '../errors/error.ts';
import { readDefinition } from './inputs/definition-files.ts';
import { isLocalDefinition } from './inputs/main-context.ts';
import { isNormalUser } from './namespace/is-normal-user.ts';
import { normaliseOptions } from './normalise.ts';
import type { BuildOptions } from './options.ts';

const RUNS_SOMETHING = /^[ \t]*(?:ONBUILD[ \t]+)?RUN\b/im;

/**
 * A normal user's process that has to mount, or to give files to other ids, starts itself anew as root of a user
 * namespace of its own; then this does not return. Root stays what it is, and so does a build without RUN, which
 * works where user namespaces are switched off.
 * @param when `must`: whatever the Dockerfile says; `look`: when it runs something; `try`: where it can be done, for
 * what is on stdin can be read once only, and only then be looked at
 * @throws ROOTLESS_UNAVAILABLE
 */
export async function enterNamespaceIfNeeded(
  options: Pick<BuildOptions, 'env' | 'cwd'> & Partial<BuildOptions>,
  when: 'must' | 'look' | 'try',
): Promise<void> {
  if (!isNormalUser()) return;
  if (when === 'look' && !runsSomething({ context: '.', ...options })) return;
  const { currentUser, enterUserNamespace } = await import('../executor/rootless.ts');
  const user = currentUser();
  // Inside, the process is root by number; the store stays the user's own.
  const inside = { ...options.env, OCIBUILD_ROOTLESS: String(user.uid) };
  const { execPath, execArgv } = process;
  try {
    enterUserNamespace(process.argv.slice(1), inside, { ...user, execPath, execArgv });
  } catch (error) {
    // A build without RUN needs no namespace; one with RUN will say again what is missing.
    if (when !== 'try' || !isOcibuildError(error)) throw error;
  }
}

/** What a normal user's build needs: `must` where its Dockerfile runs something, `try` where that is not known before it is
 * fetched, or can be read once only. @throws USAGE_INVALID and others, for wrong options */
export function namespaceFor(options: BuildOptions): 'must' | 'try' | 'none' {
  if (!isLocalDefinition(normaliseOptions(options))) return 'try';
  return runsSomething(options) ? 'must' : 'none';
}

function runsSomething(options: BuildOptions): boolean {
  try {
    const normal = normaliseOptions(options);
    // What has to be fetched is looked at when it is here: the first RUN asks for the namespace then.
    return isLocalDefinition(normal) && RUNS_SOMETHING.test(readDefinition(normal).dockerfile.text);
  } catch (error) {
    // The build itself reports what is wrong.
    if (isOcibuildError(error)) return false;
    throw error;
  }
}
