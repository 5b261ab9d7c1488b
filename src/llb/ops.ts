import type { Digest, Platform } from '../image/types.ts';

/** Everything a build step can be. Plain JSON: a graph can be dumped, compared and sent elsewhere. */
export type Op = SourceOp | ExecOp | FileOp | MergeOp;

/** A source has no inputs. */
export interface SourceOp {
  readonly kind: 'source';
  readonly source: ImageSource | LocalSource;
}

/** A base image, already resolved. Its identity for caching is the chain of `diffIds`, so another tag or
 * another compression of the same layers hits. Layers base first. */
export interface ImageSource {
  readonly type: 'image';
  readonly manifest: Digest;
  readonly diffIds: readonly Digest[];
  readonly platform: Platform;
}

/** A directory of the caller, looked up by `name` in the build's session (`context`, or a named context).
 * What a consumer selects from it is in the consumer's op. */
export interface LocalSource {
  readonly type: 'local';
  readonly name: string;
  /** Ignore patterns in the order of the ignore file, as text lines (comments and blanks removed). */
  readonly ignore: readonly string[];
}

/** Index into the vertex's inputs; -1 is the empty file system (scratch). */
export type InputIndex = number;

/** A RUN step. Input 0.. are referred to by `rootfs` and `mounts`. */
export interface ExecOp {
  readonly kind: 'exec';
  readonly rootfs: InputIndex;
  readonly args: readonly string[];
  /** `K=V`, in order; the build-time environment without proxy variables and secrets. */
  readonly env: readonly string[];
  readonly cwd: string;
  /** As in the image config: `user[:group]`, names or numbers; empty = root. */
  readonly user: string;
  readonly network: 'default' | 'none' | 'host';
  readonly security: 'sandbox' | 'insecure';
  readonly mounts: readonly ExecMount[];
  readonly hostname?: string;
  /** `host:ip`. */
  readonly extraHosts?: readonly string[];
  readonly ulimits?: readonly Ulimit[];
  /** Bytes; default 64 MiB. */
  readonly shmSize?: number;
}

export interface Ulimit {
  readonly name: string;
  readonly soft: number;
  readonly hard: number;
}

/** One `RUN --mount`; the kinds grow with the language. */
export interface ExecMount {
  readonly type: 'bind' | 'tmpfs';
  readonly target: string;
  readonly readonly: boolean;
  /** bind: which input, and the path in it. */
  readonly input?: InputIndex;
  readonly source?: string;
  /** tmpfs: bytes. */
  readonly size?: number;
}

/** Makes one layer on top of `base` out of its actions, in order. */
export interface FileOp {
  readonly kind: 'file';
  readonly base: InputIndex;
  readonly actions: readonly FileAction[];
}

export type FileAction = CopyAction | MkdirAction | MkfileAction;

/** COPY and ADD of local files, stages and archives. */
export interface CopyAction {
  readonly type: 'copy';
  /** The input that the sources are read from. */
  readonly from: InputIndex;
  /** Slash paths relative to the source's root, cleaned, no leading slash; `''` is the root itself. May hold
   * wildcards of Go's filepath.Match where `wildcard` is true for it. */
  readonly sources: readonly CopySource[];
  /** Absolute and cleaned; a trailing `/` says that it is a directory. */
  readonly dest: string;
  readonly owner?: Owner;
  /** 0–07777, for files and directories alike. */
  readonly mode?: number;
  /** ADD: sources that are archives by content are unpacked instead of copied. */
  readonly unpack?: boolean;
}

export interface CopySource {
  readonly path: string;
  readonly wildcard: boolean;
}

/** Numbers, or names to be looked up in the destination's /etc/passwd and /etc/group. A user without a group
 * gets the passwd group of a name, or the same number. */
export interface Owner {
  readonly user?: string | number;
  readonly group?: string | number;
}

/** mkdir -p; existing directories stay as they are. */
export interface MkdirAction {
  readonly type: 'mkdir';
  readonly path: string;
  readonly mode: number;
  readonly owner?: Owner;
}

/** A file with given content (heredoc sources). */
export interface MkfileAction {
  readonly type: 'mkfile';
  readonly path: string;
  readonly mode: number;
  /** base64. */
  readonly data: string;
  readonly owner?: Owner;
}

/** Layers of the inputs, one on the other, lowest first (COPY --link). */
export interface MergeOp {
  readonly kind: 'merge';
}
