/** Thrown for a pattern that Go's filepath.Match would refuse; callers turn it into their own error. */
export class BadPatternError extends RangeError {
  readonly pattern: string;
  constructor(pattern: string) {
    super(`Cannot use pattern "${pattern}": it has an unclosed "[", an empty range or ends with "\\"`);
    this.name = 'BadPatternError';
    this.pattern = pattern;
  }
}

/** True if the pattern has an unescaped `*`, `?` or `[`. */
export function hasWildcard(pattern: string): boolean {
  for (let i = 0; i < pattern.length; i++) {
    const ch = pattern[i];
    if (ch === '\\') i++;
    else if (ch === '*' || ch === '?' || ch === '[') return true;
  }
  return false;
}

/**
 * Compiles a pattern of Go's `filepath.Match`: `*` and `?` stay within one path element, `[a-z]`, `[^a-z]`, `\x`.
 * The whole name must match.
 * @throws BadPatternError
 */
export function compileGoMatch(pattern: string): (name: string) => boolean {
  if (!/[*?[\\]/.test(pattern)) return (name) => name === pattern;
  const expression = new RegExp(`^(?:${goPatternSource(pattern)})$`, 'su');
  return (name) => expression.test(name);
}

/**
 * The pattern as the source of a regular expression (flags `su`), without anchors.
 * @throws BadPatternError
 */
export function goPatternSource(pattern: string): string {
  const [first = '', ...others] = splitAtStars(pattern);
  const last = others.pop();
  if (last === undefined) return first;
  // As in Go, what stands between two stars is taken where it comes first: to try every place for each of them takes
  // half a minute for `*a*a*a*a*a*b` and a name of a hundred letters.
  const between = others.map((piece) => `(?:(?!${piece})[^/])*${piece}`);
  return `${first}${between.join('')}[^/]*${last}`;
}

/** Sources of what stands around the stars; several stars in a row are one. */
function splitAtStars(pattern: string): string[] {
  const pieces: string[] = [];
  let source = '';
  let i = 0;
  const chars = [...pattern];
  while (i < chars.length) {
    const ch = chars[i] ?? '';
    if (ch === '*') {
      while (chars[i + 1] === '*') i++;
      pieces.push(source);
      source = '';
      i++;
    } else if (ch === '?') {
      source += '[^/]';
      i++;
    } else if (ch === '[') {
      const set = readClass(chars, i + 1, pattern);
      source += set.source;
      i = set.next;
    } else if (ch === '\\') {
      if (i + 1 >= chars.length) throw new BadPatternError(pattern);
      source += escapeRegExp(chars[i + 1] ?? '');
      i += 2;
    } else {
      source += escapeRegExp(ch);
      i++;
    }
  }
  return [...pieces, source];
}

/** One character as it stands in a regular expression with the `u` flag. */
export function escapeRegExp(ch: string): string {
  return /[\^$\\.*+?()[\]{}|/]/.test(ch) ? `\\${ch}` : ch;
}

function readClass(
  chars: readonly string[],
  start: number,
  pattern: string,
): { source: string; next: number } {
  let i = start;
  const negated = chars[i] === '^';
  if (negated) i++;
  const ranges: string[] = [];
  // Go takes a `]` as the first member of a class for a mistake, so at least one member must come first.
  for (;;) {
    if (chars[i] === ']' && ranges.length > 0) break;
    const low = readMember(chars, i, pattern);
    i = low.next;
    let high = low;
    if (chars[i] === '-') {
      high = readMember(chars, i + 1, pattern);
      i = high.next;
    }
    if ((low.char.codePointAt(0) ?? 0) <= (high.char.codePointAt(0) ?? 0)) {
      ranges.push(`${escapeMember(low.char)}-${escapeMember(high.char)}`);
    } else {
      // Go accepts a reversed range, which matches nothing.
      ranges.push('');
    }
  }
  const members = ranges.join('');
  // A class of Go may match `/` only if negation or a range lets it; filepath.Match never does the former.
  const source =
    members === '' ? (negated ? '[^/]' : '(?!)') : negated ? `(?!/)[^${members}]` : `[${members}]`;
  return { source, next: i + 1 };
}

function readMember(chars: readonly string[], at: number, pattern: string): { char: string; next: number } {
  const ch = chars[at];
  if (ch === undefined || ch === '-' || ch === ']') throw new BadPatternError(pattern);
  if (ch !== '\\') {
    if (at + 1 >= chars.length) throw new BadPatternError(pattern);
    return { char: ch, next: at + 1 };
  }
  const escaped = chars[at + 1];
  if (escaped === undefined || at + 2 >= chars.length) throw new BadPatternError(pattern);
  return { char: escaped, next: at + 2 };
}

function escapeMember(ch: string): string {
  return /[\^\\\]\-[&~|]/.test(ch) ? `\\u{${(ch.codePointAt(0) ?? 0).toString(16)}}` : ch;
}
