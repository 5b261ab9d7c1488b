import type { Digest } from '../image/types.ts';
import type { GitSource, HttpSource } from '../llb/ops.ts';

/** The value of a secret of the caller; undefined where it was not given. */
export type SecretValue = (id: string) => Uint8Array | undefined;

/** A file from the network, as a blob of the store. */
export interface Download {
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  readonly path: string;
  /** Last-Modified, seconds since the epoch. */
  readonly modifiedSec: number | undefined;
}

/** Is told how a download goes on; `end` comes once, also where there were no bytes to fetch. */
export interface DownloadReport {
  /** Bytes so far, and of the whole where the server tells; begins anew where a download is tried again. */
  bytes(current: number, total: number | undefined): void;
  end(outcome: { readonly size: number } | { readonly error: unknown }): void;
}

/** Is told how the fetch of a repository goes on; each part counts from 0 to its total. */
export interface GitReport {
  part(name: 'objects' | 'deltas', current: number, total: number): void;
  end(error?: unknown): void;
}

export interface Downloads {
  /**
   * The file, fetched where the store does not hold what the server has now. Asked for twice, one request is made.
   * @throws DOWNLOAD_*, CHECKSUM_MISMATCH, CANCELLED
   */
  fetch(source: HttpSource, signal: AbortSignal): Promise<Download>;
  /** The same for whoever reads it: what the store kept from an earlier build is compared with its digest first, and
   * fetched again where it is damaged. */
  read(source: HttpSource, signal: AbortSignal): Promise<Download>;
}

/** What is known of an address that was fetched before. */
export interface DownloadRow {
  readonly url: string;
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  readonly etag: string | undefined;
  /** The header as it came. */
  readonly lastModified: string | undefined;
}

export interface DownloadRows {
  get(url: string): DownloadRow | undefined;
  put(row: DownloadRow): void;
}

/** A ref as it stands now. */
export interface GitCommit {
  /** Forty or sixty-four hex digits. */
  readonly commit: string;
  /** The full name of the branch or tag that leads there; undefined for a bare commit. */
  readonly ref: string | undefined;
  /** The object of an annotated tag. */
  readonly tagObject?: string;
}

/** What addresses stood for when they were last asked, for who builds again soon and wants the same. */
export interface RemoteMemory {
  /** Addresses whose content in the store is what the server has. */
  readonly downloads: Set<string>;
  /** By what was asked of the remote. */
  readonly commits: Map<string, GitCommit>;
}

export interface ReadFileOptions {
  readonly signal: AbortSignal;
  /** Is told how long the file is before it is read; what it throws is thrown. */
  readonly onSize: (bytes: number) => void;
}

export interface GitRepositories {
  /** The commit that a source stands for. Takes one request, and none where it names a whole commit.
   * @throws GIT_*, CHECKSUM_MISMATCH, CANCELLED */
  resolve(source: GitSource, signal: AbortSignal): Promise<GitCommit>;
  /** Seconds since the epoch. Fetches what the store lacks. */
  commitTime(source: GitSource, signal: AbortSignal): Promise<number>;
  /** A file of the source without a checkout; undefined where there is none. `path` is relative to its subdirectory. */
  readFile(source: GitSource, path: string, options: ReadFileOptions): Promise<Buffer | undefined>;
  /** Writes the files, submodules included, into the fresh directory `dest`; gives the directory that is the root of
   * the source. Files named `.git` are git's own. */
  checkout(source: GitSource, dest: string, signal: AbortSignal): Promise<string>;
}

/** How an SSH remote is signed on to. */
export type SshIdentity = { readonly socket: string } | { readonly keyFiles: readonly string[] };
