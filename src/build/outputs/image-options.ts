import { OcibuildError } from '../../errors/error.ts';
import { didYouMean } from '../../errors/suggest.ts';
import { formatPlatform, hostPlatform, parsePlatform } from '../../image/platform.ts';
import type { Platform } from '../../image/types.ts';
import { goBool } from '../../util/go-bool.ts';
import type { BuildOptions } from '../options.ts';
import { type Annotation, checkAnnotations, parseAnnotations } from './annotations.ts';
import { type AttestOptions, carriesAttestations, readAttestations } from './attest-options.ts';
import { type ImageName, readName } from './image-name.ts';
import { type ImageOutput, isImageOutput } from './image-outputs.ts';

/** One image to make, or one for each platform. */
export interface NormalTarget {
  /** Stage name or index; undefined: the last stage. */
  readonly stage: string | undefined;
  readonly names: readonly ImageName[];
}

/** Which images a build makes. */
export interface ImageOptions {
  readonly targets: readonly NormalTarget[];
  /** In the order they were asked for, each once. */
  readonly platforms: readonly Platform[];
  /** Nobody asked for a platform: an image has that of its base, for whatever platform that is. */
  readonly platformOfBase?: boolean;
  readonly buildPlatform: Platform;
  /** The result is an index over the images of all platforms, not a manifest. */
  readonly indexed: boolean;
  readonly annotations: readonly Annotation[];
  readonly attest: AttestOptions;
}

type Env = Readonly<Record<string, string | undefined>>;

/** @throws USAGE_INVALID, REFERENCE_INVALID, PLATFORM_INVALID */
export function readImageOptions(options: BuildOptions, env: Env): ImageOptions {
  const buildPlatform = hostPlatform();
  const asked = options.platform || env.DOCKER_DEFAULT_PLATFORM || '';
  const platforms = readPlatforms(asked, buildPlatform);
  const indexed = readMultiPlatform(options.buildArgs?.BUILDKIT_MULTI_PLATFORM, platforms);
  const annotations = parseAnnotations(options.annotations ?? {});
  const outputs = options.outputs ?? [{ type: 'store' }];
  const attest = readAttestations(options.attest ?? []);
  const images = outputs.filter(isImageOutput);
  const dated = Boolean(options.buildArgs?.SOURCE_DATE_EPOCH ?? env.SOURCE_DATE_EPOCH);
  for (const output of images) {
    const own = [...annotations, ...parseAnnotations(output.annotations ?? {})];
    checkAnnotations(own, { platforms, indexed: indexed || carriesAttestations(output, attest) });
    checkForm(output, { annotated: own.length > 0, dated, indexed });
    output.names?.map(readName);
  }
  const targets = readTargets(options);
  const isUnnamed = targets.some(({ names }) => names.length === 0);
  if (images.some(({ type, names = [] }) => type === 'registry' && names.length === 0) && isUnnamed) {
    throw new OcibuildError('USAGE_INVALID', 'Cannot push an image without a name', {
      hint: 'name it with `-t registry.example/team/app:v0`',
    });
  }
  const [ownName] = images.flatMap(({ names = [] }) => names);
  if (targets.length > 1 && ownName !== undefined) {
    throw new OcibuildError('USAGE_INVALID', `Cannot name ${targets.length} images "${ownName}"`, {
      hint: `say which target it names: -t ${targets[0]?.stage}=${ownName}`,
    });
  }
  return { targets, platforms, platformOfBase: asked === '', buildPlatform, indexed, annotations, attest };
}

/** What an image cannot hold in the form that was asked for. */
function checkForm(
  output: ImageOutput,
  is: { readonly annotated: boolean; readonly dated: boolean; readonly indexed: boolean },
): void {
  const { compression, ociMediaTypes = true, rewriteTimestamp, sourceDateEpoch, type } = output;
  if (!is.dated && sourceDateEpoch === undefined && rewriteTimestamp === true) {
    throw new OcibuildError('USAGE_INVALID', 'Cannot rewrite timestamps: SOURCE_DATE_EPOCH is not set', {
      hint: 'set it, for example to the time of the last commit: SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)',
    });
  }
  if (is.annotated && !ociMediaTypes) {
    throw new OcibuildError(
      'USAGE_INVALID',
      'Cannot annotate an image with oci-mediatypes=false: Docker manifests hold no annotations',
    );
  }
  if (compression === 'estargz' && !ociMediaTypes) {
    throw new OcibuildError(
      'USAGE_INVALID',
      'Cannot compress as "estargz" with oci-mediatypes=false: its readers look for annotations, which Docker manifests do not hold',
    );
  }
  if (is.indexed && type === 'docker') {
    throw new OcibuildError(
      'USAGE_INVALID',
      'Cannot write a Docker archive of an index: it holds an image of one platform',
      { hint: 'choose one with --platform, or write an OCI archive: -o type=oci,dest=FILE' },
    );
  }
}

function readPlatforms(text: string, buildPlatform: Platform): Platform[] {
  if (text === '') return [buildPlatform];
  const read = text.split(',').map((word) => (word.trim() === 'local' ? buildPlatform : parsePlatform(word)));
  return [...new Map(read.map((platform) => [formatPlatform(platform), platform])).values()];
}

function readMultiPlatform(value: string | undefined, platforms: readonly Platform[]): boolean {
  if (value === undefined || value === '') return platforms.length > 1;
  const multi = goBool(value);
  if (multi === undefined) {
    throw new OcibuildError(
      'USAGE_INVALID',
      `Cannot use BUILDKIT_MULTI_PLATFORM "${value}": expected true or false`,
    );
  }
  if (!multi && platforms.length > 1) {
    throw new OcibuildError(
      'USAGE_INVALID',
      `Cannot build for ${platforms.map(formatPlatform).join(', ')} with BUILDKIT_MULTI_PLATFORM "${value}": that makes a single manifest`,
    );
  }
  return multi;
}

function readTargets({ target, targets, tags = [], targetTags = {} }: BuildOptions): NormalTarget[] {
  if (target !== undefined && targets !== undefined) {
    throw new OcibuildError('USAGE_INVALID', `Cannot build target "${target}" and several targets at once`);
  }
  const stages = [...new Set(targets ?? [])];
  const [foreign] = Object.keys(targetTags).filter((name) => !stages.includes(name));
  if (foreign !== undefined) {
    throw new OcibuildError(
      'USAGE_INVALID',
      `Cannot name the image of "${foreign}": it is not among the targets`,
      {
        hint: didYouMean(foreign, stages) ?? `the targets are ${stages.join(', ') || 'not given'}`,
      },
    );
  }
  if (stages.length > 1 && tags.length > 0) {
    throw new OcibuildError('USAGE_INVALID', `Cannot name ${stages.length} images "${tags[0]}"`, {
      hint: `say which target it names: -t ${stages[0]}=${tags[0]}`,
    });
  }
  if (stages.length === 0) return [{ stage: target, names: tags.map(readName) }];
  return stages.map((stage) => ({ stage, names: [...tags, ...(targetTags[stage] ?? [])].map(readName) }));
}
