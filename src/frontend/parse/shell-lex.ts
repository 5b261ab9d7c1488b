import { replaceMatch, type ShellPattern, trimMatch } from './shell-pattern.ts';

/** Looks a variable up; undefined: not set. */
export type VariableLookup = (name: string) => string | undefined;

export interface LexOptions {
  /** The escape character of the file: `\` or a backtick. */
  readonly escapeChar: string;
  /** Keep quote characters in the result; what stands in single quotes stays unexpanded. */
  readonly rawQuotes?: boolean;
  /** Keep escape characters in the result. */
  readonly rawEscapes?: boolean;
  /** Quotes are plain characters. */
  readonly ignoreQuotes?: boolean;
  /** Leave references to unset variables as they are written. */
  readonly keepUnset?: boolean;
}

export interface Expansion {
  readonly text: string;
  /** The text split at unquoted blanks, also at those that came out of variables. */
  readonly words: readonly string[];
  /** Names that were asked for and were not set, in order. */
  readonly unset: readonly string[];
}

/** A fault of the text; the caller knows the instruction and turns it into DOCKERFILE_EXPANSION_INVALID. */
export class LexError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'LexError';
  }
}

/**
 * Expands variables and takes quotes and escapes away, as Dockerfile instructions do (not as a shell does).
 * @throws LexError
 */
export function expandText(text: string, lookup: VariableLookup, options: LexOptions): Expansion {
  const run: Run = {
    chars: [...text],
    at: 0,
    lookup,
    unset: new Set(),
    rawEscapes: options.rawEscapes === true,
    options,
  };
  const { text: result, words } = readUntil(run, undefined);
  return { text: result, words: words.list(), unset: [...run.unset] };
}

interface Run {
  readonly chars: readonly string[];
  at: number;
  readonly lookup: VariableLookup;
  readonly unset: Set<string>;
  rawEscapes: boolean;
  readonly options: LexOptions;
}

interface Words {
  /** A character that separates words if it is a blank. */
  plain(text: string): void;
  /** Text that belongs to the word at hand, blanks included. */
  solid(text: string): void;
  list(): readonly string[];
}

function createWords(): Words {
  const done: string[] = [];
  let word = '';
  let open = false;
  const close = () => {
    if (open) done.push(word);
    word = '';
    open = false;
  };
  return {
    plain(text) {
      for (const ch of text) {
        if (isBlank(ch)) close();
        else {
          word += ch;
          open = true;
        }
      }
    },
    solid(text) {
      word += text;
      open = true;
    },
    list() {
      close();
      return done;
    },
  };
}

export function isBlank(ch: string): boolean {
  return /^\s$/u.test(ch);
}

const QUOTE_NAMES: Readonly<Record<string, string>> = { "'": 'single quote', '"': 'double quote' };

function readUntil(run: Run, stop: string | undefined): { text: string; words: Words } {
  const { escapeChar, ignoreQuotes } = run.options;
  const words = createWords();
  let text = '';
  while (run.at < run.chars.length) {
    const ch = run.chars[run.at] ?? '';
    if (ch === stop) {
      run.at++;
      return { text, words };
    }
    if (ch === '$') {
      const value = readDollar(run);
      text += value;
      words.plain(value);
    } else if (ignoreQuotes !== true && (ch === "'" || ch === '"')) {
      const value = ch === '"' ? readDoubleQuotes(run) : readSingleQuotes(run);
      text += value;
      words.solid(value);
    } else if (ch === escapeChar) {
      run.at++;
      const next = run.chars[run.at];
      const kept = run.rawEscapes ? escapeChar : '';
      text += kept + (next ?? '');
      if (kept !== '' || next !== undefined) words.solid(kept + (next ?? ''));
      if (next !== undefined) run.at++;
    } else {
      run.at++;
      text += ch;
      words.plain(ch);
    }
  }
  if (stop !== undefined) throw new LexError(`the closing "${stop}" is missing`);
  return { text, words };
}

function readSingleQuotes(run: Run): string {
  const end = run.chars.indexOf("'", run.at + 1);
  if (end < 0) throw unterminated("'");
  const inner = run.chars.slice(run.at + 1, end).join('');
  run.at = end + 1;
  return run.options.rawQuotes === true ? `'${inner}'` : inner;
}

function readDoubleQuotes(run: Run): string {
  const { escapeChar, rawQuotes } = run.options;
  const mark = rawQuotes === true ? '"' : '';
  let text = mark;
  run.at++;
  while (run.at < run.chars.length) {
    const ch = run.chars[run.at] ?? '';
    if (ch === '"') {
      run.at++;
      return text + mark;
    }
    if (ch === '$') {
      text += readDollar(run);
      continue;
    }
    run.at++;
    if (ch !== escapeChar) {
      text += ch;
      continue;
    }
    const next = run.chars[run.at];
    if (next === '"' || next === '$' || next === escapeChar) {
      text += (run.rawEscapes ? escapeChar : '') + next;
      run.at++;
    } else {
      text += escapeChar;
    }
  }
  throw unterminated('"');
}

function unterminated(quote: string): LexError {
  return new LexError(`the ${QUOTE_NAMES[quote] ?? quote} is not closed`);
}

function lookUp(run: Run, name: string): string | undefined {
  const value = run.lookup(name);
  if (value === undefined) run.unset.add(name);
  return value;
}

function readDollar(run: Run): string {
  run.at++;
  if (run.chars[run.at] !== '{') {
    const name = readName(run);
    if (name === '') return '$';
    const value = lookUp(run, name);
    return value ?? (run.options.keepUnset === true ? `$${name}` : '');
  }
  run.at++;
  const first = run.chars[run.at];
  if (first === undefined) throw missingBrace();
  if (first === '{' || first === '}' || first === ':') {
    throw new LexError(`"\${${first}" has no variable name`);
  }
  const name = readName(run);
  const operator = run.chars[run.at++];
  if (operator === undefined) throw missingBrace();
  if (operator === '}') {
    const value = lookUp(run, name);
    return value ?? (run.options.keepUnset === true ? `\${${name}}` : '');
  }
  if (operator === '/') return readReplacement(run, name);
  return readOperator(run, name, operator);
}

function readOperator(run: Run, name: string, first: string): string {
  let operator = first;
  const emptyIsUnset = first === ':';
  if (emptyIsUnset) {
    operator = run.chars[run.at++] ?? '';
    if (operator === '') throw missingBrace();
  }
  const shown = emptyIsUnset ? `:${operator}` : operator;
  const trims = operator === '#' || operator === '%';
  if (!'-+?#%'.includes(operator) || (emptyIsUnset && trims)) {
    throw new LexError(`"\${${name}${shown}" uses an unknown operator "${shown}"`);
  }
  const word = readPart(run, '}', trims);
  const value = operator === '-' || operator === '+' ? run.lookup(name) : lookUp(run, name);
  if (run.options.keepUnset === true && value === undefined) return `\${${name}${shown}${word}}`;
  const missing = value === undefined || (emptyIsUnset && value === '');
  switch (operator) {
    case '-':
      return missing ? word : value;
    case '+':
      return missing ? '' : word;
    case '?': {
      if (!missing) return value;
      const state = value === undefined ? 'unset' : 'empty';
      throw new LexError(`variable "${name}" is ${state}${word === '' ? '' : `: ${word}`}`);
    }
    default: {
      const longest = word.startsWith(operator);
      const pattern = readPattern(longest ? word.slice(1) : word);
      return trimMatch(value ?? '', pattern, { atEnd: operator === '%', longest });
    }
  }
}

function readReplacement(run: Run, name: string): string {
  const all = run.chars[run.at] === '/';
  if (all) run.at++;
  const pattern = readPart(run, '/', true);
  const replacement = readPart(run, '}', true);
  const value = lookUp(run, name);
  if (run.options.keepUnset === true && value === undefined) {
    return `\${${name}/${all ? '/' : ''}${pattern}/${replacement}}`;
  }
  return replaceMatch(value ?? '', readPattern(pattern), { replacement, all });
}

function readPart(run: Run, stop: string, rawEscapes: boolean): string {
  const before = run.rawEscapes;
  run.rawEscapes = rawEscapes;
  try {
    return readUntil(run, stop).text;
  } finally {
    run.rawEscapes = before;
  }
}

function missingBrace(): LexError {
  return new LexError('the closing "}" is missing');
}

/** Letters, digits and `_`; digits alone if it starts with one; one special character (`$@`, `$?`, …). */
function readName(run: Run): string {
  const first = run.chars[run.at];
  if (first === undefined) return '';
  if ('@*#?-$!'.includes(first)) {
    run.at++;
    return first;
  }
  const allowed = /^\p{Nd}$/u.test(first) ? /^\p{Nd}$/u : /^[\p{L}\p{Nd}_]$/u;
  let name = '';
  for (let ch = run.chars[run.at]; ch !== undefined && allowed.test(ch); ch = run.chars[run.at]) {
    name += ch;
    run.at++;
  }
  return name;
}

/** `*` and `?` are the only wildcards; `\` must stand before one of them, itself or a delimiter. */
function readPattern(text: string): ShellPattern {
  const pattern: (string | undefined)[][] = [[]];
  const chars = [...text];
  for (let i = 0; i < chars.length; i++) {
    let ch = chars[i];
    if (ch === '*') {
      pattern.push([]);
      continue;
    }
    if (ch === '?') ch = undefined;
    else if (ch === '\\') {
      ch = chars[++i];
      if (ch === undefined) throw new LexError(`pattern "${text}" ends with "\\"`);
      if (!'*?\\}/'.includes(ch)) throw new LexError(`pattern "${text}" has an unknown escape "\\${ch}"`);
    }
    pattern.at(-1)?.push(ch);
  }
  return pattern;
}
