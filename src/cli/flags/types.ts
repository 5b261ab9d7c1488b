/** One flag of the command line. The table of these is the only place that knows flags. */
export interface Flag {
  readonly name: string;
  readonly short?: string;
  /** `optional` takes a value as `--flag=VALUE`, or as `separate` says; bare it stands for `bare`. `list` may be repeated. */
  readonly kind: 'bool' | 'string' | 'list' | 'optional';
  /** What the value is called in the help. */
  readonly value?: string;
  readonly bare?: string;
  /** What can only be the value of an `optional` flag where it stands behind it as an argument of its own. */
  readonly separate?: RegExp;
  /** All values that it takes, or the usual ones: offered by shells. */
  readonly choices?: readonly string[];
  /** One line for the help; absent: known, but not shown. */
  readonly help?: string;
  /** Seldom asked for: the short help only names it. */
  readonly rare?: boolean;
  /** Why the flag is refused. */
  readonly refused?: string;
  /** Values of a refused flag that ask for what happens anyway, e.g. `--push=false`. */
  readonly accepts?: readonly string[];
}

/** Values by flag name: `true`/`false` for bool, the last value for string, all for list. */
export interface ParsedArgs {
  readonly flags: ReadonlyMap<string, boolean | string | readonly string[]>;
  readonly positional: readonly string[];
}
