import { BadPatternError, compileGoMatch, goPatternSource } from './go-match.ts';

/** Answers for slash paths relative to the context's root, without a leading slash. */
export interface IgnoreMatcher {
  /** Whether the path itself is hidden. Results for directories are remembered, so ask for a directory once. */
  excluded(path: string, isDir: boolean): boolean;
  /** False only if nothing below the directory can be visible: it need not be read. */
  mayContainIncluded(dir: string): boolean;
}

/**
 * A pattern hides what it matches and all that is below; the last pattern that applies to a path decides. As in
 * Docker, patterns are asked in order and only those that would change the answer so far, so `!x*` does not apply to
 * what is below a directory that was visible when it was asked.
 * @param patterns cleaned paths of Go's match with `**`; `!` before one includes again what it matches
 * @throws BadPatternError
 */
export function createIgnoreMatcher(patterns: readonly string[]): IgnoreMatcher {
  const rules = patterns.map((pattern) => {
    const negated = pattern.startsWith('!');
    const path = negated ? pattern.slice(1) : pattern;
    return { negated, test: compileTest(path), parts: path.split('/') };
  });
  const negations = rules.flatMap((rule, index) =>
    rule.negated ? [{ index, mayMatchBelow: compileBelow(rule.parts) }] : [],
  );
  const none: Verdict = { hits: new Uint8Array(rules.length), last: -1 };
  const decided = new Map<string, Verdict>([['', none]]);

  function decideDir(dir: string): Verdict {
    const known = decided.get(dir);
    if (known !== undefined) return known;
    const hits = new Uint8Array(rules.length);
    const last = decide(dir, hits);
    const verdict = last < 0 ? none : { hits, last };
    decided.set(dir, verdict);
    return verdict;
  }
  // A scan asks for the entries of one directory after another, so the parent is mostly the one before.
  let parent = '';
  let parentVerdict = none;
  function decideParent(path: string, slash: number): Verdict {
    if (slash !== parent.length || !path.startsWith(parent)) {
      const dir = path.slice(0, slash);
      const verdict = decideDir(dir);
      parent = dir;
      parentVerdict = verdict;
    }
    return parentVerdict;
  }
  /** Index of the pattern that decides, -1 if none does; marks the patterns that apply. */
  function decide(path: string, hits: Uint8Array | undefined): number {
    const slash = path.lastIndexOf('/');
    const above = slash < 0 ? none : decideParent(path, slash);
    let isHidden = false;
    let last = -1;
    for (let index = 0; index < rules.length; index++) {
      const rule = rules[index];
      // What applies to the directory applies to all that is below.
      const applies = above.hits[index] === 1 || (rule?.negated === isHidden && rule.test(path, slash + 1));
      if (!applies) continue;
      isHidden = rule?.negated !== true;
      last = index;
      if (hits !== undefined) hits[index] = 1;
    }
    return last;
  }
  const hidden = (index: number): boolean => index >= 0 && rules[index]?.negated === false;
  return {
    excluded: (path, isDir) => hidden(isDir ? decideDir(path).last : decide(path, undefined)),
    mayContainIncluded(dir) {
      const { last } = decideDir(dir);
      if (!hidden(last)) return true;
      const parts = dir.split('/');
      return negations.some((negation) => negation.index > last && negation.mayMatchBelow(parts));
    },
  };
}

/** Which patterns apply to a directory, and the last of them (-1: none). */
interface Verdict {
  readonly hits: Uint8Array;
  readonly last: number;
}

/** `base`: where the last path element starts. */
type PathTest = (path: string, base: number) => boolean;

/** The common shapes are tested without a regular expression: a scan asks about every path of the context. */
function compileTest(pattern: string): PathTest {
  if (!/[*?[\\]/.test(pattern)) {
    return (path) => path.length === pattern.length && path === pattern;
  }
  const anywhere = /^\*\*\/([^/]+)$/.exec(pattern)?.[1];
  if (anywhere !== undefined && !/[*?[\\]/.test(anywhere)) {
    const length = anywhere.length;
    return (path, base) => path.length - base === length && path.endsWith(anywhere);
  }
  // With nothing else to match, a leading `**` without a slash ends within a name.
  const end = /^\*\*([^/*?[\]\\][^*?[\]\\]*)$/.exec(pattern)?.[1];
  if (end !== undefined) return (path) => path.endsWith(end);
  const suffix = /^\*([^*?[\\/]+)$/.exec(anywhere ?? pattern)?.[1];
  if (suffix !== undefined) {
    return anywhere === undefined
      ? (path, base) => base === 0 && path.endsWith(suffix)
      : (path, base) => path.length - base >= suffix.length && path.endsWith(suffix);
  }
  if (pattern === '*') return (_path, base) => base === 0;
  if (pattern === '**') return () => true;
  const expression = new RegExp(`^${patternSource(pattern)}$`, 'su');
  const prefix = /^[^*?[\\]*/.exec(pattern)?.[0] ?? '';
  // Most paths fail at the fixed start, at a fraction of the price.
  return (path) => path.startsWith(prefix) && expression.test(path);
}

/** `**` spans any number of directories, also none; the rest is Go's match, within one path element. */
function patternSource(pattern: string): string {
  const pieces = splitDoubleStars(pattern);
  return pieces
    .map((piece, index) => {
      const source = goPatternSource(piece);
      if (index === 0) return source;
      return piece === '' && index === pieces.length - 1 ? '.*' : `(?:.*/)?${source}`;
    })
    .join('');
}

/** The texts between `**` (each with the slash behind it); escapes and classes are not looked into. */
function splitDoubleStars(pattern: string): string[] {
  const pieces = [''];
  let inClass = false;
  for (let at = 0; at < pattern.length; at++) {
    const ch = pattern.charAt(at);
    const last = pieces.length - 1;
    if (ch === '\\') pieces[last] += ch + pattern.charAt(++at);
    else if (!inClass && ch === '*' && pattern.charAt(at + 1) === '*') {
      at++;
      if (pattern.charAt(at + 1) === '/') at++;
      pieces.push('');
    } else {
      if (ch === '[') inClass = true;
      if (ch === ']') inClass = false;
      pieces[last] += ch;
    }
  }
  return pieces;
}

/** Whether the pattern can match something below a directory, given as path elements. */
function compileBelow(parts: readonly string[]): (dir: readonly string[]) => boolean {
  const star = parts.findIndex((part) => part.includes('**'));
  const fixed = (star < 0 ? parts : parts.slice(0, star)).map(compileElement);
  return (dir) => {
    if (star < 0 && parts.length <= dir.length) return false;
    return fixed.every((test, index) => index >= dir.length || test(dir[index] ?? ''));
  };
}

function compileElement(part: string): (name: string) => boolean {
  try {
    return compileGoMatch(part);
  } catch (error) {
    // A class that holds a slash was cut in two; it may match anything.
    if (error instanceof BadPatternError) return () => true;
    throw error;
  }
}
