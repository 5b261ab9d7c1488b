import { posix } from 'node:path';
import type { SourceRange } from '../../errors/source.ts';
import type { CopySource, Owner } from '../../llb/ops.ts';
import { BadPatternError, compileGoMatch, hasWildcard } from '../../util/go-match.ts';
import { createIgnoreMatcher } from '../../util/ignore-matcher.ts';
import { compileMode } from '../../util/symbolic-mode.ts';
import { flagError, instructionError } from './flags.ts';
import type { CopyInstruction } from './instructions.ts';
import type { RawInstruction } from './parser.ts';

/** `user[:group]` as numbers where they are numbers. An empty group after `:` is 0. */
export function parseOwner(text: string): Owner {
  const [user = '', group] = text.split(':', 2);
  const side = (part: string) => (/^\d{1,10}$/.test(part) ? Number(part) : part);
  return {
    ...(user === '' ? {} : { user: side(user) }),
    ...(group === undefined ? {} : { group: group === '' ? 0 : side(group) }),
  };
}

/** What the flags of a COPY or ADD make of its action; `chown` and `chmod` are expanded.
 * @throws DOCKERFILE_FLAG_INVALID */
export function readAttributes(
  instruction: CopyInstruction,
  { chown, chmod }: { readonly chown: string | undefined; readonly chmod: string | undefined },
): { owner?: Owner; mode?: number | string; exclude?: readonly string[] } {
  const { raw } = instruction;
  const exclude = cleanExcludes(raw, instruction.exclude ?? []);
  return {
    ...(chown ? { owner: readOwner(raw, chown) } : {}),
    ...(chmod ? { mode: readMode(raw, chmod) } : {}),
    ...(exclude.length === 0 ? {} : { exclude }),
  };
}

/** @param parents the path above a `/./` is left out of what is made at the destination
 * @throws DOCKERFILE_INSTRUCTION_INVALID */
export function copySource({ raw, parents }: CopyInstruction, source: string): CopySource {
  const pivot = parents === true ? source.indexOf('/./') : -1;
  const above = clean(source.slice(0, Math.max(pivot, 0)));
  const path = [above, clean(source.slice(pivot < 0 ? 0 : pivot + 3))]
    .filter((part) => part !== '')
    .join('/');
  const wildcard = hasWildcard(path);
  try {
    if (wildcard) compileGoMatch(path);
  } catch (error) {
    if (!(error instanceof BadPatternError)) throw error;
    throw instructionError(raw, 'DOCKERFILE_INSTRUCTION_INVALID', { message: error.message });
  }
  return { path, wildcard, ...(above === '' ? {} : { pivot: above.split('/').length }) };
}

/** Empty and `.` are the working directory itself, and what ends in `/.` is a directory, whether it exists or not. */
export function absoluteDest(workdir: string, dest: string): string {
  const path = posix.resolve('/', workdir, dest);
  const directory = /^\.?$|\/\.?$/.test(dest);
  return directory && path !== '/' ? `${path}/` : path;
}

/** As a path below the root, where `..` ends. */
function clean(path: string): string {
  return posix.resolve('/', path).slice(1);
}

function readOwner(raw: RawInstruction, chown: string): Owner {
  if (/^[^:\s]*(?::[^:\s]*)?$/.test(chown)) return parseOwner(chown);
  throw flagError(
    raw,
    { range: flagRange(raw, 'chown') },
    `Cannot use owner "${chown}": expected "user" or "user:group"`,
  );
}

function readMode(raw: RawInstruction, chmod: string): number | string {
  if (/^[0-7]+$/.test(chmod) && Number.parseInt(chmod, 8) <= 0o7777) return Number.parseInt(chmod, 8);
  if (compileMode(chmod) !== undefined) return chmod;
  throw flagError(
    raw,
    { range: flagRange(raw, 'chmod') },
    `Cannot use "--chmod=${chmod}": expected an octal mode between 0 and 07777, or a symbolic one`,
    'write it like "755" or "u=rwX,go=rX"',
  );
}

/** Blanks and empty patterns go, paths are cleaned; a leading slash stays and so matches nothing, as with Docker. */
function cleanExcludes(raw: RawInstruction, patterns: readonly string[]): readonly string[] {
  const cleaned = patterns.map((pattern) => pattern.trim()).filter((pattern) => pattern !== '');
  return cleaned.map((pattern) => {
    const normal = posix.normalize(pattern).replace(/(.)\/$/, '$1');
    try {
      if (normal === '!') throw new BadPatternError(pattern);
      createIgnoreMatcher([normal]);
    } catch (error) {
      if (!(error instanceof BadPatternError)) throw error;
      const range = raw.flags.find(
        ({ name, value }) => name === 'exclude' && value?.trim() === pattern,
      )?.range;
      const why = normal === '!' ? 'nothing follows the "!"' : 'it has an unclosed "[" or ends with "\\"';
      throw flagError(raw, { range: range ?? raw.range }, `Cannot use "--exclude=${pattern}": ${why}`);
    }
    return normal;
  });
}

export function flagRange(raw: RawInstruction, wanted: string): SourceRange {
  return raw.flags.find(({ name }) => name === wanted)?.range ?? raw.range;
}
