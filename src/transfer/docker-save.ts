import { OcibuildError } from '../errors/error.ts';
import { blobName } from '../image/layout.ts';
import { documentKind, isImageConfig, parseDocument } from '../image/manifest.ts';
import { parseReference } from '../image/reference.ts';
import type { Descriptor } from '../image/types.ts';

/** One image of a manifest.json. */
export interface SavedImage {
  readonly Config: string;
  readonly RepoTags: readonly string[] | null;
  /** Base first. */
  readonly Layers: readonly string[];
}

/**
 * The files that tell `docker load` and its likes what is in an archive: manifest.json, and the older repositories
 * where the image has names.
 * @throws IMAGE_INVALID for what is no image
 */
export function saveFiles(
  top: Descriptor,
  bytes: Buffer,
  names: readonly string[],
): readonly (readonly [string, Buffer])[] {
  const document = parseDocument(bytes, top.mediaType);
  if (document.kind === 'index') throw indexFault(top);
  const { config, layers } = document.manifest;
  if (!isImageConfig(config.mediaType)) {
    throw new OcibuildError(
      'IMAGE_INVALID',
      `Cannot write "${top.digest}" as a Docker archive: its config is "${config.mediaType}", not an image's`,
    );
  }
  const image: SavedImage = {
    Config: blobName(config.digest),
    RepoTags: names.length === 0 ? null : names,
    Layers: layers.map(({ digest }) => blobName(digest)),
  };
  const files: [string, Buffer][] = [['manifest.json', encode([image])]];
  const [topLayer] = layers.slice(-1);
  if (names.length > 0 && topLayer !== undefined) {
    const id = topLayer.digest.slice('sha256:'.length);
    const repositories: Record<string, Record<string, string>> = {};
    for (const name of names) {
      const { tag = 'latest' } = parseReference(name);
      const repository = name.endsWith(`:${tag}`) ? name.slice(0, -tag.length - 1) : name;
      repositories[repository] = { ...repositories[repository], [tag]: id };
    }
    files.push(['repositories', encode(repositories)]);
  }
  return files;
}

/** @throws IMAGE_INVALID for an index */
export function checkSavable(top: Descriptor): void {
  if (documentKind(top.mediaType) === 'index') throw indexFault(top);
}

function indexFault({ digest }: Descriptor): OcibuildError {
  return new OcibuildError(
    'IMAGE_INVALID',
    `Cannot write the index "${digest}" as a Docker archive: that holds an image of one platform`,
    { hint: 'choose one with --platform, or write an OCI archive' },
  );
}

function encode(value: unknown): Buffer {
  return Buffer.from(`${JSON.stringify(value)}\n`);
}
