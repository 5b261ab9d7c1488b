import { formatPlatform, normalizePlatform, parsePlatform } from '../../image/platform.ts';
import { parseReference } from '../../image/reference.ts';
import type { Platform } from '../../image/types.ts';
import { expandText, LexError } from '../parse/shell-lex.ts';
import { findVariable, flagWord, rangeOf, restOffset, wordsOf } from './places.ts';
import { suggestVariable } from './suggest-variable.ts';
import { tryExpand } from './try-expand.ts';
import type { Found, FromView, Rule } from './types.ts';

const UNDEFINED_ARG_IN_FROM: Rule = {
  name: 'UndefinedArgInFrom',
  description: 'FROM can only use arguments that are declared above the first FROM',
  *from({ from, globals, declared, escapeChar }) {
    const names = new Set([...globals.keys(), ...declared.flatMap(({ args }) => args.map(({ key }) => key))]);
    for (const text of [from.base, from.platform ?? '']) {
      for (const name of usedNames(text, globals, escapeChar).missing) {
        if (names.has(name)) continue;
        const near = suggestVariable(name, names);
        const hint = near === undefined ? '' : ` (did you mean ${near}?)`;
        yield {
          raw: from.raw,
          detail: `FROM argument '${name}' is not declared${hint}`,
          range: findVariable(from.raw, name),
        };
      }
    }
  },
};

const INVALID_DEFAULT_ARG_IN_FROM: Rule = {
  name: 'InvalidDefaultArgInFrom',
  description: 'The defaults of arguments should give a base image that can exist',
  *from({ from, defaults, earlier, escapeChar }) {
    const name = tryExpand(from.base, defaults, escapeChar);
    if (name === undefined || earlier.includes(name.toLowerCase()) || name.startsWith('file:')) return;
    if (isReference(name)) return;
    const word = wordsOf(from.raw, restOffset(from.raw))[0];
    yield {
      raw: from.raw,
      detail: `Default value for ARG ${from.base} results in empty or invalid base image name`,
      range: word && rangeOf(from.raw, word),
    };
  },
};

const FROM_PLATFORM_FLAG_CONST: Rule = {
  name: 'FromPlatformFlagConstDisallowed',
  description: 'The platform of a stage should follow from the platform of the build',
  *from({ from, globals, escapeChar }) {
    if (from.platform === undefined) return;
    const { used, missing } = usedNames(from.platform, globals, escapeChar);
    const platform = tryPlatform(from.platform);
    if (used.length > 0 || missing.length > 0 || platform === undefined) return;
    // A name such as `build-arm64` says that the stage is meant for one platform.
    const name = from.name ?? '';
    if (name.includes(platform.os) || name.includes(platform.architecture)) return;
    const detail = `FROM --platform flag should not use constant value "${from.platform}"`;
    yield { raw: from.raw, detail, range: platformFlag(from)?.range };
  },
};

const REDUNDANT_TARGET_PLATFORM: Rule = {
  name: 'RedundantTargetPlatform',
  description: 'Without --platform a stage is built for $TARGETPLATFORM anyway',
  *from({ from, globals, escapeChar }) {
    if (from.platform === undefined) return;
    const { used, missing } = usedNames(from.platform, globals, escapeChar);
    const isAll = tryExpand(from.platform, globals, escapeChar) === globals.get('TARGETPLATFORM');
    if (missing.length > 0 || used.join() !== 'TARGETPLATFORM' || !isAll) return;
    yield {
      raw: from.raw,
      detail: `Setting platform to predefined ${from.platform} in FROM is redundant as this is the default behavior`,
      ...dropFlag(from),
    };
  },
};

const INVALID_BASE_IMAGE_PLATFORM: Rule = {
  name: 'InvalidBaseImagePlatform',
  description: 'The base image should be for the platform that is built for',
  *stage({ state, baseName }) {
    const { stage, image } = state;
    const { platform } = stage;
    if (baseName === undefined || stage.base.kind !== 'image') return;
    if (image.os === platform.os && image.architecture === platform.architecture) return;
    const has = formatPlatform(normalizePlatform(image as Platform));
    const wanted = formatPlatform(normalizePlatform(platform));
    const { raw } = stage.from;
    const word = wordsOf(raw, restOffset(raw))[0];
    yield {
      raw,
      detail: `Base image ${baseName} was pulled with platform "${has}", expected "${wanted}" for current build`,
      range: word && rangeOf(raw, word),
    };
  },
};

/** Rules about FROM lines. */
export const FROM_RULES: readonly Rule[] = [
  UNDEFINED_ARG_IN_FROM,
  INVALID_DEFAULT_ARG_IN_FROM,
  FROM_PLATFORM_FLAG_CONST,
  REDUNDANT_TARGET_PLATFORM,
  INVALID_BASE_IMAGE_PLATFORM,
];

/** Variables that a text asks for: those that have a value, and those that have none. */
function usedNames(
  text: string,
  values: ReadonlyMap<string, string>,
  escapeChar: string,
): { used: readonly string[]; missing: readonly string[] } {
  const used = new Set<string>();
  const missing = new Set<string>();
  const lookup = (name: string): string | undefined => {
    const value = values.get(name);
    (value === undefined ? missing : used).add(name);
    return value;
  };
  try {
    expandText(text, lookup, { escapeChar });
  } catch (error) {
    // The build stops at this text and says why.
    if (!(error instanceof LexError)) throw error;
  }
  return { used: [...used], missing: [...missing] };
}

function tryPlatform(text: string): Platform | undefined {
  try {
    return parsePlatform(text);
  } catch {
    return undefined;
  }
}

function isReference(text: string): boolean {
  try {
    parseReference(text);
    return true;
  } catch {
    return false;
  }
}

function platformFlag({ raw }: FromView['from']) {
  return raw.flags.find(({ name }) => name === 'platform');
}

/** The flag with the blanks behind it, where both stand on one line. */
function dropFlag(from: FromView['from']): Pick<Found, 'range' | 'fix'> {
  const { raw } = from;
  const flag = platformFlag(from);
  const word = flag && flagWord(raw, flag);
  const range = word && rangeOf(raw, word);
  const next = word && wordsOf(raw, word.end)[0];
  const taken = word && next && rangeOf(raw, { start: word.start, end: next.start });
  const fix = taken && taken.start.line === taken.end.line ? [{ range: taken, text: '' }] : undefined;
  return { range, fix };
}
