import type { HttpRequest, HttpResponse } from '../../http/transport.ts';
import type { BlobPart } from '../blob-parts.ts';

/** One entry of the service: it never changes. */
export interface GhaEntry {
  readonly key: string;
  /** Signed: no token is needed, and none is sent. It ends after a while. */
  readonly url: URL;
}

/** An entry that is being written. */
export interface GhaUpload {
  /** Parts may go side by side. */
  send(part: BlobPart, signal: AbortSignal): Promise<void>;
  /** Until then nobody sees the entry. */
  finish(total: { readonly parts: number; readonly bytes: number }, signal: AbortSignal): Promise<void>;
}

/** The cache service of GitHub Actions, in either of its protocols. */
export interface GhaService {
  /** The newest entry whose key begins so, of a ref that the job may read. */
  find(prefix: string, signal: AbortSignal): Promise<GhaEntry | undefined>;
  /** Claims a key; `taken` where it is there already, or somebody writes it. */
  reserve(key: string, size: number, signal: AbortSignal): Promise<GhaUpload | 'taken'>;
}

export type GhaSend = <T>(
  request: HttpRequest,
  how: {
    /** For messages: `write "KEY" to the GitHub cache`. */
    readonly action: string;
    /** Statuses beside 2xx that `use` takes. */
    readonly accepts?: readonly number[];
  },
  use: (response: HttpResponse) => Promise<T>,
) => Promise<T>;

export type GhaJson = Readonly<Record<string, unknown>>;
