import type { Readable } from 'node:stream';
import type { Reference } from '../image/reference.ts';
import type { Descriptor, Digest } from '../image/types.ts';
import type { CredentialStore } from './credentials.ts';

/** Name → descriptor → bytes. One for a build; tokens are kept in it. */
export interface Resolver {
  /** HEAD, then GET where needed; `bytes` are the exact bytes, verified against the digest.
   * @throws REGISTRY_* codes. */
  resolve(ref: Reference, options: ResolveOptions): Promise<ResolvedManifest>;
  /** Manifests of the repository whose subject is this one. @throws REGISTRY_* */
  referrers(
    ref: Reference,
    digest: Digest,
    options: { readonly signal: AbortSignal },
  ): Promise<readonly Descriptor[]>;
  fetcher(ref: Reference): Fetcher;
  pusher(ref: Reference): Pusher;
  /** A layer from the addresses that its descriptor has, as `fetchBlob` gives one. @throws REGISTRY_* */
  fetchExternal: Fetcher['fetchBlob'];
}

/** Writes to one repository. Digests that the registry tells are compared. */
export interface Pusher {
  /** Makes a blob exist: nothing is sent where it is there, or where it can be mounted from `mountFrom`. Breaks are
   * taken up where they happened. @throws REGISTRY_* */
  pushBlob(
    descriptor: Descriptor,
    open: OpenPart,
    options: PushBlobOptions,
  ): Promise<'exists' | 'mounted' | 'uploaded'>;
  /** A manifest or an index, byte for byte, under a tag or its digest. What it refers to is there already. One with a
   * subject is listed as its referrer. */
  pushManifest(
    descriptor: Descriptor,
    bytes: Uint8Array,
    options: { readonly signal: AbortSignal; readonly tag?: string },
  ): Promise<void>;
}

/** Opens a part of a blob; asked only when bytes must really move. */
export type OpenPart = (offset: number, length: number) => Readable | Promise<Readable>;

export interface PushBlobOptions {
  readonly signal: AbortSignal;
  /** A repository of the same registry that may have the blob. */
  readonly mountFrom?: string;
  readonly onProgress?: (bytes: number) => void;
}

export interface ResolveOptions {
  readonly signal: AbortSignal;
  /** Asked for the bytes of a manifest before they are fetched. Where it is given, a tag costs a HEAD only as
   * long as it points to something that is known. */
  readonly known?: (digest: Digest) => Promise<Buffer | undefined>;
}

export interface ResolvedManifest {
  /** Of the manifest or index that the name stands for. */
  readonly descriptor: Descriptor;
  readonly bytes: Buffer;
}

export interface Fetcher {
  /** A manifest, index or config: read whole (4 MiB cap), verified. */
  fetchBytes(descriptor: Descriptor, options: { signal: AbortSignal }): Promise<Buffer>;
  /** A layer, or what follows its first `offset` bytes; the consumer verifies digest and size on the way. Retries and
   * resumes by itself. What the repository lacks is looked for at the addresses of the descriptor. */
  fetchBlob(descriptor: Descriptor, options: { signal: AbortSignal; offset?: number }): Promise<Readable>;
}

export interface ResolverOptions {
  /** Hosts to talk plain HTTP to; loopback hosts always are. */
  readonly plainHttp?: readonly string[];
  /** Registries whose certificates are not checked. */
  readonly skipVerify?: readonly string[];
  /** Proxy variables, CA settings and the places of credential files are taken from here. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** @default the files and helpers that `env` leads to */
  readonly credentials?: CredentialStore;
  /** Pause before the second try; it doubles up to eight times that. @default 1000 */
  readonly retryDelayMs?: number;
  /** How long to wait for an answer, or for the next bytes of one. @default 60_000 */
  readonly timeoutMs?: number;
}
