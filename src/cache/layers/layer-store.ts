import { createHash } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { isOcibuildError } from '../../errors/error.ts';
import { EMPTY_LAYER, type LayerId } from '../../layer/layer-id.ts';
import { fsPath } from '../../layer/path-bytes.ts';
import { noteImplied } from '../../layer/tree/implied-directories.ts';
import type { ChunkIndex, Tree } from '../../layer/types.ts';
import { errnoOf, writeFileAtomic } from '../../util/atomic-fs.ts';
import { readJson } from '../../util/read-json.ts';
import type { Lease } from '../lease.ts';
import { layerUnavailable, storeError } from '../store-error.ts';
import type {
  BlobOptions,
  ContentStore,
  LayerBlob,
  LayerRow,
  LayerRows,
  LayerStore,
  NewFilesLayer,
  StoreRoot,
} from '../types.ts';
import { earlierFiles } from './earlier-files.ts';
import { createEstargzBlobs } from './estargz-blobs.ts';
import { formKey, isBase, mayStayRemote, mustChange, type TarBlobOptions, tarForm } from './layer-blob.ts';
import type { LayerBlobs } from './layer-blobs.ts';
import { createMutableLayer } from './mutable-layer.ts';
import { createPackings } from './packings.ts';

export interface LayerStoreDeps {
  readonly root: StoreRoot;
  readonly content: ContentStore;
  readonly rows: LayerRows;
  readonly blobs: LayerBlobs;
  readonly lease?: Pick<Lease, 'layers'>;
  /** The tree of a layer that is elsewhere, where it can be had without the layer. */
  readonly remoteTree?: (id: LayerId, signal: AbortSignal) => Promise<Tree | undefined>;
  /** How an opaque directory is marked where overlay is mounted with or without privileges. */
  readonly opaqueXattr: 'trusted.overlay.opaque' | 'user.overlay.opaque';
  /** Given where the kernel makes no device nodes: snapshots lack them then, trees and blobs keep them. */
  readonly onDevicesLeftOut?: (paths: readonly string[]) => void;
}

/** Earlier blobs to look for equal members in: more only costs opening them. */
const MAX_PREVIOUS = 2;

export function createLayerStore(deps: LayerStoreDeps): LayerStore {
  const { root, content, rows, blobs, opaqueXattr } = deps;
  const { rowsOf, isHere } = blobs;
  const estargzOf = createEstargzBlobs(root, content);
  const ignoreDevices = deps.onDevicesLeftOut !== undefined;
  /** Before the layer is looked at: nobody prunes it from now on. */
  const use = (id: LayerId): void => deps.lease?.layers([id]);
  const trees = new Map<LayerId, Promise<Tree>>();
  const flights = new Map<string, Promise<unknown>>();
  const mounted = new Set<LayerId>();
  /** Earlier versions of layers made here: a blob may be asked for when the step is long over. */
  const earlier = new Map<LayerId, readonly LayerId[]>();
  const packings = createPackings(content);
  const snapshotPath = (name: string): string => join(root.snapshotsDir, name, 'fs');
  const treeFile = (id: LayerId): string => join(root.treesDir, `${fileName(id)}.json`);
  const chunksFile = (id: LayerId): string => join(root.treesDir, `${fileName(id)}.chunks.json`);

  const snapshotOf = (row: LayerRow): string | undefined => {
    if (row.snapshot === undefined) return undefined;
    const path = snapshotPath(row.snapshot);
    return existsSync(path) ? path : undefined;
  };
  const readySnapshot = (id: LayerId): string | undefined => {
    use(id);
    return rowsOf(id)
      .map(snapshotOf)
      .find((path) => path !== undefined);
  };
  /** One maker for each form at a time; who comes later gets the same result. */
  async function once<T>(key: string, make: () => Promise<T>): Promise<T> {
    const known = flights.get(key) as Promise<T> | undefined;
    if (known !== undefined) return known;
    const promise = make().finally(() => flights.delete(key));
    promise.catch(() => undefined);
    flights.set(key, promise);
    return promise;
  }

  const saveTree = (id: LayerId, tree: Tree): void => {
    write(treeFile(id), JSON.stringify(tree));
    trees.set(id, Promise.resolve(tree));
  };

  async function loadTree(id: LayerId, signal: AbortSignal): Promise<Tree> {
    // Whoever unpacks a layer saves its tree: reading the blob beside that would be a second pass.
    await flights.get(`snapshot ${id}`)?.catch(() => undefined);
    for (const row of rowsOf(id)) {
      const tree = row.hasTree ? readJson<Tree>(treeFile(row.id)) : undefined;
      if (tree !== undefined) return tree;
    }
    const snapshot = readySnapshot(id);
    if (snapshot !== undefined) {
      const { diffUpper } = await import('../../layer/tree/diff-upper.ts');
      return diffUpper(snapshot, { opaqueXattr });
    }
    const listed = await deps.remoteTree?.(id, signal);
    if (listed !== undefined) return listed;
    if (mounted.has(id)) {
      await store.snapshot(id, signal);
      return loadTree(id, signal);
    }
    const { readTree } = await import('../../layer/unpack-layer.ts');
    const read = await blobs.read(
      id,
      (source, expected, either) => readTree(source, { ...expected, signal: either }),
      signal,
    );
    if (read === undefined) throw layerUnavailable(id);
    const { tree } = read;
    try {
      saveTree(id, tree);
      rows.put(id, { hasTree: true });
    } catch (error) {
      // Whoever only looks at a store that cannot be written has what was asked for.
      if (!isOcibuildError(error)) throw error;
    }
    return tree;
  }

  /** Puts a finished directory into place; a process that was quicker wins. */
  function adopt(dir: string, id: LayerId): string {
    const name = fileName(id);
    try {
      renameSync(dir, join(root.snapshotsDir, name));
    } catch (error) {
      if (!['ENOTEMPTY', 'EEXIST'].includes(errnoOf(error) ?? '')) throw storeError(error, dir);
      root.discard(dir);
    }
    rows.put(id, { snapshot: name });
    return snapshotPath(name);
  }

  async function makeSnapshot(id: LayerId, signal: AbortSignal): Promise<string> {
    const { unpackLayer } = await import('../../layer/unpack-layer.ts');
    return inTemp(async (dir) => {
      const dest = join(dir, 'fs');
      mkdirSync(dest);
      const how = { dest, opaqueXattr, ignoreDevices, plainRoot: true };
      const unpacked = await blobs.read(
        id,
        (source, expected, either) => unpackLayer(source, { ...expected, ...how, signal: either }),
        signal,
      );
      if (unpacked === undefined) throw layerUnavailable(id);
      noteImplied(dest, unpacked.tree);
      keepTree(id, unpacked.tree);
      return adopt(dir, id);
    });
  }

  /** For a snapshot that lacks the tree's device nodes where the kernel makes none. */
  function keepTree(id: LayerId, tree: Tree): void {
    const devices = tree.filter(({ type }) => type === 'char' || type === 'block');
    if (devices.length > 0) deps.onDevicesLeftOut?.(devices.map(({ path }) => `/${path}`));
    saveTree(id, tree);
    rows.put(id, { hasTree: true });
  }

  /** A directory in tmp/ that is thrown away unless it was moved into place. */
  async function inTemp<T>(body: (dir: string) => Promise<T>): Promise<T> {
    const dir = root.tempPath();
    try {
      mkdirSync(dir, { mode: 0o700 });
      return await body(dir);
    } catch (error) {
      root.discard(dir);
      throw error;
    }
  }

  async function pack(
    id: LayerId,
    tree: Tree,
    contentOf: NewFilesLayer['content'],
    options: PackContext,
  ): Promise<LayerBlob> {
    const { packLayer } = await import('../../layer/pack-layer.ts');
    const dest = content.tempFile();
    const { compression, level, onProgress, signal } = options;
    const sockets = tree.filter(({ type }) => type === 'socket');
    const packable = sockets.length === 0 ? tree : tree.filter(({ type }) => type !== 'socket');
    const packed = await packLayer(packable, {
      compression,
      ...(level === undefined ? {} : { level }),
      dest,
      content: contentOf,
      previous: (earlier.get(id) ?? []).flatMap(previousBlob).slice(0, MAX_PREVIOUS),
      signal,
      ...(onProgress === undefined ? {} : { onProgress }),
    });
    content.ingest(dest, packed.digest, packed.size);
    const { sortTree } = await import('../../layer/tree/tree.ts');
    saveTree(id, sockets.length === 0 ? packed.tree : sortTree([...packed.tree, ...sockets]));
    if (packed.index !== undefined) write(chunksFile(id), JSON.stringify(packed.index));
    rows.put(id, {
      diffId: packed.diffId,
      blobDigest: packed.digest,
      blobSize: packed.size,
      mediaType: packed.mediaType,
      tarSize: packed.tarSize,
      // What a shared cache has may be another blob.
      ...(rows.get(id)?.blobDigest === packed.digest ? {} : { origin: null }),
      hasTree: true,
      hasChunkIndex: packed.index !== undefined,
    });
    const { diffId, digest, size, mediaType } = packed;
    const blob = { descriptor: { mediaType, digest, size }, diffId, path: content.path(digest) };
    packings.set(formKey(id, options), blob);
    return blob;
  }

  function previousBlob(id: LayerId): { blob: string; index: ChunkIndex }[] {
    use(id);
    const row = id === EMPTY_LAYER ? undefined : rows.get(id);
    if (row === undefined || !row.hasChunkIndex || !isHere(row)) return [];
    const index = readJson<ChunkIndex>(chunksFile(id));
    return index === undefined ? [] : [{ blob: content.path(row.blobDigest), index }];
  }

  const store: LayerStore = {
    addBase({ diffId, descriptor, origin }) {
      use(diffId);
      const known = rows.get(diffId);
      const same = known?.blobDigest === descriptor.digest;
      // A copy that is here beats one that would have to be fetched.
      if (known !== undefined && !same && isHere(known)) return diffId;
      const { annotations = same ? known?.annotations : undefined } = descriptor;
      const isKnown = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);
      if (
        same &&
        isKnown(known?.origin, origin ?? known?.origin) &&
        isKnown(known?.annotations, annotations)
      ) {
        return diffId;
      }
      rows.put(diffId, {
        diffId,
        blobDigest: descriptor.digest,
        blobSize: descriptor.size,
        mediaType: descriptor.mediaType,
        annotations: annotations ?? null,
        urls: descriptor.urls ?? null,
        ...(origin === undefined ? {} : { origin }),
      });
      return diffId;
    },

    willMount(ids) {
      for (const id of ids) mounted.add(id);
    },

    available(id) {
      if (id === EMPTY_LAYER) return true;
      use(id);
      return rowsOf(id).some(
        (row) => isHere(row) || snapshotOf(row) !== undefined || row.origin !== undefined,
      );
    },

    hasSnapshot: (id) => id !== EMPTY_LAYER && readySnapshot(id) !== undefined,

    tree(id, signal) {
      if (id === EMPTY_LAYER) return Promise.resolve([]);
      use(id);
      let tree = trees.get(id);
      if (tree === undefined) {
        tree = loadTree(id, signal);
        trees.set(id, tree);
        tree.catch(() => trees.delete(id));
      }
      return tree;
    },

    async snapshot(id, signal) {
      return readySnapshot(id) ?? once(`snapshot ${id}`, () => makeSnapshot(id, signal));
    },

    fileIn: (snapshot, path) => ({ path: fsPath(`${snapshot}/${path}`) }),

    blob(id, options, signal) {
      const key = formKey(id, options);
      use(id);
      return once(key, async () => {
        if (options.compression === 'estargz') return asEstargz(id, options, signal);
        const remote = options.mayBeRemote === true ? blobs.remote(id) : undefined;
        if (remote !== undefined && mayStayRemote(id, remote, options)) return remote;
        const packed = packings.get(key);
        const known = packed ?? (await blobs.local(id, signal));
        const isRight = packed !== undefined || options.asIs === true;
        if (known !== undefined && (isRight || !mustChange(id, known, options))) return known;
        if (known !== undefined && isBase(id)) {
          const blob = await recompressed(known, tarForm(options), signal);
          packings.set(key, blob);
          return blob;
        }
        const snapshot = await store.snapshot(id, signal);
        const tree = await store.tree(id, signal);
        return pack(id, tree, (entry) => store.fileIn(snapshot, entry.path), {
          ...tarForm(options),
          signal,
        });
      });
    },

    forgetTrees() {
      for (const id of trees.keys()) if (!isBase(id)) trees.delete(id);
      earlier.clear();
      packings.rest();
    },

    async settled() {
      while (flights.size > 0) await Promise.allSettled(flights.values());
      await blobs.settled();
    },

    newMutable: (lower) => createMutableLayer(lower, { root, adopt }),

    async addFiles(layer, signal) {
      const id: LayerId = `files-${createHash('sha256').update(JSON.stringify(layer.tree)).digest('hex')}`;
      use(id);
      const previous = layer.previous ?? [];
      earlier.set(id, previous);
      return once(`files ${id}`, async () => {
        const row = rows.get(id);
        if (layer.snapshot && (row === undefined || snapshotOf(row) === undefined)) {
          await inTemp(async (dir) => {
            const { writeTree } = await import('../../layer/tree/write-tree.ts');
            const target = join(dir, 'fs');
            mkdirSync(target);
            // The root of all steps above: mkdir's mode is cut by the umask.
            chmodSync(target, 0o755);
            const tree = (each: LayerId): Promise<Tree> => store.tree(each, signal);
            const same = await earlierFiles(previous, { use, rows, snapshotOf, tree });
            const how = { content: layer.content, same, opaqueXattr, ignoreDevices, signal };
            await writeTree(target, layer.tree, how);
            keepTree(id, layer.tree);
            return adopt(dir, id);
          });
        }
        if (!layer.snapshot && layer.blob !== undefined && (row === undefined || !isHere(row))) {
          await pack(id, layer.tree, layer.content, { ...tarForm(layer.blob), signal });
        }
        return id;
      });
    },

    dropBlob(digest) {
      content.drop(digest);
      packings.clear();
      for (const { id, origin } of rows.byBlob(digest)) {
        if (origin === undefined) rows.update(id, { blobDigest: null, blobSize: null, hasChunkIndex: false });
      }
    },
  };
  return store;

  /** A base image's layers stay as they came unless told otherwise. */
  async function asEstargz(id: LayerId, options: BlobOptions, signal: AbortSignal): Promise<LayerBlob> {
    const { level, force, mayBeRemote = false } = options;
    if (isBase(id) && force !== true) return store.blob(id, { ...tarForm(options), mayBeRemote }, signal);
    return estargzOf(await store.blob(id, tarForm(options), signal), { level, signal });
  }

  async function recompressed(blob: LayerBlob, options: TarBlobOptions, signal: AbortSignal) {
    const { recompress } = await import('../../layer/compression/recompress.ts');
    const dest = content.tempFile();
    const { compression, level } = options;
    const how = { compression, ...(level === undefined ? {} : { level }), signal };
    const descriptor = await recompress(blob.path, dest, { from: blob.descriptor, ...how });
    content.ingest(dest, descriptor.digest, descriptor.size);
    return { descriptor, diffId: blob.diffId, path: content.path(descriptor.digest) };
  }

  function write(file: string, text: string): void {
    try {
      writeFileAtomic(file, Buffer.from(text), { temp: root.tempPath() });
    } catch (error) {
      throw storeError(error, file);
    }
  }
}

interface PackContext extends TarBlobOptions {
  readonly signal: AbortSignal;
}

/** Ids become file names. */
function fileName(id: LayerId): string {
  return id.replace(':', '-');
}
