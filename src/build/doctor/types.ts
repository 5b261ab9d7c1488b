/** One line of the report. */
export interface Finding {
  /** Stable name for scripts: `runtime`, `container`, `userns`… */
  readonly id: string;
  /** `fail`: builds with RUN do not work; `warn`: something that some builds or commands want is missing. */
  readonly status: 'ok' | 'warn' | 'fail';
  /** What was found and what it means, one sentence without a full stop. */
  readonly message: string;
  /** A command that puts it right here, or what to do where none can. */
  readonly fix?: string;
}

/** What this machine can do. */
export interface DoctorReport {
  /** A build with RUN steps works here, as this user. */
  readonly works: boolean;
  readonly findings: readonly Finding[];
}

/** What the probes ask about. */
export interface DoctorOptions {
  /** The store. */
  readonly root: string;
  readonly runtime?: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly signal: AbortSignal;
  /** Starts this program again to run `trial()` where it has to enter a user namespace first. */
  readonly selfCommand?: readonly string[];
}

/** What every probe works with. */
export interface Machine extends DoctorOptions {
  /** Real or effective root; a normal user needs a user namespace for RUN. */
  readonly isRoot: boolean;
  readonly searchPath: string;
  /** The command that installs packages; names by the package manager. */
  install(names: PackageNames): string;
  /** A command that needs root. */
  asRoot(command: string): string;
}

/** A package as each distribution calls it; `apt` also stands for those that are not given. */
export interface PackageNames {
  readonly apt: string;
  readonly dnf?: string;
  readonly apk?: string;
}
