import { instructionError } from './flags.ts';
import type { RawInstruction } from './parser.ts';
import { type Expansion, expandText, LexError, type LexOptions } from './shell-lex.ts';

type Variables = ReadonlyMap<string, string>;

/**
 * Expands one text of an instruction; quotes and escapes are taken away.
 * @throws DOCKERFILE_EXPANSION_INVALID
 */
export function expandAt(
  raw: RawInstruction,
  text: string,
  variables: Variables,
  escapeChar: string,
): string {
  return expandWith(raw, text, variables, { escapeChar }).text;
}

/**
 * The same with options of the lexer, and with the words of the result.
 * @throws DOCKERFILE_EXPANSION_INVALID
 */
export function expandWith(
  raw: RawInstruction,
  text: string,
  variables: Variables,
  options: LexOptions,
): Expansion {
  try {
    return expandText(text, (name) => variables.get(name), options);
  } catch (error) {
    if (!(error instanceof LexError)) throw error;
    const shown = text.length > 120 ? `${text.slice(0, 117)}...` : text;
    throw instructionError(raw, 'DOCKERFILE_EXPANSION_INVALID', {
      message: `Cannot expand "${shown}" in ${raw.keyword}: ${error.message}`,
      hint: hintOf(raw, error, options.escapeChar),
    });
  }
}

function hintOf({ rest }: RawInstruction, { message }: LexError, escapeChar: string): string | undefined {
  if (rest.startsWith('[')) return `write the array in JSON, which has double quotes only: ["a", "b"]`;
  if (message.endsWith('quote is not closed')) {
    return `close the quote, or put "${escapeChar}" before one that is part of the text`;
  }
  return undefined;
}
