import type { OcibuildError } from '../errors/error.ts';
import type { Compression, Descriptor, Digest, ImageConfig, Platform } from '../image/types.ts';
import type { EventSink } from '../solver/types.ts';
import type { CacheFrom, CacheTo } from './cache/types.ts';
import type { SourcePolicy } from './policy/types.ts';
import type { GcOptions } from './prune/types.ts';

/** What to do with the result. */
export type Output =
  | ({ readonly type: 'store' } & StoreForm & ImageForm)
  | { readonly type: 'cacheonly' }
  | ({
      readonly type: 'oci';
      /** `-` is stdout (needs `stdout` in the options). */
      readonly dest: string;
      /** Default true: one archive file; false: a layout directory that is merged into. */
      readonly tar?: boolean;
    } & ImageForm)
  | ({
      /** What `docker load` reads: one image for one platform. */
      readonly type: 'docker';
      /** An archive file; `-` is stdout. Default: it is loaded into the Docker or Podman daemon of this machine. */
      readonly dest?: string;
      /** The Docker context whose daemon it is loaded into. */
      readonly context?: string;
    } & ImageForm)
  | ({
      /** Pushes to where each name says. */
      readonly type: 'registry';
      /** No tags: the image can be had by its digest. */
      readonly byDigest?: boolean;
      /** The registry may speak plain HTTP, or have a certificate that nobody knows. @default false */
      readonly insecure?: boolean;
    } & ImageForm)
  | {
      readonly type: 'local' | 'tar';
      /** Directory, or file; `-` is stdout, for `tar` only. */
      readonly dest: string;
      /** A directory for each platform (`linux_arm64`). Default: when there are several. */
      readonly platformSplit?: boolean;
      /** Goes before the names of the files that hold attestations. */
      readonly attestationPrefix?: string;
      /** `local`: `delete` removes what the result does not hold. @default copy */
      readonly mode?: 'copy' | 'delete';
      /** In place of SOURCE_DATE_EPOCH, for this output. Seconds. */
      readonly sourceDateEpoch?: number;
    };

/** An output that is the files of the image. */
export type FileOutput = Output & { readonly type: 'local' | 'tar' };

/** How an image is kept in the store. */
export interface StoreForm {
  /** Layers are unpacked now, so that the next build on the image need not. @default false */
  readonly unpack?: boolean;
  /** Also names the image `PREFIX@DIGEST`. */
  readonly danglingNamePrefix?: string;
  /** Only where the image has no other name. @default false */
  readonly danglingNameEmptyOnly?: boolean;
  /** Names the image `NAME@DIGEST` as well. @default false */
  readonly nameCanonical?: boolean;
}

/** How the parts of an image are written. */
export interface ImageForm {
  /** Names the image has here, in place of `tags`. */
  readonly names?: readonly string[];
  /** Further annotations, here only; keys as in the options of the build. */
  readonly annotations?: Readonly<Record<string, string>>;
  /** In place of SOURCE_DATE_EPOCH, for this output. Seconds. */
  readonly sourceDateEpoch?: number;
  /** Layers that only their makers may distribute stay where they are. @default false */
  readonly preferNondistributable?: boolean;
  /** OCI's media types, not Docker's, which know no annotations. @default true */
  readonly ociMediaTypes?: boolean;
  /** New layers hold no times after SOURCE_DATE_EPOCH, which is needed; a base's layers stay. @default false */
  readonly rewriteTimestamp?: boolean;
  /** `estargz` needs OCI's media types. @default gzip */
  readonly compression?: Compression;
  /** gzip and estargz 0–9 (4), zstd 0–22 (3). */
  readonly compressionLevel?: number;
  /** Also recompress layers that exist in another form. Default false. */
  readonly forceCompression?: boolean;
  /** Attestations are artifacts whose subject is the image; false: they look like images for no platform.
   * @default true with OCI's media types */
  readonly ociArtifact?: boolean;
  /** Takes attestations that are `inlineOnly` as well. @default false */
  readonly attestationInline?: boolean;
}

/** What is said about the images of a build and stored beside them. With one, the result is an index; `docker` outputs
 * leave it out. */
export type Attestation =
  | {
      /** How the image was built: SLSA provenance. */
      readonly type: 'provenance';
      /** `min` tells nothing of arguments, secrets and steps. @default max */
      readonly mode?: 'min' | 'max';
      /** Of SLSA. @default v1 */
      readonly version?: 'v1' | 'v0.2';
      /** URI of who built. */
      readonly builderId?: string;
      /** Claims that building again gives the same image. @default false */
      readonly reproducible?: boolean;
      /** In `local` and `tar` outputs. @default provenance.json */
      readonly filename?: string;
      /** Only for outputs that say `attestationInline`. @default false */
      readonly inlineOnly?: boolean;
      readonly disabled?: boolean;
    }
  | {
      /** What is in the image, by the databases of dpkg, apk, npm and Python that it holds, and by its Go programs. */
      readonly type: 'sbom';
      /** SPDX 2.3 or CycloneDX 1.6, as JSON. Both may be asked for. @default spdx */
      readonly format?: 'spdx' | 'cyclonedx';
      /** In `local` and `tar` outputs. @default sbom.spdx.json, sbom.cdx.json */
      readonly filename?: string;
      readonly disabled?: boolean;
    };

/** The value of a secret. Paths may be relative to `cwd`. */
export type SecretSource =
  | { readonly type: 'file'; readonly path: string }
  | { readonly type: 'env'; readonly name: string }
  | { readonly type: 'value'; readonly value: string | Uint8Array };

/** Keys that steps may sign with. Paths may be relative to `cwd`. */
export type SshSource =
  | { readonly type: 'agent'; readonly socket: string }
  | { readonly type: 'keys'; readonly files: readonly string[] };

/** One file or directory of a failed step. */
export interface FailureExport {
  /** A stage, `STAGE/N`, `N` or the beginning of an instruction; `*`: whichever step it is. */
  readonly step: string;
  /** In the step, cache mounts included; with wildcards, those of COPY and `**`, all that matches. */
  readonly path: string;
  /** Directory or file, for wildcards a directory; may be relative to `cwd`. A file goes into a directory that is there, or that ends with `/`. */
  readonly dest: string;
}

/** A RUN that failed, with the file system that it left. Good until the function that was given it has ended. */
export interface FailedStep {
  /** `[build 2/5] RUN make` */
  readonly name: string;
  readonly error: OcibuildError;
  /** The program that a person would type at: that of `SHELL`, or `/bin/sh`. */
  readonly shell: readonly string[];
  /** Absolute, in the step. */
  readonly cwd: string;
  /**
   * Runs a program with the step's mounts, environment, directory, user and network. What it changes outside of cache
   * mounts is dropped.
   * @returns its exit code, 128 + n for a signal
   */
  run(args: readonly string[], options?: RunInStep): Promise<number>;
  /** Copies a file or directory out, or what a path with wildcards matches; the files are the caller's own, devices are left out, links are copied as links.
   * False where there is none. */
  copyOut(path: string, dest: string): Promise<boolean>;
}

/** How a program runs in a failed step. */
export interface RunInStep {
  /** `K=V`, after those of the step. */
  readonly env?: readonly string[];
  /** Joins it to the terminal of this process. Without it there is no input, and `onOutput` gets what it prints. */
  readonly terminal?: boolean;
  /** The program waits for a promise; where this throws or rejects, it is killed, and `run` rejects with that error. */
  readonly onOutput?: (stream: 'stdout' | 'stderr', data: Uint8Array) => void | Promise<void>;
}

/** Options of `build()`; names follow the command line. Paths may be relative to `cwd`. */
export interface BuildOptions {
  /** Directory, git or http(s) URL, or `-`: what `stdin` gives. */
  readonly context: string;
  /** The Dockerfile or tar archive that `context: '-'` stands for. */
  readonly stdin?: AsyncIterable<Uint8Array>;
  /** Dockerfile path; default `CONTEXT/Dockerfile`, then `Containerfile`. */
  readonly dockerfile?: string;
  /** The Dockerfile's text itself instead of a path. */
  readonly dockerfileText?: string;
  /** Names in the store, in exports and pushes. */
  readonly tags?: readonly string[];
  /** Values of ARG. */
  readonly buildArgs?: Readonly<Record<string, string>>;
  /** Stage name or index; several stages of one build are `targets`. */
  readonly target?: string;
  /** Several stages at once; each makes an image of its own, named by `targetTags`. Not with `target`. */
  readonly targets?: readonly string[];
  /** Names of the images of `targets`. */
  readonly targetTags?: Readonly<Record<string, readonly string[]>>;
  /** Added to those of the Dockerfile. */
  readonly labels?: Readonly<Record<string, string>>;
  /** Of the manifest; a key may say where else it goes, as on the command line: `index:KEY`,
   * `manifest[linux/arm64],manifest-descriptor:KEY`. */
  readonly annotations?: Readonly<Record<string, string>>;
  /** `os/arch[/variant]`, several joined by commas: one image for each and an index over them. Default: the
   * machine's. */
  readonly platform?: string;
  /** name → directory, git or http(s) URL, `oci-layout://DIR[:TAG][@DIGEST]`, `docker-image://REF`. */
  readonly buildContexts?: Readonly<Record<string, string>>;
  /** Run every step anew. @default false */
  readonly noCache?: boolean;
  /** Stages whose steps run anew. */
  readonly noCacheFilter?: readonly string[];
  /** When base images are looked for in their registries; `missing`: those that the store lacks. @default missing */
  readonly pull?: 'missing' | 'always' | 'newer' | 'never';
  /** Hold images, downloads and git refs to `Dockerfile.lock`, which `lock()` writes. @default false */
  readonly locked?: boolean;
  /** Which images, URLs, repositories and directories may be used, and what stands in for them: BuildKit's source
   * policy, or the path of its JSON. */
  readonly sourcePolicy?: string | SourcePolicy;
  /** Caches of other machines to look in, after the store. One that cannot be read is a warning. */
  readonly cacheFrom?: readonly CacheFrom[];
  /** Where to write what the steps made, for other machines. */
  readonly cacheTo?: readonly CacheTo[];
  /** Of RUN steps. @default default */
  readonly network?: 'default' | 'none' | 'host';
  /** `HOST:IP` or `HOST=IP`, in /etc/hosts of RUN steps. */
  readonly addHosts?: readonly string[];
  /** Of RUN steps; -1 is unlimited. */
  readonly ulimits?: readonly { readonly name: string; readonly soft: number; readonly hard: number }[];
  /** Of /dev/shm in RUN steps. Bytes. @default 64 MiB */
  readonly shmSize?: number;
  /** id → where the value is. Read when a step asks for it. */
  readonly secrets?: Readonly<Record<string, SecretSource>>;
  /** id → socket of an agent, or key files to serve. */
  readonly ssh?: Readonly<Record<string, SshSource>>;
  /** `network.host`, `security.insecure`, `device`, `device=NAME`. */
  readonly allow?: readonly string[];
  /** @default [{ type: 'store' }] */
  readonly outputs?: readonly Output[];
  /** What to say about the images. @default nothing */
  readonly attest?: readonly Attestation[];
  /** Give the SLSA provenance in the result, whether an image carries it or not. */
  readonly resultProvenance?: 'min' | 'max';
  /** RUN steps at a time. @default number of cores */
  readonly jobs?: number;
  /** The store. @default /var/lib/ocibuild as root, $XDG_DATA_HOME/ocibuild otherwise */
  readonly root?: string;
  /** OCI runtime, name or path. @default the first of runc, crun, youki on PATH */
  readonly runtime?: string;
  /** Clears the store now and then, in a process of its own after the build; `false`: never. Variables (`OCIBUILD_GC…`)
   * say what stands here not. */
  readonly gc?: GcOptions | false;
  /** Files to copy out of a RUN that fails. */
  readonly exportOnFailure?: readonly FailureExport[];
  /**
   * Called with the RUN that made the build fail, once everything else has stopped and before `build()` rejects; what is
   * thrown here is only a warning.
   */
  readonly onFailedStep?: (step: FailedStep) => Promise<void>;
  /** Report for each step that ran why it was not cached, by events of the kind `explain`. @default false */
  readonly explain?: boolean;
  /** Stops the build; the promise rejects with CANCELLED after everything has stopped. */
  readonly signal?: AbortSignal;
  /** Called for each event as it happens; what it throws ends the build or the watch, which rejects with it. Without it
   * events are kept for the iterator. */
  readonly onEvent?: EventSink;
  /** Environment for proxies, SOURCE_DATE_EPOCH and defaults. @default process.env */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** @default process.cwd() */
  readonly cwd?: string;
  /** Where `dest: '-'` goes. */
  readonly stdout?: NodeJS.WritableStream;
}

/** The image of one platform. */
export interface PlatformResult {
  readonly platform: Platform;
  /** Descriptor of its manifest. */
  readonly descriptor: Descriptor;
  readonly configDigest: Digest;
  /** Base first. */
  readonly layers: readonly ImageLayer[];
}

/** A layer of an image that was built. */
export interface ImageLayer {
  readonly digest: Digest;
  /** Bytes of its blob. */
  readonly size: number;
  /** It was in the store before the build began; others were made or fetched by it. */
  readonly reused: boolean;
}

/** How the image of one platform was built. */
export interface PlatformProvenance {
  readonly platform: Platform;
  /** The predicate of SLSA provenance v1. */
  readonly predicate: Readonly<Record<string, unknown>>;
}

export interface BuildResult {
  /** Digest of the image's manifest, or of the index over the images of all platforms; undefined for `cacheonly`,
   * `local` and `tar` outputs, and for several targets. */
  readonly digest?: Digest;
  /** Undefined where the result is an index. */
  readonly configDigest?: Digest;
  /** Descriptor of the manifest or index. */
  readonly descriptor?: Descriptor;
  /** In the order of `platform`. */
  readonly platforms?: readonly PlatformResult[];
  /** With several `targets`: the result of each, by its name. */
  readonly targets?: Readonly<Record<string, BuildResult>>;
  /** Of the first platform; of several targets the last one's. */
  readonly config: ImageConfig;
  /** Normalised names the image was given. */
  readonly names: readonly string[];
  /** Absolute paths of files and directories that outputs wrote; absent where there are none. */
  readonly written?: readonly string[];
  /** With `resultProvenance`: for each platform, in the order of `platform`. */
  readonly provenance?: readonly PlatformProvenance[];
  /** Steps found in the cache, and steps in all. */
  readonly cachedSteps: number;
  readonly totalSteps: number;
}
