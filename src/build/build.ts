import type { ProgressEvent } from '../solver/types.ts';
import { isNormalUser } from './namespace/is-normal-user.ts';
import { normaliseOptions } from './normalise.ts';
import type { BuildOptions, BuildResult } from './options.ts';
import { runBuild } from './run-build.ts';
import { superviseBuild } from './start-build.ts';

/**
 * A running build: await it for the result, iterate it for the events. Events are kept from the start until the
 * first iterator takes them; of output and progress no more than the first 16 MiB while nobody iterates.
 */
export interface Build extends Promise<BuildResult>, AsyncIterable<ProgressEvent> {
  /** The same as a plain promise. */
  readonly result: Promise<BuildResult>;
  /** Stops the build; `result` rejects with CANCELLED after everything has stopped. */
  cancel(reason?: unknown): void;
}

/**
 * Builds an image from a Dockerfile. A normal user's build that runs something is done by a process of its own in a user
 * namespace; that ends with this one.
 *
 * @throws OcibuildError through the promise; its `code` says what went wrong, `source` where in the Dockerfile.
 * TypeError for options that are none
 * @example
 * const job = build({ context: '.', tags: ['app:v0'] });
 * for await (const event of job) if (event.kind === 'cached') console.log('cached', event.vertex);
 * console.log((await job).digest);
 */
export function build(options: BuildOptions): Build {
  const {
    run: result,
    events,
    cancel,
  } = superviseBuild(options, async (how) => {
    const normal = normaliseOptions(options);
    const here = async (): Promise<BuildResult> => (await runBuild(normal, how)).result;
    if (!isNormalUser()) return here();
    const { buildAsUser } = await import('./namespace/as-user.ts');
    return buildAsUser({ ...options, cwd: normal.cwd, onEvent: how.emit, signal: how.signal }, here);
  });
  result.catch(() => undefined);
  return {
    result,
    cancel,
    // biome-ignore lint/suspicious/noThenProperty: a build is awaited like the promise of its result
    then: (onResult, onError) => result.then(onResult, onError),
    catch: (onError) => result.catch(onError),
    finally: (onEnd) => result.finally(onEnd),
    [Symbol.toStringTag]: 'Build',
    [Symbol.asyncIterator]: () => events(),
  };
}
