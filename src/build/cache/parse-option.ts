import { OcibuildError } from '../../errors/error.ts';
import { didYouMean } from '../../errors/suggest.ts';
import { splitCsv } from '../../util/csv.ts';
import { goBool } from '../../util/go-bool.ts';
import type { CacheFrom, CacheTo } from './types.ts';

type Kind = 'text' | 'bool' | 'count' | 'list' | 'mode' | 'compression';

/** Attribute as written → field of the option, and what it holds. */
type Attributes = Readonly<Record<string, readonly [field: string, kind: Kind, need?: 'required']>>;

type Types = Readonly<Record<string, Attributes>>;

const CONTENT: Attributes = {
  mode: ['mode', 'mode'],
  'ignore-error': ['ignoreError', 'bool'],
  'on-failure': ['onFailure', 'bool'],
  mounts: ['mounts', 'list'],
  compression: ['compression', 'compression'],
  'compression-level': ['compressionLevel', 'count'],
  'force-compression': ['forceCompression', 'bool'],
};
const DOCUMENTS: Attributes = {
  'image-manifest': ['imageManifest', 'bool'],
  'oci-mediatypes': ['ociMediaTypes', 'bool'],
};

const S3: Attributes = {
  bucket: ['bucket', 'text'],
  region: ['region', 'text'],
  prefix: ['prefix', 'text'],
  blobs_prefix: ['blobsPrefix', 'text'],
  manifests_prefix: ['manifestsPrefix', 'text'],
  name: ['name', 'text'],
  endpoint_url: ['endpointUrl', 'text'],
  use_path_style: ['usePathStyle', 'bool'],
  access_key_id: ['accessKeyId', 'text'],
  secret_access_key: ['secretAccessKey', 'text'],
  session_token: ['sessionToken', 'text'],
  retry_max_attempts: ['retryMaxAttempts', 'count'],
};
const GHA: Attributes = {
  url: ['url', 'text'],
  url_v2: ['urlV2', 'text'],
  version: ['version', 'count'],
  token: ['token', 'text'],
  scope: ['scope', 'text'],
  timeout: ['timeout', 'text'],
};

/** What `--cache-from` takes for each type. */
const FROM: Readonly<Record<CacheFrom['type'], Attributes>> = {
  registry: { ref: ['ref', 'text', 'required'] },
  local: {
    src: ['src', 'text', 'required'],
    tag: ['tag', 'text'],
    digest: ['digest', 'text'],
  },
  s3: S3,
  gha: GHA,
};

/** What `--cache-to` takes for each type. */
const TO: Readonly<Record<CacheTo['type'], Attributes>> = {
  registry: { ref: ['ref', 'text', 'required'], ...CONTENT, ...DOCUMENTS },
  local: {
    dest: ['dest', 'text', 'required'],
    tag: ['tag', 'text'],
    reset: ['reset', 'bool'],
    ...CONTENT,
    ...DOCUMENTS,
  },
  s3: {
    ...S3,
    touch_refresh: ['touchRefresh', 'text'],
    upload_parallelism: ['uploadParallelism', 'count'],
    ...CONTENT,
  },
  gha: { ...GHA, ...CONTENT },
  inline: { mode: ['mode', 'mode'] },
};

/** Values that no message may show. */
const SECRET_KEY = '(?:access_key_id|secret_access_key|session_token|token)\\s*=';
/** In a quoted field a value goes on to the quote, else to the comma; what is quoted wrongly is a secret as well. */
const SECRET = new RegExp(
  `((?<="[^",=]*)${SECRET_KEY})(?:[^"]|"")*|(${SECRET_KEY})(?:"(?:[^"]|"")*"?|[^,"])*`,
  'gi',
);

/** Types that Docker has, and why they are not here. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  azblob: 'this version knows no Azure Blob Storage: a registry or S3 does the same',
};

/** Reads a value of `--cache-from`: attributes, or only a name (= registry). @throws USAGE_INVALID, USAGE_UNSUPPORTED */
export function parseCacheFrom(text: string): CacheFrom {
  return parseOption('--cache-from', text, { types: FROM, others: TO }) as unknown as CacheFrom;
}

/** Reads a value of `--cache-to`, as `parseCacheFrom` does. @throws USAGE_INVALID, USAGE_UNSUPPORTED */
export function parseCacheTo(text: string): CacheTo {
  return parseOption('--cache-to', text, { types: TO, others: FROM }) as unknown as CacheTo;
}

function parseOption(
  flag: string,
  text: string,
  { types, others }: { readonly types: Types; readonly others: Types },
): Readonly<Record<string, unknown>> {
  const shown = text.replace(SECRET, '$1$2***');
  const fields = splitCsv(text);
  if (fields === undefined) throw usage(`Cannot read ${flag} "${shown}": its quotes do not match`);
  const [only = ''] = fields;
  if (text === '') throw usage(`Cannot use an empty ${flag}`);
  if (fields.length === 1 && !only.includes('=')) return { type: 'registry', ref: only };
  const given = readPairs(flag, text, fields);
  const type = given.get('type');
  if (type === undefined) {
    throw usage(`Cannot use ${flag} "${shown}": its type is missing`, {
      hint: `write type=${Object.keys(types).join(', ')}, or only the name of a cache in a registry`,
    });
  }
  const attributes = Object.hasOwn(types, type) ? types[type] : undefined;
  if (attributes === undefined) throw unknownType(flag, type, Object.keys(types));
  const option: Record<string, unknown> = { type };
  for (const [key, value] of given) {
    if (key === 'type') continue;
    const attribute = Object.hasOwn(attributes, key) ? attributes[key] : undefined;
    // One text may stand in both flags, as with Docker: `src=c,dest=c,mode=max`.
    if (attribute === undefined && Object.hasOwn(others[type] ?? {}, key)) continue;
    if (attribute === undefined) throw unknownAttribute(flag, { type, key }, Object.keys(attributes));
    option[attribute[0]] = readValue(`${flag} type=${type}`, { key, value, kind: attribute[1] });
  }
  for (const [key, [field, , need]] of Object.entries(attributes)) {
    if (need === 'required' && (option[field] === undefined || option[field] === '')) {
      throw usage(`Cannot use ${flag} "${shown}": "${key}" is missing`, { hint: `add ${key}=…` });
    }
  }
  return option;
}

/** Fields without "=" go on with the list before them: `mounts=a,b`. */
function readPairs(flag: string, text: string, fields: readonly string[]): Map<string, string> {
  const given = new Map<string, string>();
  const shown = text.replace(SECRET, '$1$2***');
  let last: string | undefined;
  for (const field of fields) {
    const at = field.indexOf('=');
    const key = at < 0 ? undefined : field.slice(0, at).trim().toLowerCase();
    if (key === undefined && last === 'mounts') {
      given.set(last, `${given.get(last)},${field}`);
      continue;
    }
    if (key === undefined)
      throw usage(`Cannot read ${flag} "${shown}": "${field.replace(SECRET, '$1$2***')}" is no KEY=VALUE`);
    if (given.has(key)) throw usage(`Cannot read ${flag} "${shown}": "${key}" stands twice`);
    given.set(key, field.slice(at + 1));
    last = key;
  }
  return given;
}

function readValue(
  where: string,
  { key, value, kind }: { readonly key: string; readonly value: string; readonly kind: Kind },
): unknown {
  const wrong = (expected: string): OcibuildError =>
    usage(`Cannot use "${key}=${value}" with ${where}: expected ${expected}`);
  switch (kind) {
    case 'text':
      return value;
    case 'list':
      return value.split(',').filter((each) => each !== '');
    case 'bool': {
      const on = value === '' ? true : goBool(value);
      if (on === undefined) throw wrong('true or false');
      return on;
    }
    case 'count':
      if (/^\d{1,9}$/.test(value)) return Number(value);
      throw wrong('a number');
    case 'mode':
      if (value === 'min' || value === 'max') return value;
      throw wrong('min or max');
    case 'compression':
      if (['gzip', 'zstd', 'uncompressed'].includes(value)) return value;
      throw wrong('gzip, zstd or uncompressed');
  }
}

function unknownType(flag: string, type: string, known: readonly string[]): OcibuildError {
  const why = Object.hasOwn(ELSEWHERE, type) ? ELSEWHERE[type] : undefined;
  if (why !== undefined) {
    return new OcibuildError('USAGE_UNSUPPORTED', `Cannot use ${flag} type "${type}": ${why}`);
  }
  return usage(`Cannot use ${flag} type "${type}": expected ${known.join(', ')}`, {
    hint: didYouMean(type, known),
  });
}

function unknownAttribute(
  flag: string,
  { type, key }: { readonly type: string; readonly key: string },
  known: readonly string[],
): OcibuildError {
  return usage(`Cannot use "${key}" with ${flag} type=${type}`, {
    hint: didYouMean(key, known) ?? `it takes ${known.join(', ') || 'no attributes'}`,
  });
}

function usage(message: string, { hint }: { readonly hint?: string | undefined } = {}): OcibuildError {
  return new OcibuildError('USAGE_INVALID', message, hint === undefined ? {} : { hint });
}
