import { OcibuildError } from '../../errors/error.ts';
import { didYouMean } from '../../errors/suggest.ts';
import { formatPlatform, parsePlatform } from '../../image/platform.ts';
import type { Platform } from '../../image/types.ts';

const LEVELS = ['manifest', 'manifest-descriptor', 'index', 'index-descriptor'] as const;

export type AnnotationLevel = (typeof LEVELS)[number];

export interface Annotation {
  readonly level: AnnotationLevel;
  /** As `formatPlatform` writes it; undefined: every platform. */
  readonly platform: string | undefined;
  readonly key: string;
  readonly value: string;
}

/**
 * Reads annotations whose keys may say where they go: `[LEVEL[[PLATFORM]][,…]:]KEY`.
 * @throws USAGE_INVALID, PLATFORM_INVALID
 */
export function parseAnnotations(given: Readonly<Record<string, string>>): Annotation[] {
  return Object.entries(given).flatMap(([text, value]) => {
    const [, prefix, key = ''] =
      /^(?:([a-z-]+(?:\[[^\]]*\])?(?:,[a-z-]+(?:\[[^\]]*\])?)*):)?(.*)$/s.exec(text) ?? [];
    if (key === '') throw new OcibuildError('USAGE_INVALID', `Cannot annotate "${text}": the key is missing`);
    return (prefix ?? 'manifest')
      .split(',')
      .map((word): Annotation => ({ ...readPlace(word, text), key, value }));
  });
}

function readPlace(word: string, text: string): Pick<Annotation, 'level' | 'platform'> {
  const [, name = '', platform] = /^([a-z-]+)(?:\[(.*)\])?$/.exec(word) ?? [];
  const level = LEVELS.find((each) => each === name);
  if (level === undefined) {
    throw new OcibuildError(
      'USAGE_INVALID',
      `Cannot annotate "${text}": "${name}" is no place for annotations`,
      {
        hint: didYouMean(name, LEVELS) ?? `it can be ${LEVELS.join(', ')}`,
      },
    );
  }
  if (platform !== undefined && level.startsWith('index')) {
    throw new OcibuildError('USAGE_INVALID', `Cannot annotate "${text}": an index is for all platforms`);
  }
  return { level, platform: platform === undefined ? undefined : formatPlatform(parsePlatform(platform)) };
}

/**
 * Refuses annotations that would be lost.
 * @throws USAGE_INVALID
 */
export function checkAnnotations(
  annotations: readonly Annotation[],
  { platforms, indexed }: { platforms: readonly Platform[]; indexed: boolean },
): void {
  const built = platforms.map(formatPlatform);
  for (const { level, platform, key } of annotations) {
    if (level.startsWith('index') && !indexed) {
      throw new OcibuildError(
        'USAGE_INVALID',
        `Cannot annotate "${level}:${key}": the result is a single manifest`,
        {
          hint: 'build for several platforms, or with --build-arg BUILDKIT_MULTI_PLATFORM=1',
        },
      );
    }
    if (platform !== undefined && !built.includes(platform)) {
      throw new OcibuildError(
        'USAGE_INVALID',
        `Cannot annotate "${level}[${platform}]:${key}": the build is for ${built.join(', ')}`,
      );
    }
  }
}

/** Those of one place; what names the platform beats what is for all. */
export function annotationsOf(
  annotations: readonly Annotation[],
  level: AnnotationLevel,
  platform?: Platform,
): Readonly<Record<string, string>> {
  const shown = platform === undefined ? undefined : formatPlatform(platform);
  const here = annotations.filter((each) => each.level === level);
  const pairs = (wanted: string | undefined): [string, string][] =>
    here.filter((each) => each.platform === wanted).map(({ key, value }) => [key, value]);
  return Object.fromEntries([...pairs(undefined), ...(shown === undefined ? [] : pairs(shown))]);
}
