import type { Digest, Platform } from '../image/types.ts';

/** Everything a build step can be. Plain JSON: a graph can be dumped, compared and sent elsewhere. */
export type Op = SourceOp | ExecOp | FileOp | MergeOp;

/** What is not made by a step: only the files that a consumer selects from it are looked at. */
export type ExternalSource = LocalSource | HttpSource | GitSource | ArchiveSource;

/** A source has no inputs. */
export interface SourceOp {
  readonly kind: 'source';
  readonly source: ImageSource | ExternalSource;
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

/** One file from the network. As a file system it is `/FILENAME`, with the mtime of Last-Modified. */
export interface HttpSource {
  readonly type: 'http';
  readonly url: string;
  /** A single path element. */
  readonly filename: string;
  readonly mode: number;
  /** `sha256:hex`, `sha384:hex` or `sha512:hex`: what the content must have. */
  readonly checksum?: string;
  /** The source of a context: an archive by content stands for what is in it. */
  readonly unpack?: boolean;
}

/** An archive in the store, unpacked: the context that stdin gave. Entries keep their owners. */
export interface ArchiveSource {
  readonly type: 'archive';
  readonly digest: Digest;
}

/** A checkout of a git repository: files 0644 or 0755, owned by root. */
export interface GitSource {
  readonly type: 'git';
  /** Without fragment and query. User information is for the transport: it is shown and kept nowhere. */
  readonly remote: string;
  /** Branch, tag, `refs/…` or commit; undefined: the remote's HEAD. */
  readonly ref?: string;
  /** Directory of the repository that is the root of the file system; cleaned, no leading slash. */
  readonly subdir?: string;
  /** Prefix of the commit that the ref must lead to. */
  readonly checksum?: string;
  readonly keepGitDir?: boolean;
  /** Default true. */
  readonly submodules?: boolean;
  /** `commit`: files carry the time of the commit; default `checkout`. */
  readonly mtime?: 'checkout' | 'commit';
  readonly fetchByCommit?: boolean;
  /** Id of the SSH agent (`--ssh`) for `ssh://` remotes. */
  readonly ssh?: string;
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
  readonly devices?: readonly ExecDevice[];
  /** What the processes of the step are for; absent: this machine. Another architecture needs an emulator. */
  readonly platform?: Platform;
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

/** One `RUN --mount`. Targets are absolute and cleaned; the order is that of the instruction. */
export type ExecMount = BindMount | CacheMount | TmpfsMount | SecretMount | SshMount;

/** Files of an input; what is written to a writable one is dropped after the step. */
export interface BindMount {
  readonly type: 'bind';
  readonly target: string;
  readonly readonly: boolean;
  readonly input: InputIndex;
  /** Path in the input: cleaned, no leading slash; `''` is its root. A file or a directory. */
  readonly source: string;
}

/** A directory that outlives the step. It is never part of a layer, and neither its id nor its content of a key. */
export interface CacheMount {
  readonly type: 'cache';
  readonly target: string;
  readonly readonly: boolean;
  /** With the namespace (`BUILDKIT_CACHE_MOUNT_NS`) before it. */
  readonly id: string;
  readonly sharing: 'shared' | 'private' | 'locked';
  /** What a new cache starts from; -1 or absent: empty. */
  readonly input?: InputIndex;
  readonly source?: string;
  /** Of the directory when it is made; default 0:0 and 0755. Names are looked up in the step's root. */
  readonly owner?: Owner;
  readonly mode?: number;
}

export interface TmpfsMount {
  readonly type: 'tmpfs';
  readonly target: string;
  /** Bytes. */
  readonly size?: number;
}

/** A value of the caller: a file, a variable, or both. The id is part of the key, the value is not. */
export interface SecretMount {
  readonly type: 'secret';
  readonly id: string;
  /** Absent where only `env` was asked for. */
  readonly target?: string;
  readonly env?: string;
  readonly required: boolean;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

/** The socket of an SSH agent. */
export interface SshMount {
  readonly type: 'ssh';
  readonly id: string;
  readonly target: string;
  readonly required: boolean;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

/** A CDI device: `vendor.com/class=name`. */
export interface ExecDevice {
  readonly name: string;
  readonly required: boolean;
}

/** Makes one layer on top of `base` out of its actions, in order. */
export interface FileOp {
  readonly kind: 'file';
  readonly base: InputIndex;
  readonly actions: readonly FileAction[];
  /** Nothing takes the result but bind mounts, which show one directory however many layers it has. */
  readonly onlyMounted?: true;
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
  /** 0–07777 for files and directories alike, or a symbolic mode (`u=rwX,go-w`) applied to each. */
  readonly mode?: number | string;
  /** Sources that are archives by content are unpacked instead of copied. */
  readonly unpack?: boolean;
  /** Keep the path of each source below its pivot (`/./`), or its whole path; wildcards may hold `**`. */
  readonly parents?: boolean;
  /** Patterns of an ignore file, relative to each source: what matches is not copied. */
  readonly exclude?: readonly string[];
  /** A directory that is made of a source directory has its mode; default 0755. */
  readonly keepsMode?: boolean;
  /** A plain path that is not there is no error. */
  readonly ifExists?: boolean;
}

export interface CopySource {
  readonly path: string;
  readonly wildcard: boolean;
  /** `parents`: how many leading components of `path` stand above the pivot. Default 0. */
  readonly pivot?: number;
}

/** Numbers, or names to be looked up in the destination's /etc/passwd and /etc/group. A user without a group
 * gets the passwd group of a name, or the same number. */
export interface Owner {
  readonly user?: string | number;
  readonly group?: string | number;
  /** Names that are not there stand for root instead of failing. */
  readonly orRoot?: boolean;
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
