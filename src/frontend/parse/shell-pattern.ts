/** A pattern cut at its `*`: at least one part; a part is code points, with undefined for `?`. */
export type ShellPattern = readonly Part[];
type Part = readonly (string | undefined)[];

/** The value without the prefix, or suffix, that matches; itself where none does. */
export function trimMatch(
  value: string,
  pattern: ShellPattern,
  { atEnd, longest }: { readonly atEnd: boolean; readonly longest: boolean },
): string {
  const chars = [...value];
  if (!atEnd) return chars.slice(matchEnd(chars, pattern, { from: 0, longest }) ?? 0).join('');
  const backwards = pattern.toReversed().map((part) => part.toReversed());
  const length = matchEnd(chars.toReversed(), backwards, { from: 0, longest }) ?? 0;
  return chars.slice(0, chars.length - length).join('');
}

/** The value with the first of its longest matches, or all of them, replaced. */
export function replaceMatch(
  value: string,
  pattern: ShellPattern,
  { replacement, all }: { readonly replacement: string; readonly all: boolean },
): string {
  const chars = [...value];
  const [first = []] = pattern;
  let text = '';
  let at = 0;
  let lastEnd = -1;
  while (at <= chars.length) {
    const start = find(chars, first, at);
    // Where the parts behind the first one do not fit here, they do not fit further right either.
    const end = start === undefined ? undefined : matchEnd(chars, pattern, { from: start, longest: true });
    if (start === undefined || end === undefined) break;
    text += chars.slice(at, start).join('');
    // Go takes no empty match straight behind another match.
    if (end > start || start !== lastEnd) text += replacement;
    // What follows an empty match is passed over, so that the search goes on.
    if (end === start) text += chars[start] ?? '';
    lastEnd = end;
    at = end === start ? end + 1 : end;
    if (!all) break;
  }
  return text + chars.slice(at).join('');
}

/** Where the shortest or longest match that begins at `from` ends. Without going back: in time that grows with the text. */
function matchEnd(
  chars: readonly string[],
  [first = [], ...rest]: ShellPattern,
  { from, longest }: { readonly from: number; readonly longest: boolean },
): number | undefined {
  if (!standsAt(chars, first, from)) return undefined;
  let at = from + first.length;
  for (const [index, part] of rest.entries()) {
    const isLast = index === rest.length - 1;
    const found = longest && isLast ? findLast(chars, part, at) : find(chars, part, at);
    if (found === undefined) return undefined;
    at = found + part.length;
  }
  return at;
}

function find(chars: readonly string[], part: Part, from: number): number | undefined {
  for (let at = from; at + part.length <= chars.length; at++) if (standsAt(chars, part, at)) return at;
  return undefined;
}

function findLast(chars: readonly string[], part: Part, from: number): number | undefined {
  for (let at = chars.length - part.length; at >= from; at--) if (standsAt(chars, part, at)) return at;
  return undefined;
}

function standsAt(chars: readonly string[], part: Part, at: number): boolean {
  return at + part.length <= chars.length && part.every((ch, i) => ch === undefined || ch === chars[at + i]);
}
