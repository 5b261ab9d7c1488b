import { didYouMean } from '../../errors/suggest.ts';
import type { RawInstruction } from './parser.ts';

/** What a first word that is no instruction most likely is: a slip of the keyboard, the rest of the line above, or text of
 * something that is no Dockerfile. */
export function hintOfUnknown(
  { word, keyword, keywordRange }: RawInstruction,
  keywords: readonly string[],
  escapeChar: string,
): string | undefined {
  if (/^(?:<{7}|={7}|>{7}|\|{7})$/.test(word)) {
    return 'a merge left its marks: keep one of the two versions, and remove the lines of "<", "=" and ">"';
  }
  // What a byte that is no UTF-8 was read as.
  if (/\ufffd|\p{Cc}/u.test(word)) return 'save the file as UTF-8 text';
  if (/\u00a0/.test(word)) return 'write a plain blank in place of the no-break space';
  const near = didYouMean(keyword, keywords);
  if (near !== undefined) return near;
  if (/^(?:&&|\|\|?|;|--?\w)/.test(word) || keywordRange.start.column > 1) {
    return `if this goes on with the line above, end that line with "${escapeChar}" and nothing behind it`;
  }
  if (/^[\w-]+:$/.test(word)) return 'name a Dockerfile with --file: this one looks like YAML';
  return undefined;
}
