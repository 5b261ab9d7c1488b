import { isOcibuildError } from './error.ts';

/** A place in a text. `line` counts from 1, `column` from 1 (UTF-16 units). */
export interface Position {
  readonly line: number;
  readonly column: number;
}

/** `end` is the last line of the range (inclusive) and the column after its last character. */
export interface SourceRange {
  readonly start: Position;
  readonly end: Position;
}

/** A text that ranges point into. */
export interface SourceFile {
  /** As shown to the user, e.g. `Dockerfile`. */
  readonly name: string;
  readonly text: string;
}

/** Where a fault is: file, one or more ranges, and the stage and step if there is one. */
export interface SourceRef {
  readonly file: SourceFile;
  readonly ranges: readonly SourceRange[];
  readonly stage?: string;
  /** e.g. `4/6`. */
  readonly step?: string;
}

/** Adds the place to an error that does not know one yet; gives the same error back. */
export function withSource<E>(error: E, source: SourceRef | undefined): E {
  if (source !== undefined && isOcibuildError(error) && error.source === undefined) error.source = source;
  return error;
}
