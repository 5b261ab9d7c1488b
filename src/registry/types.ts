import type { Readable } from 'node:stream';
import type { Reference } from '../image/reference.ts';
import type { Descriptor, Platform } from '../image/types.ts';

/** Name → descriptor → bytes. One for a build; tokens are kept in it. */
export interface Resolver {
  /** HEAD, then GET where needed; `bytes` are the exact bytes, verified against the digest.
   * @throws REGISTRY_* codes. */
  resolve(
    ref: Reference,
    options: { signal: AbortSignal },
  ): Promise<{ descriptor: Descriptor; bytes: Buffer }>;
  fetcher(ref: Reference): Fetcher;
}

export interface Fetcher {
  /** A manifest, index or config: read whole (4 MiB cap), verified. */
  fetchBytes(descriptor: Descriptor, options: { signal: AbortSignal }): Promise<Buffer>;
  /** A layer; the consumer verifies digest and size on the way. Retries and resumes by itself. */
  fetchBlob(descriptor: Descriptor, options: { signal: AbortSignal }): Promise<Readable>;
}

export interface ResolverOptions {
  /** Hosts to talk plain HTTP to; loopback hosts always are. */
  readonly plainHttp?: readonly string[];
  /** Proxy variables and CA settings are taken from here. */
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** Picks one manifest of an index. */
export type PlatformMatcher = (platforms: readonly (Platform | undefined)[], wanted: Platform) => number;
