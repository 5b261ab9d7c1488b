import type { FlatEntry } from '../support/flatten.ts';

/** A file of a case's context or archive; a regular file unless a field says otherwise. */
export type ContextFile = {
  /** Relative to the context, `/` between names. */
  path: string;
  content?: string;
  base64?: string;
  /** The file is an archive of these entries; owners are kept in it. */
  tar?: ContextFile[];
  compress?: 'gzip' | 'zstd';
  dir?: boolean;
  symlink?: string;
  /** Path, relative to the context, of an earlier entry. */
  hardlink?: string;
  fifo?: boolean;
  /** Octal text; 644 for files, 755 for directories. */
  mode?: string;
  uid?: number;
  gid?: number;
  /** Seconds since the epoch. */
  mtime?: number;
  /** Attribute name → value in hex. */
  xattrs?: Record<string, string>;
};

/** `case.json`; everything in it is optional. */
export type CaseOptions = {
  /** Written to the context in order, beside the Dockerfile. */
  files?: ContextFile[];
  /** Named contexts that are directories. */
  contexts?: Record<string, ContextFile[]>;
  buildArgs?: Record<string, string>;
  labels?: Record<string, string>;
  target?: string;
  platform?: string;
  /** Name of the Dockerfile within the context. */
  dockerfile?: string;
  /** Why ocibuild departs from Docker on purpose; `expected-ocibuild.json` then holds what it gives. */
  differs?: string;
  /** Why a build without root departs from that; `expected-rootless.json` then holds what it gives. */
  rootless?: string;
};

export type Case = {
  name: string;
  /** The name up to the first `-`. */
  group: string;
  dir: string;
  dockerfileText: string;
  options: CaseOptions;
};

/** What a build gives, free of times, digests and whatever the base image itself brings. */
export type Outcome = BuiltOutcome | FailedOutcome;

export type BuiltOutcome = {
  config: Record<string, unknown>;
  history: { created_by?: string; empty_layer?: boolean; comment?: string; author?: string }[];
  /** Layers on top of the base image. */
  layers: number;
  /** Paths added or changed since the base image; a short text stands for size and digest. */
  fs: FlatEntry[];
  /** Paths of the base image that are gone; nothing is listed below a listed directory. */
  removed: string[];
};

export type FailedOutcome = {
  error: {
    message: string;
    /** First and last line of the instruction at fault; absent where no line is at fault. */
    lines?: [number, number];
  };
};

/** What a normal user's builds gave. */
export type RootlessOutcomes = {
  base: BuiltOutcome;
  /** By the name of the case. */
  cases: Record<string, Outcome>;
};
