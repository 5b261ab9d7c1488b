import { availableParallelism } from 'node:os';
import type { Descriptor, Digest } from '../../image/types.ts';
import type { LayerId } from '../../layer/layer-id.ts';
import type { ExpectedBlob } from '../../layer/layer-stream.ts';
import type { LayerSource } from '../../layer/unpack-layer.ts';
import { createSlots } from '../../util/slots.ts';
import type {
  BlobFlight,
  ContentStore,
  FetchBlob,
  LayerBlob,
  LayerOrigin,
  LayerRow,
  LayerRows,
} from '../types.ts';
import { descriptorOf } from './layer-blob.ts';

/** The blobs of layers: here, on their way, or elsewhere. */
export interface LayerBlobs {
  /** The row of a layer and of others with the same bytes: a form of any of them will do. */
  rowsOf(id: LayerId): readonly LayerRow[];
  isHere(row: LayerRow): row is LayerRow & { readonly blobDigest: Digest };
  /** The blob's file; fetched when it is not there. Undefined where it is nowhere. */
  local(id: LayerId, signal: AbortSignal): Promise<LayerBlob | undefined>;
  /** Fetches a blob that is not here. */
  bring(origin: LayerOrigin, descriptor: Descriptor, signal: AbortSignal): Promise<void>;
  /** What is known of a blob that is elsewhere. */
  remote(id: LayerId): LayerBlob | undefined;
  /**
   * Gives the bytes to `use`, while they are fetched where they are not here. When this resolves they were the right
   * ones; when it rejects, what `use` made of them is to be thrown away.
   * Undefined where the blob is nowhere.
   * @throws what `use` throws, what the fetch throws
   */
  read<T>(id: LayerId, use: BlobReader<T>, signal: AbortSignal): Promise<T | undefined>;
  /** Waits until nothing is fetched any more. */
  settled(): Promise<void>;
}

export type BlobReader<T> = (source: LayerSource, expected: ExpectedBlob, signal: AbortSignal) => Promise<T>;

/** Each takes two threads, one of them to decompress, and 20 MB. */
const READERS_AT_ONCE = availableParallelism() > 2 ? 3 : 2;

export function createLayerBlobs({
  content,
  rows,
  fetch,
}: {
  readonly content: ContentStore;
  readonly rows: LayerRows;
  readonly fetch: FetchBlob;
}): LayerBlobs {
  const flights = new Map<Digest, BlobFlight>();
  const readers = createSlots(READERS_AT_ONCE);

  const rowsOf = (id: LayerId): readonly LayerRow[] => {
    const own = rows.get(id);
    const diffId = own?.diffId;
    const others = diffId === undefined ? [] : rows.byDiffId(diffId).filter((row) => row.id !== id);
    return own === undefined ? others : [own, ...others];
  };
  const isHere = (row: LayerRow): row is LayerRow & { blobDigest: Digest } =>
    row.blobDigest !== undefined && content.peek(row.blobDigest) === row.blobSize;

  /** One fetch of a blob at a time, whoever asks for it. */
  function flightOf(origin: LayerOrigin, descriptor: Descriptor, signal: AbortSignal): BlobFlight {
    const known = flights.get(descriptor.digest);
    if (known !== undefined) return known;
    const flight = fetch(origin, descriptor, signal);
    flights.set(descriptor.digest, flight);
    const forget = (): void => void flights.delete(descriptor.digest);
    flight.done.then(forget, forget);
    return flight;
  }

  function find(id: LayerId, signal: AbortSignal): { blob: LayerBlob; flight?: BlobFlight } | undefined {
    for (const row of rowsOf(id)) {
      const blob = blobOf(row);
      if (blob === undefined) continue;
      if (isHere(row)) return { blob };
      if (row.origin !== undefined)
        return { blob, flight: flightOf(row.origin as LayerOrigin, blob.descriptor, signal) };
    }
    return undefined;
  }

  function blobOf(row: LayerRow): LayerBlob | undefined {
    const descriptor = descriptorOf(row);
    if (descriptor === undefined || row.diffId === undefined) return undefined;
    return { descriptor, diffId: row.diffId, path: content.path(descriptor.digest) };
  }

  async function inTurn<T>(body: () => Promise<T>, signal: AbortSignal): Promise<T> {
    const release = await readers.take(signal);
    try {
      return await body();
    } finally {
      release();
    }
  }

  return {
    rowsOf,
    isHere,
    async local(id, signal) {
      const found = find(id, signal);
      await found?.flight?.done;
      return found?.blob;
    },
    bring: (origin, descriptor, signal) => flightOf(origin, descriptor, signal).done,
    remote(id) {
      const found = rowsOf(id);
      const row = found.some(isHere) ? undefined : found.find(({ origin }) => origin !== undefined);
      return row === undefined ? undefined : blobOf(row);
    },
    async read(id, use, signal) {
      const found = find(id, signal);
      if (found === undefined) return undefined;
      const { flight } = found;
      const { path, diffId, descriptor } = found.blob;
      const { digest, size } = descriptor;
      if (flight === undefined) return inTurn(() => use({ path }, { digest, size, diffId }, signal), signal);
      using growing = flight.open();
      const failed = new AbortController();
      flight.done.catch((error: unknown) => failed.abort(error));
      const either = AbortSignal.any([signal, failed.signal]);
      // The fetch checks the digest.
      const reading = inTurn(() => use({ growing }, { size, diffId }, either), either);
      const [fetched, read] = await Promise.allSettled([flight.done, reading]);
      // Damage in transit shows up first as nonsense in the archive; the fetch tells the real reason.
      if (fetched.status === 'rejected') throw fetched.reason;
      if (read.status === 'rejected') throw read.reason;
      return read.value;
    },
    async settled() {
      await Promise.allSettled([...flights.values()].map(({ done }) => done));
    },
  };
}
