import { isBlank } from './shell-lex.ts';

/** What an argument text is in JSON form: strings, something else in an array, or no array at all. */
export type JsonForm = { readonly items: readonly string[] } | 'not strings' | undefined;

/** A text that begins with `[` and is a JSON array; anything that does not parse is no JSON form at all. */
export function readJsonForm(text: string): JsonForm {
  if (!text.startsWith('[')) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!Array.isArray(value)) return undefined;
  const items: readonly unknown[] = value;
  return items.every((item) => typeof item === 'string')
    ? // Half of a surrogate pair has no UTF-8 form.
      { items: items.map((item) => item.toWellFormed()) }
    : 'not strings';
}

/** Words at blanks, nothing else heeded. */
export function splitBlanks(text: string): string[] {
  return text.split(/\s+/).filter((word) => word !== '');
}

/** Words at blanks outside quotes; quotes and escapes stay in the words, for the expansion that follows. */
export function splitQuoted(text: string, escapeChar: string): string[] {
  const words: string[] = [];
  let word = '';
  let open = false;
  let quote = '';
  const close = () => {
    if (open) words.push(word);
    word = '';
    open = false;
  };
  for (let at = 0; at < text.length; at++) {
    const ch = text.charAt(at);
    if (quote === '' && isBlank(ch)) {
      close();
      continue;
    }
    open = true;
    if (ch === escapeChar && quote !== "'") {
      // An escape that ends the text stands for nothing.
      if (at + 1 === text.length) continue;
      word += ch + text.charAt(++at);
      continue;
    }
    if (quote === '' && (ch === '"' || ch === "'")) quote = ch;
    else if (ch === quote) quote = '';
    word += ch;
  }
  close();
  return words.filter((each) => each !== '');
}
