import { isOcibuildError } from '../../errors/error.ts';
import type { WatchCycle } from '../../watch/types.ts';
import type { BuildOptions, BuildResult } from '../options.ts';
import { namespaceFor } from '../user-namespace.ts';
import { type InsideOptions, openInside } from './client.ts';
import type { InsideName } from './types.ts';

/**
 * A normal user's build: inside a user namespace where it runs something, here where it does not. One whose base image
 * turns out to have a trigger that runs something begins anew inside.
 * @throws ROOTLESS_UNAVAILABLE
 */
export async function buildAsUser(
  options: BuildOptions,
  here: () => Promise<BuildResult>,
): Promise<BuildResult> {
  const need = namespaceFor(options);
  if (need === 'try') return insideOrHere('build', options, { here });
  if (need === 'none') {
    try {
      return await here();
    } catch (error) {
      if (!isRootless(error)) throw error;
    }
  }
  return (await open(options)).run('build', options) as Promise<BuildResult>;
}

export interface InsideOrHere<T> {
  readonly here: () => Promise<T>;
  readonly onCycle?: (cycle: WatchCycle) => void;
}

/** Calls a function of the library inside a user namespace, or here where none can be had. */
export async function insideOrHere<T>(
  name: InsideName,
  options: InsideOptions,
  { here, onCycle }: InsideOrHere<T>,
): Promise<T> {
  const opened = await open(options).catch((error: unknown) => ({ error }));
  if (!('error' in opened)) return opened.run(name, options, onCycle) as Promise<T>;
  if (!isRootless(opened.error)) throw opened.error;
  try {
    return await here();
  } catch (error) {
    // That one knows what is missing.
    throw isRootless(error) ? opened.error : error;
  }
}

/** Calls a function whose store is that of a build: inside where that one would be. @throws ROOTLESS_UNAVAILABLE */
export async function insideWhereItRuns<T>(
  name: InsideName,
  options: BuildOptions,
  here: () => Promise<T>,
): Promise<T> {
  if (namespaceFor(options) !== 'must') return here();
  return (await open(options)).run(name, options) as Promise<T>;
}

function open({ onFailedStep }: InsideOptions) {
  return openInside(onFailedStep !== undefined);
}

function isRootless(error: unknown): boolean {
  return isOcibuildError(error) && error.code === 'ROOTLESS_UNAVAILABLE';
}
