import { mkdirSync } from 'node:fs';
import type { CacheMounts, Database, LayerOrigin } from '../../cache/types.ts';
import { isOcibuildError, throwIfAborted } from '../../errors/error.ts';
import type { Descriptor, Digest } from '../../image/types.ts';
import { fsPath } from '../../layer/path-bytes.ts';
import type { Definition } from '../../llb/definition.ts';
import type { CachedMount } from '../../remotecache/types.ts';
import type { EventSink } from '../../solver/types.ts';
import type { Engine } from '../engine.ts';
import type { ImportedCaches } from './imported-caches.ts';

/** In a cache mount lie plain files: the mark that layers use for opaque directories has no meaning there. */
const OPAQUE_XATTR = 'user.overlay.opaque';

/** Cache mounts as blobs, and where those can be had that are not here. */
export interface PackedMounts {
  readonly mounts: readonly CachedMount[];
  readonly origins: ReadonlyMap<Digest, LayerOrigin>;
  /** Drops the blobs that were only made to travel. */
  discard(): void;
}

/** Ids of the cache mounts that the steps of a graph name. */
export function mountIds({ vertices }: Definition): readonly string[] {
  const ids = [...vertices.values()].flatMap(({ op }) =>
    op.kind === 'exec' ? op.mounts.flatMap((mount) => (mount.type === 'cache' ? [mount.id] : [])) : [],
  );
  return [...new Set(ids)].sort();
}

export interface PackMountsOptions {
  readonly engine: Pick<Engine, 'root' | 'db' | 'content'>;
  readonly cacheMounts: CacheMounts;
  /** What is not here, because no step ran, is passed on from there. */
  readonly imported: Pick<ImportedCaches, 'mounts'>;
  readonly signal: AbortSignal;
}

/** Packs cache mounts, each while nobody uses it. */
export async function packMounts(
  ids: readonly string[],
  { engine, cacheMounts, imported, signal }: PackMountsOptions,
): Promise<PackedMounts> {
  const mounts: CachedMount[] = [];
  const made: Digest[] = [];
  const origins = new Map<Digest, LayerOrigin>();
  for (const { id, base } of storedMounts(engine.db, ids)) {
    const lease = await cacheMounts.acquire([{ id, base, sharing: 'locked' }], {
      anew: false,
      signal,
      fill: async () => undefined,
    });
    try {
      const { diffId, descriptor, isNew } = await packDirectory(lease.dirs[0] ?? '', engine, signal);
      if (isNew) made.push(descriptor.digest);
      mounts.push({ id, base, diffId, descriptor });
    } finally {
      lease.release();
    }
  }
  for (const { what, origin } of imported.mounts()) {
    const isHere = mounts.some(({ id, base }) => id === what.id && base === what.base);
    if (isHere || !ids.includes(what.id)) continue;
    mounts.push(what);
    origins.set(what.descriptor.digest, origin);
  }
  return {
    ...{ mounts, origins },
    discard() {
      for (const digest of made) engine.content.drop(digest);
    },
  };
}

function storedMounts(db: Database, ids: readonly string[]): readonly { id: string; base: string }[] {
  return ids.flatMap((id) =>
    db
      .all(
        'SELECT DISTINCT base FROM cache_mounts WHERE id = ? AND ready = 1 AND stale = 0 ORDER BY base',
        id,
      )
      .map(({ base }) => ({ id, base: String(base) })),
  );
}

async function packDirectory(
  dir: string,
  { content }: Pick<Engine, 'content'>,
  signal: AbortSignal,
): Promise<{ diffId: Digest; descriptor: Descriptor; isNew: boolean }> {
  const [{ diffUpper }, { packLayer }] = await Promise.all([
    import('../../layer/tree/diff-upper.ts'),
    import('../../layer/pack-layer.ts'),
  ]);
  const tree = diffUpper(dir, { opaqueXattr: OPAQUE_XATTR, withRoot: true }).filter(
    ({ type }) => type !== 'socket',
  );
  const dest = content.tempFile();
  const packed = await packLayer(tree, {
    compression: 'zstd',
    dest,
    content: ({ path }) => ({ path: fsPath(`${dir}/${path}`) }),
    previous: [],
    signal,
  });
  const { digest, size, mediaType, diffId } = packed;
  const isNew = content.stat(digest) === undefined;
  content.ingest(dest, digest, size);
  return { diffId, descriptor: { mediaType, digest, size }, isNew };
}

export interface RestoreOptions {
  readonly engine: Pick<Engine, 'content' | 'blobs' | 'rootless' | 'root'>;
  readonly imported: Pick<ImportedCaches, 'ready' | 'mount'>;
  readonly emit: EventSink;
}

/** Cache mounts that begin with what an imported cache has of them; nothing is fetched before a step asks. */
export function restoringMounts(
  mounts: CacheMounts,
  { engine, imported, emit }: RestoreOptions,
): CacheMounts {
  return {
    acquire: (wishes, options) =>
      mounts.acquire(wishes, {
        ...options,
        async fill(wish, dir) {
          await imported.ready();
          const found = options.anew ? undefined : imported.mount(wish.id, wish.base);
          if (found === undefined) return options.fill(wish, dir);
          const { descriptor, diffId } = found.what;
          const wasHere = engine.content.stat(descriptor.digest) === descriptor.size;
          try {
            if (!wasHere) await engine.blobs.bring(found.origin, descriptor, options.signal);
            const { unpackLayer } = await import('../../layer/unpack-layer.ts');
            await unpackLayer(
              { path: engine.content.path(descriptor.digest) },
              {
                ...{ digest: descriptor.digest, size: descriptor.size, diffId },
                ...{ dest: dir, opaqueXattr: OPAQUE_XATTR, ignoreDevices: engine.rootless },
                signal: options.signal,
              },
            );
          } catch (error) {
            throwIfAborted(options.signal);
            if (!isOcibuildError(error)) throw error;
            const message = `Cannot restore the cache mount "${wish.id}", so it starts anew: ${error.message}`;
            emit({ kind: 'warning', time: Date.now(), message });
            engine.root.discard(dir);
            mkdirSync(dir);
            await options.fill(wish, dir);
          } finally {
            if (!wasHere) engine.content.drop(descriptor.digest);
          }
        },
      }),
  };
}
