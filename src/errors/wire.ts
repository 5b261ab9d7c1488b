import type { ErrorCode } from './codes.ts';
import { isOcibuildError, MultiError, OcibuildError } from './error.ts';
import type { SourceRef } from './source.ts';

/** What was thrown, in a form that a structured clone keeps whole: there own errors lose their class. */
export type ErrorData =
  | {
      readonly kind: 'own';
      readonly code: ErrorCode;
      readonly message: string;
      readonly stack?: string | undefined;
      readonly hint?: string | undefined;
      readonly source?: SourceRef | undefined;
      readonly details: Readonly<Record<string, unknown>>;
      readonly logTail: readonly string[];
      readonly cause?: ErrorData | undefined;
      /** Of a MultiError. */
      readonly errors?: readonly ErrorData[] | undefined;
    }
  | {
      readonly kind: 'other';
      readonly name: string;
      readonly message: string;
      readonly stack?: string | undefined;
      /** `code`, `errno`, `path`, … */
      readonly facts: Readonly<Record<string, string | number | boolean>>;
      readonly cause?: ErrorData | undefined;
    }
  | { readonly kind: 'value'; readonly value: unknown };

/** Causes may form a circle, which has no end to send. */
const MAX_CAUSES = 16;

/** Of a value that is no error only the text goes along, unless it is plain itself. */
export function errorToData(error: unknown): ErrorData {
  return toData(error, 0);
}

function toData(error: unknown, depth: number): ErrorData {
  if (isOcibuildError(error)) {
    const { code, message, stack, hint, source, details, logTail } = error;
    const errors =
      error instanceof MultiError ? error.errors.map((one) => toData(one, depth + 1)) : undefined;
    return {
      kind: 'own',
      ...{ code, message, stack, hint, source, details, logTail, errors },
      cause: causeOf(error, depth),
    };
  }
  if (error instanceof Error) {
    const { name, message, stack } = error;
    const facts = Object.fromEntries(Object.entries(error).filter(([, value]) => isPlain(value))) as Readonly<
      Record<string, string | number | boolean>
    >;
    return { kind: 'other', name, message, stack, facts, cause: causeOf(error, depth) };
  }
  return { kind: 'value', value: error === undefined || isPlain(error) ? error : String(error) };
}

/** The error again: an `OcibuildError` where it was one, and one of the language's own classes by its name. */
export function errorFromData(data: ErrorData): unknown {
  if (data.kind === 'value') return data.value;
  const cause = data.cause === undefined ? {} : { cause: errorFromData(data.cause) };
  const error = data.kind === 'own' ? ownError(data, cause) : otherError(data, cause);
  if (data.stack !== undefined) define(error, 'stack', data.stack);
  return error;
}

type Cause = { readonly cause?: unknown };

function ownError(data: ErrorData & { kind: 'own' }, cause: Cause): OcibuildError {
  if (data.errors !== undefined) return new MultiError(data.errors.map(errorFromData) as OcibuildError[]);
  const { code, message, hint, source, details, logTail } = data;
  return new OcibuildError(code, message, {
    ...{ details, logTail, ...cause },
    ...(hint === undefined ? {} : { hint }),
    ...(source === undefined ? {} : { source }),
  });
}

function otherError({ name, message, facts }: ErrorData & { kind: 'other' }, cause: Cause): Error {
  const known = { TypeError, RangeError, SyntaxError, ReferenceError, URIError, EvalError };
  const error = new (known[name as keyof typeof known] ?? Error)(message, cause);
  if (error.name !== name) define(error, 'name', name);
  return Object.assign(error, facts);
}

/** Not enumerable, as it is on every error. */
function define(error: Error, key: string, value: string): void {
  Object.defineProperty(error, key, { value, configurable: true, writable: true });
}

function causeOf({ cause }: Error, depth: number): ErrorData | undefined {
  return cause === undefined || depth >= MAX_CAUSES ? undefined : toData(cause, depth + 1);
}

function isPlain(value: unknown): value is string | number | boolean {
  return ['string', 'number', 'boolean'].includes(typeof value);
}
