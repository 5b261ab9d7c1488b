import { type Category, categoryOf, type ErrorCode } from './codes.ts';
import type { SourceRef } from './source.ts';

/** Extra facts of an error; everything is optional and JSON-safe but `cause`. */
export interface ErrorFacts {
  /** One thing the user can do: a command to paste or "did you mean". No final full stop. */
  readonly hint?: string;
  /** Where in a Dockerfile (or another text) the fault is. */
  readonly source?: SourceRef;
  /** Machine-readable facts (`exitCode`, `path`, `digest`, …). */
  readonly details?: Readonly<Record<string, unknown>>;
  /** Last log lines of a failed step, oldest first. */
  readonly logTail?: readonly string[];
  readonly cause?: unknown;
}

const BRAND: unique symbol = Symbol.for('ocibuild.error') as never;

/** Base of every error that ocibuild throws on purpose; `code` is stable across releases. */
export class OcibuildError extends Error {
  readonly code: ErrorCode;
  readonly category: Category;
  readonly hint: string | undefined;
  readonly details: Readonly<Record<string, unknown>>;
  readonly logTail: readonly string[];
  source: SourceRef | undefined;

  constructor(code: ErrorCode, message: string, facts: ErrorFacts = {}) {
    super(message, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.name = 'OcibuildError';
    this.code = code;
    this.category = categoryOf(code);
    this.hint = facts.hint;
    this.source = facts.source;
    this.details = facts.details ?? {};
    this.logTail = facts.logTail ?? [];
    Object.defineProperty(this, BRAND, { value: true });
  }

  /** The form that `--progress=rawjson` prints. */
  toJSON(): Record<string, unknown> {
    const { file, ranges, stage, step } = this.source ?? {};
    return {
      code: this.code,
      category: this.category,
      message: this.message,
      ...(this.hint === undefined ? {} : { hint: this.hint }),
      ...(this.source === undefined ? {} : { source: { file: file?.name, ranges, stage, step } }),
      ...(this.logTail.length === 0 ? {} : { logTail: this.logTail }),
      details: this.details,
    };
  }
}

/** Several independent faults reported together; `errors` holds each of them, in source order. */
export class MultiError extends OcibuildError {
  readonly errors: readonly OcibuildError[];
  constructor(errors: readonly OcibuildError[]) {
    const [first] = errors;
    if (first === undefined) throw new RangeError('Cannot make a MultiError of no errors');
    super(first.code, errors.map((e) => e.message).join('; '), {
      ...(first.source === undefined ? {} : { source: first.source }),
    });
    this.errors = errors;
  }
}

/** True for our own errors, also those of another copy of the package in the same process. */
export function isOcibuildError(error: unknown): error is OcibuildError {
  return typeof error === 'object' && error !== null && BRAND in error;
}

/** The error that a cancelled operation rejects with; `signal.reason` becomes its cause. */
export function cancelledError(signal?: AbortSignal): OcibuildError {
  const reason: unknown = signal?.reason;
  if (isOcibuildError(reason)) return reason;
  return new OcibuildError('CANCELLED', 'Cannot finish the build: it was cancelled', { cause: reason });
}

/** @throws CANCELLED when the signal is aborted. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw cancelledError(signal);
}
