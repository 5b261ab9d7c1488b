import { throwIfAborted } from '../errors/error.ts';
import { convertDockerfile } from '../frontend/convert/convert.ts';
import type { FrontendContext, FrontendResult, LintWarning } from '../frontend/types.ts';
import { formatPlatform } from '../image/platform.ts';
import type { Digest, Platform } from '../image/types.ts';
import { type Definition, mergeDefinitions } from '../llb/definition.ts';
import type { ImageOptions, NormalTarget } from './outputs/image-options.ts';

/** All images of a build over one graph: what two of them have in common is solved once. */
export interface BuildGraph {
  readonly definition: Definition;
  /** In the order of the command line. */
  readonly targets: readonly TargetGraph[];
  /** The vertices that the images are made of, each once. */
  readonly roots: readonly Digest[];
  /** More vertices to solve, which no image holds: what an SBOM tells of. */
  readonly scanned: readonly Digest[];
  readonly warnings: readonly LintWarning[];
}

export interface TargetGraph {
  readonly target: NormalTarget;
  /** In the order of the platforms. */
  readonly images: readonly PlannedImage[];
}

export interface PlannedImage {
  readonly platform: Platform;
  readonly front: FrontendResult;
}

/**
 * Converts the Dockerfile once for each target and platform. An image that several of them stand on is asked for
 * once.
 * @throws what `convertDockerfile` throws, after all conversions have ended
 */
export async function createBuildGraph(
  options: Pick<ImageOptions, 'targets' | 'platforms' | 'platformOfBase' | 'indexed'>,
  context: Omit<FrontendContext, 'target' | 'targetPlatform' | 'manyPlatforms'>,
): Promise<BuildGraph> {
  const { targets: wanted, platforms, platformOfBase = false, indexed } = options;
  const shared = { ...context, resolver: onceForEach(context.resolver) };
  const one = async (target: NormalTarget, platform: Platform, index: number): Promise<PlannedImage> => {
    const front = await convertDockerfile({
      ...shared,
      targetPlatform: platform,
      platformOfBase,
      ...(target.stage === undefined ? {} : { target: target.stage }),
      ...(indexed ? { manyPlatforms: true } : {}),
      // The rules would find the same again for every platform.
      ...(index > 0 ? { lint: 'off' as const } : {}),
    });
    return { platform, front };
  };
  const targets = await allSettled(
    wanted.map(async (target) => ({
      target,
      images: await allSettled(platforms.map((platform, index) => one(target, platform, index))),
    })),
  );
  throwIfAborted(context.signal);
  const fronts = targets.flatMap(({ images }) => images.map(({ front }) => front));
  return {
    definition: mergeDefinitions(fronts.map(({ definition }) => definition)),
    targets,
    roots: [...new Set(fronts.flatMap(({ target }) => target ?? []))],
    scanned: [...new Set(fronts.flatMap(({ scans = [] }) => scans.map(({ root }) => root)))],
    warnings: distinct(fronts.flatMap(({ warnings }) => warnings)),
  };
}

function onceForEach(resolver: FrontendContext['resolver']): FrontendContext['resolver'] {
  const asked = new Map<string, ReturnType<typeof resolver.resolve>>();
  return {
    resolve(name, platform, signal) {
      const key = `${name} ${formatPlatform(platform)}`;
      const answer = asked.get(key) ?? resolver.resolve(name, platform, signal);
      asked.set(key, answer);
      return answer;
    },
  };
}

/** Nothing is left running when the first failure is told. */
async function allSettled<T>(promises: readonly Promise<T>[]): Promise<T[]> {
  await Promise.allSettled(promises);
  return Promise.all(promises);
}

/** Several targets share stages, and what is found in them. */
export function distinct(warnings: readonly LintWarning[]): LintWarning[] {
  const keyOf = ({ rule, message, range }: LintWarning): string =>
    `${range.start.line} ${range.start.column} ${rule} ${message}`;
  return [...new Map(warnings.map((warning) => [keyOf(warning), warning])).values()];
}
