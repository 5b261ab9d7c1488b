import type { ErrorCode } from '../../errors/codes.ts';
import { OcibuildError } from '../../errors/error.ts';
import type { SourceRange } from '../../errors/source.ts';
import { didYouMean } from '../../errors/suggest.ts';
import type { RawFlag, RawInstruction } from './parser.ts';

/** How a flag is written: with a text, many times with one, with one or bare, or as a switch. */
export type FlagKind = 'text' | 'list' | 'optional' | 'switch';

/** Flags that an instruction takes; names of undefined flags are absent. */
export interface Flags {
  text(name: string): string | undefined;
  switch(name: string): boolean;
  has(name: string): boolean;
  /** All values of a repeatable flag, in order. */
  list(name: string): readonly string[];
}

/** An error at an instruction, or at a part of it. */
export function instructionError(
  raw: RawInstruction,
  code: ErrorCode,
  about: { message: string; hint?: string | undefined; range?: SourceRange; cause?: unknown },
): OcibuildError {
  return new OcibuildError(code, about.message, {
    ...(about.hint === undefined ? {} : { hint: about.hint }),
    ...(about.cause === undefined ? {} : { cause: about.cause }),
    source: { file: raw.file, ranges: [about.range ?? raw.range] },
  });
}

/**
 * Reads the flags of an instruction against the ones that it knows.
 * @throws DOCKERFILE_FLAG_INVALID
 */
export function readFlags(raw: RawInstruction, known: Readonly<Record<string, FlagKind>>): Flags {
  const values = new Map<string, string | undefined>();
  for (const flag of raw.flags) {
    checkFlag(raw, flag, known);
    if (values.has(flag.name) && known[flag.name] !== 'list') {
      throw flagError(raw, flag, `Cannot use flag "--${flag.name}" twice`);
    }
    values.set(flag.name, flag.value);
  }
  return {
    text: (name) => values.get(name),
    switch: (name) => values.has(name) && values.get(name)?.toLowerCase() !== 'false',
    has: (name) => values.has(name),
    list: (wanted) =>
      raw.flags.flatMap(({ name, value }) => (name === wanted && value !== undefined ? [value] : [])),
  };
}

function checkFlag(raw: RawInstruction, flag: RawFlag, known: Readonly<Record<string, FlagKind>>): void {
  const kind = Object.hasOwn(known, flag.name) ? known[flag.name] : undefined;
  switch (kind) {
    case undefined: {
      const names = Object.keys(known).map((name) => `--${name}`);
      const list = names.length === 0 ? 'it takes no flags' : `it takes ${names.join(', ')}`;
      const message = `Cannot use flag "--${flag.name}" with ${raw.keyword}: ${list}`;
      throw flagError(raw, flag, message, didYouMean(`--${flag.name}`, names));
    }
    case 'optional':
      return;
    case 'text':
    case 'list':
      if (flag.value === undefined) {
        const message = `Cannot use flag "--${flag.name}" without a value`;
        throw flagError(raw, flag, message, `write it as "--${flag.name}=VALUE"`);
      }
      return;
    case 'switch':
      if (flag.value !== undefined && !/^(?:true|false)$/i.test(flag.value)) {
        const message = `Cannot set flag "--${flag.name}" to "${flag.value}": it is "true" or "false"`;
        throw flagError(raw, flag, message);
      }
  }
}

export function flagError(
  raw: RawInstruction,
  flag: { readonly range: SourceRange },
  message: string,
  hint?: string,
): OcibuildError {
  return instructionError(raw, 'DOCKERFILE_FLAG_INVALID', { message, hint, range: flag.range });
}
