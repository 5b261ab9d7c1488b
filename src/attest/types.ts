import type { Descriptor, Digest, Platform } from '../image/types.ts';
import type { Definition } from '../llb/definition.ts';

/** Algorithm → hex digits, as in-toto writes digests: `{ sha256: '…' }`, `{ sha1: '…' }` for a commit. */
export type DigestSet = Readonly<Record<string, string>>;

/** What a statement is about. @see in-toto spec v1 resource_descriptor.md */
export interface Subject {
  readonly name: string;
  readonly digest: DigestSet;
}

/** What is said about an image, before it is known what the image is called. */
export interface Predicate {
  readonly kind: 'provenance' | 'sbom';
  readonly predicateType: string;
  readonly predicate: Readonly<Record<string, unknown>>;
  /** Name of the file in `local` and `tar` outputs. */
  readonly filename: string;
}

/** @see in-toto spec v1 statement.md */
export interface Statement {
  readonly _type: string;
  readonly predicateType: string;
  readonly subject: readonly Subject[];
  readonly predicate: unknown;
}

/** Something that the build used and that is not part of the build itself. */
export interface Dependency {
  /** A package URL, or the address it came from without credentials. */
  readonly uri: string;
  readonly digest: DigestSet;
}

/** What is known about the repository that the context is a part of. */
export interface VcsFacts {
  /** Without credentials. */
  readonly source?: string;
  /** The commit, with `-dirty` where files differ from it. */
  readonly revision?: string;
  /** Where the context is in it. */
  readonly 'localdir:context'?: string;
}

/** What provenance is made of. Nothing in it is secret but URL credentials in arguments, which are masked when it is
 * written. */
export interface BuildFacts {
  /** Of the machine that builds. */
  readonly builderPlatform: Platform;
  /** Where the Dockerfile came from; without `uri` from a directory of the caller. */
  readonly config: { readonly uri?: string; readonly digest?: DigestSet; readonly path: string };
  /** Options of the caller by the names that frontends know them under (`build-arg:NAME`, `target`). */
  readonly args: Readonly<Record<string, string>>;
  /** Directories of the caller. */
  readonly locals: readonly string[];
  readonly definition: Definition;
  /** The vertex that the image is made of; undefined for an image without layers. */
  readonly target: Digest | undefined;
  readonly dependencies: readonly Dependency[];
  /** Files that the steps are written in. */
  readonly sources: readonly { readonly name: string; readonly text: string }[];
  /** Vertex → layers that stand after it, base first, for those that the image stands on. */
  readonly layers: ReadonlyMap<Digest, readonly Descriptor[]>;
  readonly vcs: VcsFacts;
  readonly invocationId: string;
  /** Of this program. */
  readonly toolVersion: string;
  /** Milliseconds since the epoch. */
  readonly startedMs: number;
  readonly finishedMs: number;
}

/** A piece of software that an image holds, as a database in the image tells of it. */
export interface Package {
  readonly type: 'deb' | 'apk' | 'npm' | 'pypi' | 'golang';
  readonly name: string;
  readonly version: string;
  readonly architecture?: string;
  /** As written: an SPDX expression, Debian's short names, or anything. */
  readonly licenses: readonly string[];
  /** Name (and version, where it differs) of the source that it was built from. */
  readonly source?: { readonly name: string; readonly version?: string };
  readonly supplier?: string;
  readonly homepage?: string;
  readonly description?: string;
  /** Of what was installed, by algorithm: `SHA512`. */
  readonly checksums?: Readonly<Record<string, string>>;
  /** Where it is told of: a path in the image. */
  readonly foundIn: string;
}

/** What `/etc/os-release` says. */
export interface Distribution {
  /** `debian`. */
  readonly id: string;
  /** `12`. */
  readonly version?: string;
  /** `Debian GNU/Linux 12 (bookworm)`. */
  readonly name: string;
}

/** The files of an image that databases are read from. Paths have no leading slash. */
export interface ImageFiles {
  /** Every path of a regular file, in canonical order. */
  readonly paths: readonly string[];
  /** Those that may be run. */
  readonly executables: readonly string[];
  /** Bytes of a regular file; undefined where it has not as many there. */
  readPart(path: string, offset: number, length: number): Buffer | undefined;
  /** Content as text; undefined where there is no such file, or it is too large. Symbolic links are followed. */
  read(path: string): string | undefined;
  /** The layer that a path is from: its diffID. */
  layerOf(path: string): Digest | undefined;
}

/** What an SBOM tells. */
export interface Inventory {
  readonly distribution?: Distribution;
  /** By type, name and version. */
  readonly packages: readonly Package[];
}

/** Which image an SBOM is about. */
export interface SbomSubject {
  /** The image's name, or what stands for it. */
  readonly name: string;
  /** False for a stage and for the context. */
  readonly isImage: boolean;
  /** Of the manifest; undefined where only files are written. */
  readonly digest?: Digest;
  readonly platform: Platform;
  /** Milliseconds since the epoch. */
  readonly createdMs: number;
  /** Of this program. */
  readonly toolVersion: string;
  layerOf(path: string): Digest | undefined;
}
