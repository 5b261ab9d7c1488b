import { lstatSync } from 'node:fs';
import { listDir } from '../../cache/list-dir.ts';
import type { LayerOrigin, LayerRow } from '../../cache/types.ts';
import { isDigest } from '../../image/digest.ts';
import type { Digest } from '../../image/types.ts';
import { GRACE_MS, isUsed, type SurveyContext } from './holds.ts';
import type { StoreItem } from './types.ts';

/** Blobs of layers, downloads, and what is left of images; documents of an image are one item. */
export function blobItems(context: SurveyContext): StoreItem[] {
  const { root, db, rows, holds, nowMs } = context;
  const byDigest = Map.groupBy(rows.list(), ({ blobDigest }) => blobDigest);
  const uses = new Map(
    db
      .all('SELECT digest, used_ms, uses FROM blob_uses')
      .map((row) => [String(row.digest), { usedMs: Number(row.used_ms), uses: Number(row.uses) }]),
  );
  const downloads = downloadsOf(context);
  const documents = new Map<string, StoreItem>();
  /** Base images of which an image holds something: their documents stay as long as that does. */
  const sharedBases = new Set(
    [...holds.fetched].flatMap(([digest, names]) => (holds.images.has(digest) ? names : [])),
  );
  const items: StoreItem[] = [];
  for (const name of listDir(root.blobsDir)) {
    const digest: Digest = `sha256:${name}`;
    const stat = isDigest(digest)
      ? lstatSync(`${root.blobsDir}/${name}`, { throwIfNoEntry: false })
      : undefined;
    if (stat === undefined) continue;
    const layers = byDigest.get(digest) ?? [];
    const use = uses.get(digest);
    const times = [...layers.map(({ usedMs }) => usedMs), ...(use === undefined ? [] : [use.usedMs])];
    const usedMs = times.length === 0 ? stat.mtimeMs : Math.max(...times);
    const inUse =
      holds.reading.has(digest) ||
      layers.some((row) => isUsed(row, context)) ||
      (times.length === 0 ? nowMs - stat.mtimeMs < GRACE_MS : usedMs >= holds.horizon);
    const images = holds.images.get(digest);
    const bases = holds.fetched.get(digest) ?? [];
    const bytes = stat.blocks * 512;
    const about = {
      ...{ bytes, inUse, mutable: false, images: [...(images ?? []), ...bases] },
      shared: images !== undefined || (layers.length === 0 && bases.some((name) => sharedBases.has(name))),
      ...{ createdMs: stat.birthtimeMs || stat.mtimeMs, usedMs },
      uses: Math.max(use?.uses ?? 0, ...layers.map((row) => row.uses)),
      reclaimable: !inUse && images === undefined,
    };
    if (images !== undefined && layers.length === 0) {
      const key = images.join(', ');
      const known = documents.get(key);
      const whole = { ...about, id: digest, type: 'image', description: key } as const;
      documents.set(key, {
        ...whole,
        ...(known === undefined
          ? {}
          : { bytes: known.bytes + bytes, usedMs: Math.max(known.usedMs, usedMs), id: known.id }),
        target: { kind: 'kept' },
      });
      continue;
    }
    const url = downloads.get(digest);
    items.push({
      ...about,
      id: digest,
      type: url !== undefined && layers.length === 0 ? 'source.http' : 'regular',
      form: 'blob',
      ...(layers[0] === undefined ? {} : { layer: layers[0].id }),
      description: url ?? layerName(layers, context) ?? baseName(bases) ?? 'blob of no image',
      target: { kind: 'blob', digest },
    });
  }
  return [...documents.values(), ...items];
}

/** What a layer is, for people. */
export function layerName(layers: readonly LayerRow[], { nameOf, holds }: SurveyContext): string | undefined {
  for (const { id } of layers) {
    const step = nameOf(id);
    if (step !== undefined) return step;
  }
  for (const { blobDigest, origin } of layers) {
    const from = origin as LayerOrigin | undefined;
    if (from?.type === 'registry') return `layer of ${from.name}`;
    const [image] =
      blobDigest === undefined ? [] : (holds.images.get(blobDigest) ?? holds.fetched.get(blobDigest) ?? []);
    if (image !== undefined) return `layer of ${image}`;
  }
  return layers.length === 0 ? undefined : 'layer';
}

function baseName([name]: readonly string[]): string | undefined {
  return name === undefined ? undefined : `base image ${name}`;
}

/** The table is made by the first build that downloads something. */
function downloadsOf({ db }: SurveyContext): ReadonlyMap<string, string> {
  const table = db.get("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'downloads'");
  if (table === undefined) return new Map();
  return new Map(
    db.all('SELECT digest, url FROM downloads').map(({ digest, url }) => [String(digest), String(url)]),
  );
}
