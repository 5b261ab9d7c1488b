import type { ContentStore, LayerBlob } from '../types.ts';

/** Blobs of layers by how they were asked for: a row knows one blob, and not its level. */
export interface Packings {
  /** Undefined where there was none, or its bytes are gone. */
  get(key: string): LayerBlob | undefined;
  set(key: string, blob: LayerBlob): void;
  /** Between builds: lets go of what neither the last one nor the one before it asked for. */
  rest(): void;
  clear(): void;
}

export function createPackings(content: Pick<ContentStore, 'stat'>): Packings {
  let now = new Map<string, LayerBlob>();
  let before = new Map<string, LayerBlob>();
  return {
    get(key) {
      const blob = now.get(key) ?? before.get(key);
      if (blob === undefined || content.stat(blob.descriptor.digest) !== blob.descriptor.size)
        return undefined;
      now.set(key, blob);
      return blob;
    },
    set: (key, blob) => void now.set(key, blob),
    rest() {
      before = now;
      now = new Map();
    },
    clear() {
      now.clear();
      before.clear();
    },
  };
}
