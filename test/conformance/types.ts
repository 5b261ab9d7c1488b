import type { FlatEntry } from '../support/flatten.ts';

/** A file of a case's context or archive; a regular file unless a field says otherwise. */
export type ContextFile = {
  /** Relative to the context, `/` between names. */
  path: string;
  content?: string;
  base64?: string;
  /** The file is an archive of these entries; owners are kept in it. */
  tar?: ContextFile[];
  compress?: 'gzip' | 'zstd' | 'xz' | 'bzip2';
  dir?: boolean;
  symlink?: string;
  /** Path, relative to the context, of an earlier entry. */
  hardlink?: string;
  fifo?: boolean;
  /** The socket of a server that is gone; no archive can hold one. */
  socket?: boolean;
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
  /** Further named contexts by their value; `{base}` is the layout of the image `base`. */
  contextValues?: Record<string, string>;
  /** Files of an HTTP server: `@HTTP@/PATH` in the Dockerfile, the context and its values. `@DOCKERFILE@` in a content
   * is the case's Dockerfile. */
  http?: ContextFile[];
  /** Repositories by name: `@GIT@/NAME.git` or `@HTTP@/NAME.git`; `@COMMIT:NAME:REF@` is a commit. */
  git?: Record<string, RepositoryCommit[]>;
  /** What is built instead of the directory with the Dockerfile: an address, or `-`. */
  context?: string;
  /** For context `-`: the archive; without it the Dockerfile is what comes. */
  stdin?: ContextFile;
  /** `-f` for a context that is no directory. */
  file?: string;
  buildArgs?: Record<string, string>;
  labels?: Record<string, string>;
  target?: string;
  /** Several joined by commas make an index. */
  platform?: string;
  /** Secret id → its value, given as a file. */
  secrets?: Record<string, string>;
  /** Ids of SSH agents; each is one without keys. */
  ssh?: string[];
  /** Entitlements. */
  allow?: string[];
  /** Name of the Dockerfile within the context. */
  dockerfile?: string;
  /** What is asked for instead of a build: `--call`. */
  call?: 'check' | 'outline' | 'targets';
  /** Why ocibuild departs from Docker on purpose; `expected-ocibuild.json` then holds what it gives. */
  differs?: string;
  /** Why a build without root departs from that; `expected-rootless.json` then holds what it gives. */
  rootless?: string;
};

/** A commit, and what points to it; each stands on the one before. */
export type RepositoryCommit = {
  files?: ContextFile[];
  /** Starts, or goes back to, this branch; the first is `main`. */
  branch?: string;
  tag?: string;
  /** The tag is an object of its own. */
  annotated?: boolean;
  /** Adds an earlier repository of the case as a submodule. */
  submodule?: { path: string; repository: string; url: string };
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
export type Outcome = BuiltOutcome | IndexOutcome | FailedOutcome | DescribedOutcome;

/** An index: its images in order. */
export type IndexOutcome = { images: ({ platform: string } & BuiltOutcome)[] };

/** What `--call` tells; `lines` are the first and the last line that a thing is about. */
export type DescribedOutcome = { described: Described };

export type Described = Record<string, unknown>;

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
