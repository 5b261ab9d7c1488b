import { expandText, LexError } from '../parse/shell-lex.ts';

/** A text with its variables; undefined where it cannot be expanded, which is not for a rule to say. */
export function tryExpand(
  text: string,
  values: ReadonlyMap<string, string>,
  escapeChar: string,
): string | undefined {
  try {
    return expandText(text, (name) => values.get(name), { escapeChar }).text;
  } catch (error) {
    if (error instanceof LexError) return undefined;
    throw error;
  }
}
