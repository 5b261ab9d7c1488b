import type { ProgressEvent } from '../solver/types.ts';

/** Shows a build's events. */
export interface Printer {
  event(event: ProgressEvent): void;
  /** Shows what is held back and the last state, on a terminal with a summary of the result; nothing is written
   * afterwards.
   * @param error why there is no result: told as its own only where a program looks for it, whoever calls shows it */
  finish(result?: ResultFacts, error?: unknown): Promise<void>;
}

/** What a summary tells of a result; that of `build()` is one. */
export interface ResultFacts {
  readonly digest?: string;
  readonly names: readonly string[];
  /** Files and directories. */
  readonly written?: readonly string[];
  readonly platforms?: readonly {
    readonly platform: { readonly os: string; readonly architecture: string; readonly variant?: string };
    readonly layers: readonly LayerFacts[];
  }[];
  /** With several targets: the result of each, by its name. */
  readonly targets?: Readonly<Record<string, ResultFacts>>;
  readonly cachedSteps: number;
  readonly totalSteps: number;
}

export interface LayerFacts {
  /** Bytes of its blob. */
  readonly size: number;
  /** It was there before the build began. */
  readonly reused: boolean;
}

/** `plain` and `tty` are for people, `grouped` and the folds of CI systems for reading afterwards, `rawjson` for
 * programs, `quiet` shows nothing. */
export type ProgressMode = 'plain' | 'tty' | 'grouped' | 'github' | 'gitlab' | 'rawjson' | 'quiet';

/** What printers need of their surroundings. */
export interface PrinterDeps {
  /** Writes text to the user. */
  readonly write: (text: string) => void;
  /** Ms since the epoch. */
  readonly now: () => number;
  /** Calls back once after that many ms; gives a function that cancels it. */
  readonly schedule: (callback: () => void, ms: number) => () => void;
  /** Values that must not appear. */
  readonly secrets: readonly string[];
  /** Whether lines keep the colours that programs put into their output. @default true */
  readonly keepColours?: boolean;
  /** Whether `plain` cuts long names of steps. @default false */
  readonly cutsNames?: boolean;
}

/** Where progress goes. */
export interface PrinterStream {
  readonly columns?: number | undefined;
  readonly rows?: number | undefined;
  readonly destroyed: boolean;
  write(text: string): boolean;
}
