import type { FileOutput, ImageForm, Output, StoreForm } from '../../build/options.ts';
import { OcibuildError } from '../../errors/error.ts';
import { didYouMean } from '../../errors/suggest.ts';
import type { Compression } from '../../image/types.ts';
import { goBool } from '../../util/go-bool.ts';
import { parseCsv } from '../flags/csv.ts';

export type Attributes = ReadonlyMap<string, string>;

const IMAGE_ATTRIBUTES = [
  ...['name', 'oci-mediatypes', 'compression', 'compression-level', 'force-compression'],
  ...[
    'rewrite-timestamp',
    'source-date-epoch',
    'prefer-nondist-layers',
    'oci-artifact',
    'attestation-inline',
  ],
];
const PUSH_ATTRIBUTES = ['push', 'push-by-digest', 'registry.insecure'];
const STORE_ATTRIBUTES = ['unpack', 'dangling-name-prefix', 'danging-name-empty-only', 'name-canonical'];
const FILE_ATTRIBUTES = ['dest', 'platform-split', 'source-date-epoch', 'attestation-prefix'];
/** Which attributes each type has. */
const ATTRIBUTES: Readonly<Record<Output['type'], readonly string[]>> = {
  store: [...IMAGE_ATTRIBUTES, ...PUSH_ATTRIBUTES, 'store', ...STORE_ATTRIBUTES],
  registry: [...IMAGE_ATTRIBUTES, ...PUSH_ATTRIBUTES, 'store', ...STORE_ATTRIBUTES],
  oci: [...IMAGE_ATTRIBUTES, 'dest', 'tar'],
  docker: [...IMAGE_ATTRIBUTES, 'dest', 'context'],
  local: [...FILE_ATTRIBUTES, 'mode'],
  tar: FILE_ATTRIBUTES,
  cacheonly: [],
};
/** Taken from other tools' command lines without an effect. */
const IGNORED: Readonly<Record<string, string>> = {
  buildinfo: 'images hold no build information any more; provenance does: --provenance',
  'buildinfo-attrs': 'images hold no build information any more; provenance does: --provenance',
  'compat-version': 'it asks for the bytes that a version of BuildKit writes',
};
const COMPRESSIONS: readonly Compression[] = ['gzip', 'zstd', 'estargz', 'uncompressed'];

/**
 * Refuses an attribute that the type does not have.
 * @returns a warning about one that has no effect
 * @throws USAGE_UNSUPPORTED
 */
export function checkAttribute(type: Output['type'], key: string): string | undefined {
  const why = IGNORED[key];
  if (why !== undefined && ATTRIBUTES[type].includes('name')) {
    return `The output attribute "${key}" has no effect: ${why}`;
  }
  if (ATTRIBUTES[type].includes(key)) return undefined;
  const near = didYouMean(key, [...ATTRIBUTES[type], 'type']);
  throw new OcibuildError('USAGE_UNSUPPORTED', `Cannot use "${key}" with output type "${type}"`, {
    hint: near ?? `it takes ${ATTRIBUTES[type].join(', ') || 'no attributes'}`,
  });
}

/** What all image types have in common. */
export function readForm(
  attributes: Attributes,
  annotations: Readonly<Record<string, string>>,
): Omit<ImageForm, 'store'> {
  const bool = boolReader(attributes);
  const compression = readCompression(attributes.get('compression'));
  const level = attributes.get('compression-level');
  const highest = compression === 'zstd' ? 22 : 9;
  if (level !== undefined && !(/^\d{1,2}$/.test(level) && Number(level) <= highest)) {
    throw new OcibuildError(
      'USAGE_INVALID',
      `Cannot use compression level "${level}": expected 0 to ${highest} for ${compression ?? 'gzip'}`,
    );
  }
  // BuildKit's "*" stands for the names that the build itself gives.
  const names = parseCsv(attributes.get('name') ?? '').filter((name) => name !== '' && name !== '*');
  const epoch = readEpoch(attributes.get('source-date-epoch'));
  return {
    ...(names.length === 0 ? {} : { names }),
    ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
    ...(bool('oci-mediatypes', true) ? {} : { ociMediaTypes: false }),
    ...(bool('rewrite-timestamp') ? { rewriteTimestamp: true } : {}),
    ...(epoch === undefined ? {} : { sourceDateEpoch: epoch }),
    ...(compression === undefined ? {} : { compression }),
    ...(level === undefined ? {} : { compressionLevel: Number(level) }),
    ...(bool('force-compression') ? { forceCompression: true } : {}),
    ...(bool('prefer-nondist-layers') ? { preferNondistributable: true } : {}),
    ...(attributes.has('oci-artifact') ? { ociArtifact: bool('oci-artifact', true) } : {}),
    ...(bool('attestation-inline') ? { attestationInline: true } : {}),
  };
}

/** How an image is kept in the store. */
export function readStoreForm(attributes: Attributes): StoreForm {
  const bool = boolReader(attributes);
  const prefix = attributes.get('dangling-name-prefix');
  return {
    ...(bool('unpack') ? { unpack: true } : {}),
    ...(prefix ? { danglingNamePrefix: prefix } : {}),
    ...(bool('danging-name-empty-only') ? { danglingNameEmptyOnly: true } : {}),
    ...(bool('name-canonical') ? { nameCanonical: true } : {}),
  };
}

/** What `local` and `tar` have in common, besides the place. */
export function readFiles(attributes: Attributes): Omit<FileOutput, 'type' | 'dest'> {
  const bool = boolReader(attributes);
  const epoch = readEpoch(attributes.get('source-date-epoch'));
  const prefix = attributes.get('attestation-prefix');
  if (prefix?.includes('/')) {
    throw new OcibuildError(
      'USAGE_INVALID',
      `Cannot begin the names of attestations with "${prefix}": expected the beginning of a file name`,
    );
  }
  return {
    ...(attributes.has('platform-split') ? { platformSplit: bool('platform-split', true) } : {}),
    ...(prefix ? { attestationPrefix: prefix } : {}),
    ...(epoch === undefined ? {} : { sourceDateEpoch: epoch }),
  };
}

/** Reads flags; one without a value is true. */
export function boolReader(attributes: Attributes): (key: string, absent?: boolean) => boolean {
  return (key, absent = false) => {
    const value = attributes.get(key);
    if (value === undefined) return absent;
    const bool = value === '' ? true : goBool(value);
    if (bool !== undefined) return bool;
    throw new OcibuildError(
      'USAGE_INVALID',
      `Cannot use output attribute "${key}=${value}": expected true or false`,
    );
  };
}

function readCompression(value: string | undefined): Compression | undefined {
  const known = COMPRESSIONS.find((each) => each === value);
  if (value === undefined || known !== undefined) return known;
  throw new OcibuildError(
    'USAGE_INVALID',
    `Cannot compress as "${value}": expected ${COMPRESSIONS.join(', ')}`,
  );
}

function readEpoch(value: string | undefined): number | undefined {
  if (value === undefined || value === '') return undefined;
  if (/^\d{1,12}$/.test(value)) return Number(value);
  throw new OcibuildError(
    'USAGE_INVALID',
    `Cannot use source-date-epoch "${value}": expected seconds since 1970`,
  );
}
