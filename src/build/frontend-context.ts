import { OcibuildError } from '../errors/error.ts';
import { didYouMean } from '../errors/suggest.ts';
import type { Entitlement, FrontendContext } from '../frontend/types.ts';
import { formatPlatform } from '../image/platform.ts';
import { readIgnoreFile } from './inputs/definition-files.ts';
import type { ImageSources } from './inputs/image-resolver.ts';
import type { MainContext } from './inputs/main-context.ts';
import type { InternalSteps } from './internal-steps.ts';
import type { NormalOptions } from './normalise.ts';
import { withProxySettings } from './proxy-env.ts';

/** What every conversion of a build has in common: texts, flags and where base images are found. */
export function createFrontendContext(
  { files, source }: Pick<MainContext, 'files' | 'source'>,
  {
    options,
    images,
    steps,
    signal,
  }: {
    options: NormalOptions;
    images: Pick<ImageSources, 'resolve'>;
    steps: InternalSteps;
    signal: AbortSignal;
  },
): Omit<FrontendContext, 'target' | 'targetPlatform' | 'manyPlatforms'> {
  return {
    dockerfile: files.dockerfile,
    ...(files.ignoreFile === undefined ? {} : { ignoreFile: files.ignoreFile }),
    readDockerfile: files.readDockerfile,
    buildArgs: withProxySettings(options.buildArgs ?? {}, options.env),
    labels: options.labels ?? {},
    buildPlatform: options.buildPlatform,
    noCache: options.noCache === true ? true : (options.noCacheFilter ?? false),
    localContexts: Object.fromEntries(
      Object.entries(options.contextDirs).map(([name, dir]) => [name, readIgnoreFile(dir)]),
    ),
    ...(source === undefined ? {} : { mainContext: source }),
    remoteContexts: options.remoteContexts,
    imageContexts: Object.keys(options.buildContexts ?? {}).filter(
      (name) => !(name in options.contextDirs) && !(name in options.remoteContexts),
    ),
    allow: readEntitlements(options.allow ?? []),
    ...(options.attest.sboms.length === 0 ? {} : { scan: true }),
    network: options.network ?? 'default',
    extraHosts: options.addHosts ?? [],
    ulimits: options.ulimits ?? [],
    ...(options.shmSize === undefined ? {} : { shmSize: options.shmSize }),
    ...(options.epochSec === undefined ? {} : { sourceDateEpoch: options.epochSec }),
    resolver: {
      resolve(name, platform, abort) {
        const prefix = options.indexed ? `${formatPlatform(platform)} ` : '';
        return steps.run(`[${prefix}internal] load metadata for ${name}`, () =>
          images.resolve(name, platform, abort),
        );
      },
    },
    signal,
  };
}

const ENTITLEMENTS = ['network.host', 'security.insecure', 'device'] as const;

function readEntitlements(allow: readonly string[]): Entitlement[] {
  return allow.map((text): Entitlement => {
    const known = ENTITLEMENTS.find((each) => each === text);
    if (known !== undefined) return known;
    if (text.startsWith('device=') && text.length > 'device='.length) return text as Entitlement;
    const hint = didYouMean(text, ENTITLEMENTS);
    throw new OcibuildError(
      'USAGE_INVALID',
      `Cannot allow "${text}": expected ${ENTITLEMENTS.join(', ')} or device=NAME`,
      hint === undefined ? {} : { hint },
    );
  });
}
