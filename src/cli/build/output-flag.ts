import type { Output } from '../../build/options.ts';
import { OcibuildError } from '../../errors/error.ts';
import { didYouMean } from '../../errors/suggest.ts';
import { parseAttributes } from '../flags/csv.ts';
import {
  type Attributes,
  boolReader,
  checkAttribute,
  readFiles,
  readForm,
  readStoreForm,
} from './output-attributes.ts';

/** What one `-o` asks for. */
export interface OutputFlag {
  /** Two where an image is both kept and pushed. */
  readonly outputs: readonly Output[];
  readonly warnings: readonly string[];
}

const TYPES: readonly Output['type'][] = ['store', 'oci', 'docker', 'registry', 'local', 'tar', 'cacheonly'];
const IMAGE_TYPES: readonly Output['type'][] = ['store', 'oci', 'docker', 'registry'];

/**
 * Reads the value of `-o`: attributes, a bare path (= local) or `-` (= tar to stdout). With `push` an image that is kept
 * is pushed as well, unless it says otherwise.
 * @throws USAGE_INVALID, USAGE_UNSUPPORTED
 */
export function parseOutput(spec: string, { push = false }: { readonly push?: boolean } = {}): OutputFlag {
  if (spec === '-') return { outputs: [{ type: 'tar', dest: '-' }], warnings: [] };
  if (!spec.includes('=')) {
    if (spec === '') throw new OcibuildError('USAGE_INVALID', 'Cannot use an empty output');
    return { outputs: [{ type: 'local', dest: spec }], warnings: [] };
  }
  const given = parseAttributes(spec);
  const type = readType(spec, given.get('type'));
  const isPushed = push && type === 'store' && !given.has('push');
  const attributes = isPushed ? new Map([...given, ['push', 'true']]) : given;
  const annotations: Record<string, string> = {};
  const warnings: string[] = [];
  for (const [key, value] of attributes) {
    if (key === 'type') continue;
    const annotation = readAnnotation(key);
    if (annotation !== undefined && IMAGE_TYPES.includes(type)) annotations[annotation] = value;
    else warnings.push(...[checkAttribute(type, key)].filter((warning) => warning !== undefined));
  }
  return { outputs: makeOutputs(type, attributes, { spec, annotations }), warnings };
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

function readType(spec: string, type: string | undefined): Output['type'] {
  if (type === undefined || type === '') {
    throw new OcibuildError('USAGE_INVALID', `Cannot use output "${spec}": its type is missing`, {
      hint: 'write type=store, registry, oci, docker, local, tar or cacheonly, or only a directory',
    });
  }
  // BuildKit's name for what "store" is here.
  if (type === 'image') return 'store';
  const known = TYPES.find((each) => each === type);
  if (known !== undefined) return known;
  throw new OcibuildError('USAGE_INVALID', `Cannot use output type "${type}": expected ${TYPES.join(', ')}`, {
    hint: didYouMean(type, TYPES) ?? 'see `ocibuild help build`',
  });
}

function makeOutputs(
  type: Output['type'],
  attributes: Attributes,
  { spec, annotations }: { readonly spec: string; readonly annotations: Readonly<Record<string, string>> },
): readonly Output[] {
  const dest = attributes.get('dest');
  const bool = boolReader(attributes);
  const form = (): ReturnType<typeof readForm> => readForm(attributes, annotations);
  switch (type) {
    case 'cacheonly':
      return [{ type }];
    case 'store':
    case 'registry':
      return imageOutputs(type, attributes, form());
    case 'docker': {
      const context = attributes.get('context');
      if (context && dest) {
        throw new OcibuildError(
          'USAGE_INVALID',
          `Cannot use output "${spec}": it goes to a file or to the daemon of a context, not to both`,
        );
      }
      return [{ type, ...(dest ? { dest } : {}), ...(context ? { context } : {}), ...form() }];
    }
    case 'local':
      if (!dest || dest === '-') throw missingDest(spec, 'a directory');
      return [{ type, dest, ...readMode(attributes.get('mode')), ...readFiles(attributes) }];
    case 'tar':
      return [{ type, dest: dest || '-', ...readFiles(attributes) }];
    case 'oci': {
      const tar = bool('tar', true);
      if (!tar && (!dest || dest === '-')) throw missingDest(spec, 'a layout directory');
      return [{ type, dest: dest || '-', tar, ...form() }];
    }
  }
}

/** An image is kept unless it is only pushed. */
function imageOutputs(
  type: 'store' | 'registry',
  attributes: Attributes,
  form: ReturnType<typeof readForm>,
): readonly Output[] {
  const bool = boolReader(attributes);
  const pushes = bool('push', type === 'registry');
  const keeps = bool('store', type === 'store');
  const push: Output = {
    type: 'registry',
    ...(bool('push-by-digest') ? { byDigest: true } : {}),
    ...(bool('registry.insecure') ? { insecure: true } : {}),
    ...form,
  };
  const keep: Output = { type: 'store', ...readStoreForm(attributes), ...form };
  if (pushes || keeps) return [...(keeps ? [keep] : []), ...(pushes ? [push] : [])];
  throw new OcibuildError(
    'USAGE_INVALID',
    `Cannot use output type "${type}" with ${type === 'store' ? 'store=false' : 'push=false'} alone: the image would go nowhere`,
    { hint: 'to build without a result: -o type=cacheonly' },
  );
}

function readMode(value: string | undefined): { mode?: 'delete' } {
  if (value === undefined || value === '' || value === 'copy') return {};
  if (value === 'delete') return { mode: 'delete' };
  throw new OcibuildError('USAGE_INVALID', `Cannot export with mode "${value}": expected copy or delete`);
}

function missingDest(spec: string, what: string): OcibuildError {
  return new OcibuildError('USAGE_INVALID', `Cannot use output "${spec}": dest must name ${what}`, {
    hint: 'add dest=PATH',
  });
}
