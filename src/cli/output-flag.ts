import type { Output } from '../build/options.ts';
import { OcibuildError } from '../errors/error.ts';
import { didYouMean } from '../errors/suggest.ts';
import type { Compression } from '../image/types.ts';
import { parseAttributes, parseCsv } from './csv.ts';

/** An output, and what its attributes say about the image. */
export interface OutputFlag {
  readonly output: Output;
  readonly names: readonly string[];
  readonly annotations: Readonly<Record<string, string>>;
}

const IMAGE_ATTRIBUTES = [
  'name',
  'oci-mediatypes',
  'rewrite-timestamp',
  'compression',
  'compression-level',
  'force-compression',
  'oci-artifact',
  'attestation-inline',
];
const ATTRIBUTES: Readonly<Record<Output['type'], readonly string[]>> = {
  store: [...IMAGE_ATTRIBUTES, 'push', 'store'],
  oci: [...IMAGE_ATTRIBUTES, 'dest', 'tar'],
  docker: [...IMAGE_ATTRIBUTES, 'dest'],
  registry: [...IMAGE_ATTRIBUTES, 'push', 'push-by-digest'],
  local: ['dest', 'platform-split', 'mode', 'attestation-prefix'],
  tar: ['dest', 'platform-split', 'attestation-prefix'],
  cacheonly: [],
};

const COMPRESSIONS: readonly Compression[] = ['gzip', 'zstd', 'estargz', 'uncompressed'];
const IMAGE_TYPES: readonly Output['type'][] = ['store', 'oci', 'docker', 'registry'];

/** Attributes with the only value that this version has. */
const FIXED: Readonly<Record<string, string>> = {
  push: 'false',
  store: 'true',
  mode: 'copy',
};

/**
 * Reads the value of `-o`: attributes, a bare path (= local) or `-` (= tar to stdout).
 * @throws USAGE_INVALID, USAGE_UNSUPPORTED
 */
export function parseOutput(spec: string): OutputFlag {
  if (spec === '-') return plainOutput({ type: 'tar', dest: '-' });
  if (!spec.includes('=')) {
    if (spec === '') throw new OcibuildError('USAGE_INVALID', 'Cannot use an empty output');
    return plainOutput({ type: 'local', dest: spec });
  }
  const attributes = parseAttributes(spec);
  const pushes = readBool('push', attributes.get('push'), false);
  const type = readType(spec, attributes.get('type'), pushes);
  const annotations: Record<string, string> = {};
  for (const [key, value] of attributes) {
    if (key === 'type') continue;
    const annotation = readAnnotation(key);
    if (annotation !== undefined && IMAGE_TYPES.includes(type)) annotations[annotation] = value;
    else checkAttribute(type, key, value);
  }
  const names = parseCsv(attributes.get('name') ?? '').filter((name) => name !== '');
  return { output: makeOutput(type, attributes, spec), names, annotations };
}

/** `annotation-manifest[linux/arm64].KEY` → `manifest[linux/arm64]:KEY` */
function readAnnotation(attribute: string): string | undefined {
  const [, level, platform = '', key] =
    /^annotation(?:-(manifest|index|manifest-descriptor|index-descriptor))?(\[[^\]]*\])?\.(.+)$/.exec(
      attribute,
    ) ?? [];
  if (key === undefined) return undefined;
  return level === undefined && platform === '' ? key : `${level ?? 'manifest'}${platform}:${key}`;
}

function plainOutput(output: Output): OutputFlag {
  return { output, names: [], annotations: {} };
}

function readType(spec: string, type: string | undefined, pushes: boolean): Output['type'] {
  if (type === undefined || type === '') {
    throw new OcibuildError('USAGE_INVALID', `Cannot use output "${spec}": its type is missing`, {
      hint: 'write type=store, registry, oci, docker, local, tar or cacheonly, or only a directory',
    });
  }
  // BuildKit's "image" is what "store" is here, and pushed it is "registry".
  if (type === 'image') return pushes ? 'registry' : 'store';
  const types = Object.keys(ATTRIBUTES);
  if (!types.includes(type)) {
    throw new OcibuildError(
      'USAGE_INVALID',
      `Cannot use output type "${type}": expected ${types.join(', ')}`,
      {
        hint: didYouMean(type, types) ?? 'see `ocibuild help build`',
      },
    );
  }
  return type as Output['type'];
}

function checkAttribute(type: Output['type'], key: string, value: string): void {
  if (!ATTRIBUTES[type].includes(key)) {
    const near = didYouMean(key, [...ATTRIBUTES[type], 'type']);
    throw new OcibuildError('USAGE_UNSUPPORTED', `Cannot use "${key}" with output type "${type}"`, {
      hint: near ?? `it takes ${ATTRIBUTES[type].join(', ') || 'no attributes'}`,
    });
  }
  const fixed = type === 'registry' && key === 'push' ? 'true' : FIXED[key];
  if (fixed !== undefined && value !== fixed && !(value === '' && fixed === 'true')) {
    throw new OcibuildError(
      'USAGE_UNSUPPORTED',
      `Cannot use output attribute "${key}=${value}": only "${fixed}" works`,
    );
  }
}

function makeOutput(type: Output['type'], attributes: ReadonlyMap<string, string>, spec: string): Output {
  const dest = attributes.get('dest');
  switch (type) {
    case 'cacheonly':
      return { type };
    case 'store':
      return { type, ...readForm(attributes) };
    case 'docker':
      return { type, ...(dest ? { dest } : {}), ...readForm(attributes) };
    case 'registry':
      return {
        type,
        ...(readBool('push-by-digest', attributes.get('push-by-digest'), false) ? { byDigest: true } : {}),
        ...readForm(attributes),
      };
    case 'local':
      if (!dest || dest === '-') throw missingDest(spec, 'a directory');
      return { type, dest, ...readFiles(attributes) };
    case 'tar':
      return { type, dest: dest || '-', ...readFiles(attributes) };
    case 'oci': {
      const tar = readBool('tar', attributes.get('tar'), true);
      if (!tar && (!dest || dest === '-')) throw missingDest(spec, 'a layout directory');
      return { type, dest: dest || '-', tar, ...readForm(attributes) };
    }
  }
}

function readFiles(attributes: ReadonlyMap<string, string>): {
  platformSplit?: boolean;
  attestationPrefix?: string;
} {
  const [split, prefix] = [attributes.get('platform-split'), attributes.get('attestation-prefix')];
  if (prefix?.includes('/')) {
    throw new OcibuildError(
      'USAGE_INVALID',
      `Cannot begin the names of attestations with "${prefix}": expected the beginning of a file name`,
    );
  }
  return {
    ...(split === undefined ? {} : { platformSplit: readBool('platform-split', split, true) }),
    ...(prefix ? { attestationPrefix: prefix } : {}),
  };
}

function readForm(attributes: ReadonlyMap<string, string>): {
  ociMediaTypes?: false;
  rewriteTimestamp?: true;
  compression?: Compression;
  compressionLevel?: number;
  forceCompression?: boolean;
  ociArtifact?: boolean;
  attestationInline?: true;
} {
  const compression = attributes.get('compression');
  if (compression !== undefined && !COMPRESSIONS.some((each) => each === compression)) {
    throw new OcibuildError(
      'USAGE_INVALID',
      `Cannot compress as "${compression}": expected ${COMPRESSIONS.join(', ')}`,
    );
  }
  const artifact = attributes.get('oci-artifact');
  const level = attributes.get('compression-level');
  const highest = compression === 'zstd' ? 22 : 9;
  if (level !== undefined && !(/^\d{1,2}$/.test(level) && Number(level) <= highest)) {
    throw new OcibuildError(
      'USAGE_INVALID',
      `Cannot use compression level "${level}": expected 0 to ${highest} for ${compression ?? 'gzip'}`,
    );
  }
  return {
    ...(readBool('oci-mediatypes', attributes.get('oci-mediatypes'), true) ? {} : { ociMediaTypes: false }),
    ...(readBool('rewrite-timestamp', attributes.get('rewrite-timestamp'), false)
      ? { rewriteTimestamp: true }
      : {}),
    ...(compression === undefined ? {} : { compression: compression as Compression }),
    ...(level === undefined ? {} : { compressionLevel: Number(level) }),
    ...(readBool('force-compression', attributes.get('force-compression'), false)
      ? { forceCompression: true }
      : {}),
    ...(artifact === undefined ? {} : { ociArtifact: readBool('oci-artifact', artifact, true) }),
    ...(readBool('attestation-inline', attributes.get('attestation-inline'), false)
      ? { attestationInline: true }
      : {}),
  };
}

function readBool(key: string, value: string | undefined, absent: boolean): boolean {
  if (value === undefined) return absent;
  if (value === '' || value === 'true' || value === '1') return true;
  if (value === 'false' || value === '0') return false;
  throw new OcibuildError(
    'USAGE_INVALID',
    `Cannot use output attribute "${key}=${value}": expected true or false`,
  );
}

function missingDest(spec: string, what: string): OcibuildError {
  return new OcibuildError('USAGE_INVALID', `Cannot use output "${spec}": dest must name ${what}`, {
    hint: 'add dest=PATH',
  });
}
