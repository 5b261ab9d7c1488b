/** What JSON.parse said of a text, in few words, and where. */
export interface JsonFault {
  readonly why: string;
  /** UTF-16 units from the start; undefined where Node does not tell. */
  readonly offset: number | undefined;
}

/** Reads the error that JSON.parse threw for a text. */
export function readJsonFault({ message }: Error, text: string): JsonFault {
  return {
    why: message.replace(/ (?:in JSON )?at position .*$/s, '').replace(/, (?:\.\.\.)?"[\s\S]*$/, ''),
    offset: offsetOf(message, text),
  };
}

/** Node names the place, or shows ten characters on either side of it. */
function offsetOf(message: string, text: string): number | undefined {
  const told = /at position (\d+)/.exec(message)?.[1];
  if (told !== undefined) return Number(told);
  if (message.startsWith('Unexpected end')) return text.length;
  const [, before, shown = '', after] =
    /, (\.\.\.)?"([\s\S]*)"(\.\.\.)? is not valid JSON$/.exec(message) ?? [];
  if (before !== undefined) return text.indexOf(shown) + 10;
  return after === undefined ? undefined : Math.max(0, shown.length - 10);
}

const TOKEN = /"(?:[^"\\]|\\[\s\S])*"|[{}[\],:]|[^\s{}[\],:"]+/g;

/** Where the value of a key stands in a text that is JSON; of what holds it, where there is no such key. */
export function offsetOfValue(text: string, path: readonly (string | number)[]): number {
  const tokens = [...text.matchAll(TOKEN)];
  let at = 0;
  const skip = (): void => {
    let depth = 0;
    do {
      const [token] = tokens[at++] ?? [''];
      if (token === '{' || token === '[') depth++;
      else if (token === '}' || token === ']') depth--;
    } while (depth > 0 && at < tokens.length);
  };
  let found = tokens[0]?.index ?? 0;
  for (const key of path) {
    const isObject = tokens[at]?.[0] === '{';
    const end = isObject ? '}' : ']';
    at++;
    for (let i = 0; ; i++) {
      const token = tokens[at]?.[0];
      if (token === undefined || token === end) return found;
      if (isObject) at += 2;
      if ((isObject ? JSON.parse(token) : i) === key) break;
      skip();
      if (tokens[at]?.[0] === ',') at++;
    }
    found = tokens[at]?.index ?? found;
  }
  return found;
}
