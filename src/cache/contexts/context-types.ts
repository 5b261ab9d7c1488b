import type { TreeEntry } from '../../layer/types.ts';

/** What the ignore file says. Paths are relative to the context, without leading slash. */
export interface IgnoreRules {
  excluded(path: string, isDir: boolean): boolean;
  /** Whether anything below an excluded directory can be included again. */
  mayContainIncluded(dir: string): boolean;
}

export interface ScanOptions {
  /** The context directory. */
  readonly dir: string;
  /** Files and directories wanted, with all that is below them; `''` is everything. Missing ones are fine. What
   * a symlink on the way or below points to is scanned too, so the entries may be more than was asked for. */
  readonly select: readonly string[];
  readonly ignore?: IgnoreRules;
  /** Where what was seen is kept for the next scan; its directory exists. Without it all files are hashed. */
  readonly statCacheFile?: string;
  /** A path for a temporary file on the file system of `statCacheFile`. */
  readonly tempPath?: () => string;
  readonly signal?: AbortSignal;
}

/** An entry of a context. Owner is 0:0, as COPY makes it. Sockets are files of size 0. */
export interface ContextEntry extends TreeEntry {
  readonly type: 'file' | 'dir' | 'symlink' | 'char' | 'block' | 'fifo';
  readonly mtimeMs: number;
  readonly ctimeMs: number;
  readonly dev: number;
  readonly ino: number;
  /** Above 1: entries of equal `dev` and `ino` are hard links of one file. */
  readonly nlink: number;
}

export interface ContextScan {
  readonly dir: string;
  /** Canonical order; the first is the directory itself, path `''`. Files whose content is known from an earlier
   * scan have their digest, others get it by `digestAll`. */
  readonly entries: readonly ContextEntry[];
  /** For node:fs. */
  filePath(entry: ContextEntry): string | Buffer;
  /** Fills in `digest` of the files among `entries` that have none.
   * @throws CONTEXT_CHANGED, CONTEXT_UNREADABLE, CANCELLED */
  digestAll(entries: readonly ContextEntry[], options: { readonly signal: AbortSignal }): Promise<void>;
  /** Writes the stat cache when there is anything new; false when nothing had to be written. */
  save(): boolean;
  /** All that the scan saw, for a last-build record. */
  statRows(): readonly StatRow[];
  /**
   * The same scan later, when only these paths, relative to the context, have changed: nothing else is looked at.
   * A directory stands for all that is below it.
   * @throws what `scanContext` throws
   */
  again(changed: ReadonlySet<string>): ContextScan;
  /** Walks the context anew and gives the paths that are not as this scan saw them. */
  differences(): readonly string[];
  /** When the scan began, ms since the epoch: times at or after it prove nothing. */
  readonly startedMs: number;
}

/** Absolute path, mtimeMs, ctimeMs, size, inode, mode with type bits. Mode 0: there was nothing. */
export type StatRow = readonly [
  path: string,
  mtimeMs: number,
  ctimeMs: number,
  size: number,
  ino: number,
  mode: number,
];

/** An entry while its facts are gathered. */
export type OpenEntry = {
  -readonly [K in keyof ContextEntry]: ContextEntry[K];
};

/** What one walk of a context saw. */
export interface Walk {
  readonly entries: readonly OpenEntry[];
  /** For each entry: mode with type bits, and its row in the stat table or -1. */
  readonly modes: readonly number[];
  readonly matched: readonly number[];
  /** Entries that were looked at now and have no row in the table: nothing else is known of them. */
  readonly fresh: readonly OpenEntry[];
  /** Directories that are no entries, and paths that were looked for in vain. */
  readonly otherRows: readonly StatRow[];
}
