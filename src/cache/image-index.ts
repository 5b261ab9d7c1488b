import { readFileSync } from 'node:fs';
import { OcibuildError } from '../errors/error.ts';
import { isDigest } from '../image/digest.ts';
import { selectPlatform } from '../image/platform.ts';
import { familiarName, normalName, parseReference, withDefaultTag } from '../image/reference.ts';
import {
  ANNOTATION,
  type Descriptor,
  type Digest,
  type Index,
  MEDIA_TYPE,
  type Platform,
} from '../image/types.ts';
import { errnoOf, writeFileAtomic } from '../util/atomic-fs.ts';
import { storeError } from './store-error.ts';
import type { Database, ImageIndex, StoreRoot, TaggedImage } from './types.ts';

/**
 * Tags in the store's index.json. A tag carries two annotations: the name as people type it, which is what
 * `skopeo inspect oci:ROOT:app:v0` looks for, and the full name, which containerd reads.
 *
 * Writers take turns through the write transaction of the database: the kernel frees it when its holder dies,
 * so there is no lock file to be left behind.
 * @see image-spec image-layout.md §index.json
 */
export function createImageIndex(
  root: Pick<StoreRoot, 'indexFile' | 'tempPath'>,
  db: Pick<Database, 'transaction'>,
  options: {
    /** No name leads to it any more; who reads it now may go on. */
    readonly onUnnamed?: (digest: Digest) => void;
  } = {},
): ImageIndex {
  const change = (edit: (entries: readonly Descriptor[]) => readonly Descriptor[]): boolean =>
    db.transaction(() => {
      const index = readIndex(root.indexFile);
      const before = JSON.stringify(index.manifests);
      const manifests = edit(index.manifests);
      if (JSON.stringify(manifests) === before) return false;
      const left = new Set(manifests.map(({ digest }) => digest));
      for (const { digest } of index.manifests) if (!left.has(digest)) options.onUnnamed?.(digest);
      try {
        // The sync: tags are the one thing here that cannot be computed again, and a rename may reach the
        // disk before the data it names.
        writeFileAtomic(root.indexFile, `${JSON.stringify({ ...index, manifests }, undefined, 2)}\n`, {
          temp: root.tempPath(),
          sync: true,
        });
      } catch (error) {
        throw storeError(error, root.indexFile);
      }
      return true;
    });

  return {
    list: () => readIndex(root.indexFile).manifests.flatMap((entry) => tagOf(entry) ?? []),
    resolve(name, platform) {
      const entries = readIndex(root.indexFile).manifests;
      if (isDigest(name)) return entries.find((entry) => entry.digest === name);
      const wanted = namesOf(name);
      return pick(
        entries.filter((entry) => isNamed(entry, wanted)),
        platform,
      );
    },
    set(name, descriptor, { fetchedByBuild = false } = {}) {
      const wanted = namesOf(name);
      if (wanted.normalised === undefined) parseReference(name);
      change((entries) => {
        const before = entries.filter((entry) => isNamed(entry, wanted));
        const { [ANNOTATION.fetchedByBuild]: _mark, ...own } = descriptor.annotations ?? {};
        const annotations = {
          ...own,
          [ANNOTATION.refName]: wanted.familiar,
          ...(wanted.normalised === undefined ? {} : { [ANNOTATION.containerdName]: wanted.normalised }),
          ...(fetchedByBuild && before.every(isFetchedByBuild)
            ? { [ANNOTATION.fetchedByBuild]: 'true' }
            : {}),
        };
        return [...entries.filter((entry) => !before.includes(entry)), { ...descriptor, annotations }];
      });
    },
    remove(name) {
      if (isDigest(name)) return change((entries) => entries.filter(({ digest }) => digest !== name));
      const wanted = namesOf(name);
      return change((entries) => entries.filter((entry) => !isNamed(entry, wanted)));
    },
  };
}

/** Whether prune may take a name away. */
export function isFetchedByBuild({ annotations }: Pick<Descriptor, 'annotations'>): boolean {
  return annotations?.[ANNOTATION.fetchedByBuild] !== undefined;
}

interface Names {
  readonly familiar: string;
  /** Absent for names of other tools that are no image references. */
  readonly normalised?: string;
}

function namesOf(name: string): Names {
  try {
    const reference = withDefaultTag(parseReference(name));
    return { familiar: familiarName(reference), normalised: normalName(reference) };
  } catch {
    return { familiar: name };
  }
}

/** umoci and others write a bare tag such as `v0`; read as a reference it would mean `v0:latest`, so a text is
 * compared as it stands first. */
function isNamed(entry: Descriptor, wanted: Names): boolean {
  const refName = entry.annotations?.[ANNOTATION.refName];
  const fullName = entry.annotations?.[ANNOTATION.containerdName];
  if (fullName !== undefined) return fullName === wanted.normalised;
  return refName !== undefined && (refName === wanted.familiar || `${refName}:latest` === wanted.familiar);
}

function tagOf(entry: Descriptor): TaggedImage | undefined {
  const name = entry.annotations?.[ANNOTATION.refName] ?? entry.annotations?.[ANNOTATION.containerdName];
  if (name === undefined) return undefined;
  const { normalised } = namesOf(entry.annotations?.[ANNOTATION.containerdName] ?? name);
  return { name, descriptor: entry, ...(normalised === undefined ? {} : { normalised }) };
}

/** An index is the answer for every platform: the caller chooses inside it. */
function pick(entries: readonly Descriptor[], platform: Platform | undefined): Descriptor | undefined {
  if (platform === undefined || entries.length < 2) return entries.at(-1);
  const latestFirst = entries.toReversed();
  const best = selectPlatform(
    latestFirst.map((entry) => entry.platform),
    platform,
  );
  return latestFirst[best] ?? latestFirst.find((entry) => entry.mediaType === MEDIA_TYPE.index);
}

function readIndex(file: string): Index {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw storeError(error, file);
    return { schemaVersion: 2, mediaType: MEDIA_TYPE.index, manifests: [] };
  }
  return parseIndex(text, file);
}

/** @throws STORE_INVALID */
export function parseIndex(text: string, file: string): Index {
  try {
    const value = JSON.parse(text) as Index;
    if (value.schemaVersion === 2 && Array.isArray(value.manifests)) return value;
  } catch {
    // Falls through: told below.
  }
  throw new OcibuildError('STORE_INVALID', `Cannot read "${file}": it is not an OCI image index`, {
    hint: `move the file away; the blobs stay, the images can be tagged again by building them`,
    details: { path: file },
  });
}
