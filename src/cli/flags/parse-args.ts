import { OcibuildError } from '../../errors/error.ts';
import { suggest } from '../../errors/suggest.ts';
import { goBool } from '../../util/go-bool.ts';
import type { Flag, ParsedArgs } from './types.ts';

type Value = boolean | string | readonly string[];

/**
 * Reads arguments by the habits of Go's command lines: `--flag VALUE`, `--flag=VALUE`, `--bool=false`, `-t VALUE`,
 * `-tVALUE`, `-qt VALUE`; flags and others may mix; `--` ends flags.
 * @param ordinary after so many other arguments the rest is taken as it stands: the words of another command
 * @throws USAGE_FLAG_UNKNOWN, USAGE_UNSUPPORTED for a flag that is known and refused, USAGE_INVALID
 */
export function parseArgs(
  args: readonly string[],
  table: readonly Flag[],
  ordinary: number = Number.POSITIVE_INFINITY,
): ParsedArgs {
  const flags = new Map<string, Value>();
  const positional: string[] = [];
  const set = (flag: Flag, shown: string, text: string | undefined): void => {
    flags.set(flag.name, readValue(flag, shown, { text, before: flags.get(flag.name) }));
  };
  for (let i = 0; i < args.length; i++) {
    const arg = args[i] ?? '';
    if (positional.length >= ordinary) {
      positional.push(...args.slice(i));
      break;
    }
    if (arg === '--') {
      positional.push(...args.slice(i + 1));
      break;
    }
    if (arg === '-' || !arg.startsWith('-')) {
      positional.push(arg);
      continue;
    }
    const takeNext = (flag: Flag, shown: string): string => {
      const next = args[++i];
      if (next !== undefined) return next;
      throw new OcibuildError('USAGE_INVALID', `Cannot use ${shown} without a value`, {
        hint: `write ${shown} ${flag.value ?? 'VALUE'}`,
      });
    };
    if (arg.startsWith('--')) {
      const [name, text] = splitAt(arg.slice(2), '=');
      const flag = table.find((candidate) => candidate.name === name);
      if (flag === undefined) throw unknownFlag(`--${name}`, table);
      const shown = `--${name}`;
      const takes = needsValue(flag) || flag.separate?.test(args[i + 1] ?? '') === true;
      set(flag, shown, text ?? (takes ? takeNext(flag, shown) : undefined));
      continue;
    }
    for (let at = 1; at < arg.length; at++) {
      const shown = `-${arg[at]}`;
      const flag = table.find((candidate) => candidate.short === arg[at]);
      if (flag === undefined) throw unknownFlag(shown, table);
      const rest = arg.slice(at + 1);
      if (!needsValue(flag) && !rest.startsWith('=')) {
        set(flag, shown, undefined);
        continue;
      }
      set(flag, shown, rest === '' ? takeNext(flag, shown) : rest.replace(/^=/, ''));
      break;
    }
  }
  return { flags, positional };
}

function needsValue({ kind }: Flag): boolean {
  return kind === 'string' || kind === 'list';
}

function readValue(
  flag: Flag,
  shown: string,
  { text, before }: { text: string | undefined; before: Value | undefined },
): Value {
  const value = flag.kind === 'bool' ? readBool(shown, text) : (text ?? flag.bare ?? '');
  if (flag.refused !== undefined && !flag.accepts?.includes(String(value))) {
    throw new OcibuildError('USAGE_UNSUPPORTED', `Cannot use ${shown}: ${flag.refused}`, {
      details: { flag: flag.name },
    });
  }
  if (flag.kind !== 'list') return value;
  return [...(Array.isArray(before) ? (before as readonly string[]) : []), String(value)];
}

function readBool(shown: string, text: string | undefined): boolean {
  const value = text === undefined ? true : goBool(text);
  if (value !== undefined) return value;
  throw new OcibuildError('USAGE_INVALID', `Cannot use ${shown}=${text}: expected true or false`);
}

function unknownFlag(shown: string, table: readonly Flag[]): OcibuildError {
  const near = suggest(
    shown.replace(/^-+/, ''),
    table.map(({ name }) => name),
  );
  return new OcibuildError('USAGE_FLAG_UNKNOWN', `Cannot use "${shown}": there is no such flag`, {
    ...(near === undefined ? {} : { hint: `did you mean "--${near}"?` }),
    details: { flag: shown },
  });
}

/** Both sides of the first separator; the second is undefined where there is none. */
export function splitAt(text: string, separator: string): [string, string | undefined] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + separator.length)];
}

/** Typed access to parsed flags. */
export function flagReader({ flags }: ParsedArgs): {
  bool(name: string): boolean;
  text(name: string): string | undefined;
  list(name: string): readonly string[];
} {
  return {
    bool: (name) => flags.get(name) === true,
    text(name) {
      const value = flags.get(name);
      return typeof value === 'string' ? value : undefined;
    },
    list(name) {
      const value = flags.get(name);
      return Array.isArray(value) ? (value as readonly string[]) : [];
    },
  };
}
