import { readFileSync, statSync } from 'node:fs';
import { createContentStore } from '../cache/content-store.ts';
import { openDatabase } from '../cache/database.ts';
import { openDatabaseView } from '../cache/database-view.ts';
import { createImageIndex } from '../cache/image-index.ts';
import { createKeyStore } from '../cache/key-store.ts';
import { createContentOnlyStore } from '../cache/layers/content-only.ts';
import { currentIdMap, dropForeignSnapshots } from '../cache/layers/id-map.ts';
import { createLayerBlobs, type LayerBlobs } from '../cache/layers/layer-blobs.ts';
import { createLayerRows } from '../cache/layers/layer-rows.ts';
import { createLayerStore } from '../cache/layers/layer-store.ts';
import { createTocTrees } from '../cache/layers/toc-trees.ts';
import { createLease, type Lease, NO_LEASE } from '../cache/lease.ts';
import { isStore, openStore, viewStore } from '../cache/store-root.ts';
import type {
  ContentStore,
  Database,
  ImageIndex,
  LayerOrigin,
  LayerRows,
  LayerStore,
  StoreRoot,
} from '../cache/types.ts';
import { isOcibuildError } from '../errors/error.ts';
import type { Descriptor, Digest } from '../image/types.ts';
import type { Resolver } from '../registry/types.ts';
import type { CacheStore } from '../solver/types.ts';
import { forgettingLost } from './cache/lost-layers.ts';
import type { CacheFrom, CacheTo } from './cache/types.ts';
import { createEndReader } from './inputs/blob-end.ts';
import { createBlobFetcher } from './inputs/fetch-blob.ts';

/** The parts of one store, opened together. Dispose to close the database and delete what was discarded. */
export interface Engine extends AsyncDisposable {
  readonly root: StoreRoot;
  readonly db: Database;
  readonly content: ContentStore;
  readonly index: ImageIndex;
  readonly rows: LayerRows;
  readonly layers: LayerStore;
  readonly blobs: LayerBlobs;
  readonly keys: CacheStore;
  /** Keeps what is worked with from being pruned; ends with the engine. */
  readonly lease: Lease;
  readonly registry: () => Promise<Resolver>;
  /** Inside a user namespace: overlay and devices work differently. */
  readonly rootless: boolean;
}

export interface EngineOptions {
  readonly root: string;
  readonly runtime?: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal;
  /**
   * `make`: a store that is not there is made. `change`: it is empty, and not made, for who can only change what is there.
   * `look`: so is one, and what cannot be written, or is another user's, is read as it stands.
   * @default 'make'
   */
  readonly access?: 'make' | 'change' | 'look';
  /** The shared caches of this build, for the credentials in them. */
  readonly caches?: readonly (CacheFrom | CacheTo)[];
  /** A layer's bytes are coming. */
  readonly onFetch?: (descriptor: Descriptor, bytes: number) => void;
  /** A step's layer can no longer be had from there; its record is no hit any more. */
  readonly onLost?: (digest: Digest, origin: LayerOrigin) => void;
  /** Device nodes of a layer could not be made in a user namespace, so what runs there does not see them. */
  readonly onDevicesLeftOut?: (paths: readonly string[]) => void;
  /** The index was damaged, and starts empty. */
  readonly onWarning?: (message: string) => void;
}

/** Picks every implementation: the only place that does. */
export async function openEngine(options: EngineOptions): Promise<Engine> {
  const opened = await openRoot(options);
  try {
    return await assemble(opened, options);
  } catch (error) {
    opened.lease.end();
    opened.db.close();
    throw error;
  }
}

async function assemble({ root, db, lease, isView }: Opened, options: EngineOptions): Promise<Engine> {
  const rootless = inUserNamespace();
  if (!isView) await killLeftContainers(root, rootless, options);
  const content = createContentStore(root, { lease });
  const rows = createLayerRows(db, { now: lease.now });
  const isRoot = process.geteuid?.() === 0;
  if (isRoot && !isView) dropForeignSnapshots(root, rows, currentIdMap());
  let keys: CacheStore | undefined;
  let resolver: Promise<Resolver> | undefined;
  const registry = (): Promise<Resolver> => {
    resolver ??= import('../registry/resolver.ts').then((module) =>
      module.createResolver({ env: options.env }),
    );
    return resolver;
  };
  const fetch = forgettingLost(
    createBlobFetcher({
      ...{ content, registry, env: options.env, caches: options.caches ?? [] },
      onProgress: options.onFetch ?? (() => undefined),
    }),
    { rows, onLost: options.onLost ?? (() => undefined) },
  );
  const blobs = createLayerBlobs({ content, rows, fetch });
  const wholeLayers = createLayerStore({
    ...{ root, content, rows, blobs, lease },
    remoteTree: createTocTrees(blobs, createEndReader(registry)),
    opaqueXattr: rootless ? 'user.overlay.opaque' : 'trusted.overlay.opaque',
    ...(rootless ? { onDevicesLeftOut: options.onDevicesLeftOut ?? (() => undefined) } : {}),
  });
  const contentOnly = isRoot ? undefined : createContentOnlyStore(wholeLayers, blobs, root);
  const layers = contentOnly ?? wholeLayers;
  return {
    root,
    db,
    content,
    index: createImageIndex(root, db, { onUnnamed: lease.unnamed }),
    rows,
    layers,
    blobs,
    get keys() {
      keys ??= createKeyStore(db, { layerAvailable: layers.available, lease });
      return keys;
    },
    registry,
    lease,
    rootless,
    async [Symbol.asyncDispose]() {
      lease.end();
      db.close();
      contentOnly?.discardSnapshots();
      await root.emptyTrash();
    },
  };
}

type Opened = Pick<Engine, 'root' | 'db' | 'lease'> & { readonly isView: boolean };

async function openRoot(options: EngineOptions): Promise<Opened> {
  const { root: dir, signal, env, access = 'make' } = options;
  const view = async (): Promise<Opened> => {
    const root = viewStore(dir);
    const db = await openDatabaseView(root.databaseFile, env.TMPDIR || '/tmp');
    return { root, db, lease: NO_LEASE, isView: true };
  };
  if (access !== 'make' && !isStore(dir)) return view();
  if (access === 'look' && isForeign(dir)) return view();
  try {
    const root = await openStore(dir, { signal });
    const db = await openDatabase(root.databaseFile, {
      ...(options.onWarning === undefined ? {} : { onWarning: options.onWarning }),
    });
    return { root, db, lease: createLease(root, db), isView: false };
  } catch (error) {
    if (access !== 'look' || !isOcibuildError(error) || error.code !== 'STORE_NOT_WRITABLE') throw error;
    return view();
  }
}

/** What root would write into the store of a user, that one could not write again. */
function isForeign(dir: string): boolean {
  return process.geteuid?.() === 0 && statSync(dir, { throwIfNoEntry: false })?.uid !== 0;
}

/** True where user 0 of this process is not the machine's root. @see user_namespaces(7) */
export function inUserNamespace(): boolean {
  try {
    return !/^\s*0\s+0\s+4294967295\s*$/.test(readFileSync('/proc/self/uid_map', 'utf8'));
  } catch {
    return false;
  }
}

async function killLeftContainers(root: StoreRoot, rootless: boolean, options: EngineOptions): Promise<void> {
  if (root.leftBundles.length === 0) return;
  const [{ sweepContainers }, { defaultStateDir }] = await Promise.all([
    import('../executor/reaper.ts'),
    import('../executor/runc.ts'),
  ]);
  const { runtime, env } = options;
  await sweepContainers(root.leftBundles, {
    stateDir: defaultStateDir(root.runDir, rootless),
    ...(runtime === undefined ? {} : { runtime }),
    ...(env.PATH === undefined ? {} : { searchPath: env.PATH }),
  });
  for (const { dir } of root.leftBundles) root.discard(dir);
}
