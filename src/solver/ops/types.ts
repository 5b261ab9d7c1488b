import type { BlobOptions, CacheMounts, LayerStore } from '../../cache/types.ts';
import type { DeviceEdits, Executor } from '../../executor/types.ts';
import type { Digest } from '../../image/types.ts';
import type { LayerId } from '../../layer/layer-id.ts';
import type { FileContent, Tree, TreeEntry } from '../../layer/types.ts';
import type { ExecDevice, ExecOp, ExternalSource } from '../../llb/ops.ts';
import type { Ingredient, SolvedInputs } from '../types.ts';
import type { OpenedArchive, PlanSource } from './file-plan.ts';

/** Proxies for every RUN, each as `K=V`, outside of all keys. */
export interface ProxyEnv {
  /** What the environment of the build has: variables of the Dockerfile beat it. */
  readonly host: readonly string[];
  /** What the build was given: beats variables of the Dockerfile, as in Docker. */
  readonly given: readonly string[];
}

/** What the ops of one build work with; made by the composition root. */
export interface OpDeps {
  readonly layers: LayerStore;
  /** Started at the first RUN. */
  readonly executor: () => Promise<Executor>;
  /** Local directories, downloads and checkouts. */
  readonly external: (source: ExternalSource) => ExternalFiles;
  /** Makes the layers of a resolved base image known; moves nothing. */
  readonly imageLayers: (vertex: Digest, diffIds: readonly Digest[]) => readonly LayerId[];
  readonly archives: ArchiveReader;
  /** Which forms the new layers of a vertex should have at once. */
  readonly forms: (vertex: Digest) => {
    readonly snapshot: boolean;
    readonly blob: BlobOptions | undefined;
    /** The result may be several layers, one on the other: nobody sees a difference. @default false */
    readonly mayStack?: boolean;
  };
  /** Content digest of a tree: all facts but times. */
  readonly treeDigest: (tree: Tree) => Digest;
  /** Digests for files that lack one. */
  readonly hashTree: (tree: Tree, source: PlanSource) => Promise<Tree>;
  readonly cacheMounts: CacheMounts;
  /** The value of a secret; undefined where it was not given. @throws SECRET_INVALID */
  readonly secret: (id: string, about: { readonly required: boolean }) => Uint8Array | undefined;
  /** A socket that leads to an SSH agent, until it is disposed of; undefined where none was given.
   * @throws SSH_AGENT_NOT_FOUND, SSH_KEY_INVALID */
  readonly sshAgent: (
    id: string,
    owner: { readonly mode: number; readonly uid: number; readonly gid: number },
  ) => Promise<(AsyncDisposable & { readonly socket: string }) | undefined>;
  /** @throws DEVICE_NOT_FOUND, DEVICE_INVALID */
  readonly devices: (wanted: readonly ExecDevice[]) => Promise<DeviceEdits>;
  /** Writes plain files and directories into an empty directory. */
  readonly writeTree: (
    dir: string,
    tree: Tree,
    options: { readonly content: (entry: TreeEntry) => FileContent; readonly signal: AbortSignal },
  ) => Promise<void>;
  readonly proxyEnv: ProxyEnv;
  /** Unique name for a container; starts with the owner of this process. */
  readonly newRunId: () => string;
  /** SOURCE_DATE_EPOCH or 0: times of directories that COPY and WORKDIR make. Seconds. */
  readonly epochSec: number;
  /** Takes over what a RUN has written that failed. Absent: it is dropped. */
  readonly keepFailed?: (failed: FailedExec) => void;
  readonly readFile: (path: string | Buffer) => Buffer;
  /** Whether overlay shows a file at a path. Snapshots base first. */
  readonly isStackedFile: (snapshots: readonly string[], path: string) => boolean;
  /** Keeps bytes of an inline file where a plan can read them. */
  readonly inlineFile: (bytes: Uint8Array) => Promise<{ readonly path: string; readonly digest: Digest }>;
}

/** What a program needs that runs where a step ran, or a look at its files. */
export type StepDeps = Omit<
  OpDeps,
  'external' | 'imageLayers' | 'archives' | 'forms' | 'epochSec' | 'keepFailed' | 'inlineFile'
>;

/** A RUN that failed, and the file system that it left. */
export interface FailedExec {
  readonly op: ExecOp;
  readonly inputs: SolvedInputs;
  /** As progress shows it. */
  readonly name: string;
  /** Base first; `own`, what the step itself wrote, is the last of them. */
  readonly layers: readonly LayerId[];
  readonly own: LayerId;
  readonly error: unknown;
}

/** A source that no step makes. */
export interface ExternalFiles {
  /** What it is, where that is known without looking inside: a commit, the digest of a download. Absent: the files
   * that a step selects count. */
  identity?(signal: AbortSignal): Promise<readonly Ingredient[]>;
  open(signal: AbortSignal): Promise<LocalFiles>;
}

/** The files of a local source that COPY may select from. */
export interface LocalFiles extends PlanSource {
  /** The digest of a file of the source. Reads files it has not seen before. */
  digests(entries: readonly TreeEntry[], signal: AbortSignal): Promise<ReadonlyMap<string, Digest>>;
}

/** Unpacks the archives that ADD meets. */
export interface ArchiveReader {
  /** Undefined when the file is no archive by content. `name` is what errors call it. */
  open(file: string | Buffer, signal: AbortSignal, name?: string): Promise<OpenedArchive | undefined>;
}
