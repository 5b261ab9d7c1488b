import type { SourceFile, SourceRange } from '../errors/source.ts';
import type { Digest, ImageConfig, Platform } from '../image/types.ts';
import type { Definition } from '../llb/definition.ts';
import type { ArchiveSource, GitSource, HttpSource } from '../llb/ops.ts';

/** What the frontend knows of the outside: texts, flags and a way to ask for base images. */
export interface FrontendContext {
  readonly dockerfile: SourceFile;
  /** Text of the ignore file of the main context and its name; undefined where there is none. */
  readonly ignoreFile?: SourceFile;
  /** --build-arg; null: given without a value and absent from the environment (dropped). */
  readonly buildArgs: Readonly<Record<string, string>>;
  /** Stage name or index; undefined: the last. */
  readonly target?: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly targetPlatform: Platform;
  /** The target platform is only this machine's: an image is for the platform of its base, where it has one. */
  readonly platformOfBase?: boolean;
  readonly buildPlatform: Platform;
  /** --no-cache: true, or the names of the stages (--no-cache-filter). */
  readonly noCache: boolean | readonly string[];
  /** Names of `--build-context` directories → ignore file text; their bytes are reached through LocalSource. */
  readonly localContexts: Readonly<Record<string, { readonly ignoreFile?: SourceFile }>>;
  /** Names of `--build-context` images, as the resolver takes them: one with a stage's name replaces the stage. */
  readonly imageContexts?: readonly string[];
  /** What stands for the main context where that is no directory. */
  readonly mainContext?: GitSource | HttpSource | ArchiveSource;
  /** Git and HTTP `--build-context`s by name. */
  readonly remoteContexts?: Readonly<Record<string, GitSource | HttpSource>>;
  /** Default for RUN (`--network`). */
  readonly network: 'default' | 'none' | 'host';
  readonly extraHosts: readonly string[];
  readonly ulimits: readonly { readonly name: string; readonly soft: number; readonly hard: number }[];
  readonly shmSize?: number;
  /** Entitlements given with `--allow`. */
  readonly allow?: readonly Entitlement[];
  /** The build is for several platforms: step names say for which. */
  readonly manyPlatforms?: boolean;
  /** Reads a file beside the Dockerfile, named relative to the file that names it (`FROM file:…`).
   * @throws DOCKERFILE_NOT_FOUND */
  readonly readDockerfile?: (path: string, from: SourceFile) => SourceFile;
  /** Seconds; build-arg or environment SOURCE_DATE_EPOCH. */
  readonly sourceDateEpoch?: number;
  readonly resolver: ImageResolver;
  /** Find what the ARGs BUILDKIT_SBOM_SCAN_STAGE and _CONTEXT name. */
  readonly scan?: boolean;
  /** `off`: the rules are not asked, as for every platform but the first. */
  readonly lint?: 'off';
  /** Gets what the rules found before a conversion failed. */
  readonly onFailedWarnings?: (warnings: readonly LintWarning[]) => void;
  readonly signal: AbortSignal;
}

/** What gives the time of a SOURCE_DATE_EPOCH that is a name in place of a number. */
export type EpochSource =
  /** The main context, whatever it is; a directory has no time. */
  | { readonly kind: 'context' }
  /** A named directory: no time, so the epoch stays unset. */
  | { readonly kind: 'local' }
  /** The commit's time, or Last-Modified, or else the newest file in the archive. */
  | { readonly kind: 'remote'; readonly source: GitSource | HttpSource };

/** What a step may have only with the caller's consent. */
export type Entitlement = 'network.host' | 'security.insecure' | 'device' | `device=${string}`;

/** Injected: finds base images, wherever they are. */
export interface ImageResolver {
  /** `name` is a FROM or --from name (after expansion) that is no stage: an image named context or a reference.
   * @throws IMAGE_NOT_FOUND, IMAGE_PLATFORM_MISSING, REGISTRY_* */
  resolve(name: string, platform: Platform, signal: AbortSignal): Promise<ResolvedImage>;
}

export interface ResolvedImage {
  /** As shown: `docker.io/library/busybox:latest@sha256:…`. */
  readonly name: string;
  readonly manifest: Digest;
  readonly config: ImageConfig;
}

/** What a lint rule found; lines and columns count from 1. */
export interface LintWarning {
  readonly rule: string;
  readonly message: string;
  /** The page of the rule; empty for a warning that is no rule's. */
  readonly url: string;
  /** The part that is at fault. */
  readonly range: SourceRange;
  /** The lines of the instruction, as Docker tells them. @default `range` */
  readonly lines?: SourceRange;
  /** What the rule is about. */
  readonly description?: string;
  /** Where `range` points into. @default the Dockerfile */
  readonly file?: SourceFile;
  /** Changes to the file that put it right and change nothing else; absent where more than one way is right. */
  readonly fix?: readonly SourceEdit[];
}

/** Put `text` in the place of `range`. */
export interface SourceEdit {
  readonly range: SourceRange;
  readonly text: string;
}

export interface FrontendResult {
  readonly definition: Definition;
  /** The vertex whose layers are the image's; undefined: an image without layers (scratch). */
  readonly target: Digest | undefined;
  /** With `scan`: what an SBOM tells of beside the image. */
  readonly scans?: readonly ScannedRoot[];
  /** Config of the image. `history` holds the new entries after the base's; `rootfs.diff_ids` is empty and is
   * filled when the layers are known. */
  readonly config: ImageConfig;
  /** How many leading entries of `config.history` are the base image's. The others without `empty_layer` have
   * one layer of the target each, in order. */
  readonly baseHistory: number;
  readonly warnings: readonly LintWarning[];
  /** Names of stages in file order, for messages. */
  readonly stageNames: readonly string[];
}

/** A stage or the context, as a vertex with layers. */
export interface ScannedRoot {
  /** Of the stage; `context`. */
  readonly name: string;
  readonly root: Digest;
}

/** What can be given to a build of one target. Lines are those of the instruction that says so. */
export interface Outline {
  /** Name of the target; absent where it has none. */
  readonly name?: string;
  readonly description?: string;
  /** By line. */
  readonly args: readonly OutlineArg[];
  readonly secrets: readonly OutlineMount[];
  readonly ssh: readonly OutlineMount[];
  /** Ids of cache mounts. */
  readonly caches: readonly Located[];
}

/** A name and where it stands. */
export interface Located {
  readonly name: string;
  readonly range: SourceRange;
}

/** An ARG that a target reads. */
export interface OutlineArg extends Located {
  readonly description?: string;
  /** With the build arguments of the caller. */
  readonly value?: string;
}

/** A secret or an SSH agent that a target asks for. */
export interface OutlineMount extends Located {
  readonly required: boolean;
}

/** A stage, as a target that can be built. */
export interface TargetInfo {
  readonly name?: string;
  readonly description?: string;
  /** Built where no target is given. */
  readonly isDefault: boolean;
  /** As written. */
  readonly base: string;
  readonly platform?: string;
  readonly range: SourceRange;
}
