import type { Attestation } from '../../build/options.ts';
import { OcibuildError } from '../../errors/error.ts';
import { didYouMean } from '../../errors/suggest.ts';
import { goBool } from '../../util/go-bool.ts';
import { parseAttributes } from '../flags/csv.ts';

const ATTRIBUTES = {
  provenance: ['mode', 'version', 'builder-id', 'reproducible', 'filename', 'inline-only', 'disabled'],
  sbom: ['format', 'filename', 'disabled', 'generator'],
} as const;

export interface AttestFlags {
  /** Values of `--attest`. */
  readonly attest: readonly string[];
  /** Value of `--provenance` and `--sbom`; undefined where they are not given. */
  readonly provenance: string | undefined;
  readonly sbom: string | undefined;
}

/**
 * Reads `--attest type=…`, and `--provenance` and `--sbom`, which are short for it: `true`, `false`, or attributes.
 * @throws USAGE_INVALID, USAGE_UNSUPPORTED
 */
export function parseAttestFlags({ attest, provenance, sbom }: AttestFlags): Attestation[] {
  return [
    ...attest.map(parseAttest),
    ...(provenance === undefined ? [] : [parseShort('provenance', provenance)]),
    ...(sbom === undefined ? [] : [parseShort('sbom', sbom)]),
  ];
}

function parseAttest(spec: string): Attestation {
  const attributes = new Map(parseAttributes(spec));
  const type = attributes.get('type');
  attributes.delete('type');
  if (type === 'provenance' || type === 'sbom') return makeAttestation(type, attributes);
  if (type === undefined || type === '') {
    throw new OcibuildError('USAGE_INVALID', `Cannot use --attest "${spec}": its type is missing`, {
      hint: 'write type=provenance or type=sbom',
    });
  }
  throw new OcibuildError(
    'USAGE_INVALID',
    `Cannot use attestation type "${type}": expected provenance or sbom`,
    {
      hint: didYouMean(type, Object.keys(ATTRIBUTES)) ?? 'see `ocibuild help build`',
    },
  );
}

function parseShort(type: Attestation['type'], value: string): Attestation {
  const bool = value === '' ? true : goBool(value);
  if (bool !== undefined) return bool ? { type } : { type, disabled: true };
  if (value.includes('=')) return makeAttestation(type, parseAttributes(value));
  throw new OcibuildError(
    'USAGE_INVALID',
    `Cannot use --${type} "${value}": expected true, false or attributes`,
    {
      ...(value === 'min' || value === 'max' ? { hint: `write --${type}=mode=${value}` } : {}),
    },
  );
}

function makeAttestation(type: Attestation['type'], attributes: ReadonlyMap<string, string>): Attestation {
  for (const key of attributes.keys()) checkKey(type, key);
  const text = (key: string): string | undefined => attributes.get(key) || undefined;
  const flag = (key: string): boolean | undefined => readBool(key, attributes.get(key));
  const filename = text('filename');
  const disabled = flag('disabled');
  const common = given({ filename, disabled });
  if (type === 'sbom') {
    refuseGenerator(attributes.get('generator'));
    const format = readWord('format', text('format'), ['spdx', 'cyclonedx'] as const);
    return { type, ...common, ...given({ format }) };
  }
  const mode = readWord('mode', text('mode'), ['min', 'max'] as const);
  const version = readWord('version', text('version'), ['v1', 'v0.2'] as const);
  const builderId = text('builder-id');
  const [reproducible, inlineOnly] = [flag('reproducible'), flag('inline-only')];
  return { type, ...common, ...given({ mode, version, builderId, reproducible, inlineOnly }) };
}

function checkKey(type: Attestation['type'], key: string): void {
  const known: readonly string[] = ATTRIBUTES[type];
  if (known.includes(key)) return;
  throw new OcibuildError('USAGE_INVALID', `Cannot use "${key}" with an attestation of type "${type}"`, {
    hint: didYouMean(key, known) ?? `it takes ${known.filter((name) => name !== 'generator').join(', ')}`,
  });
}

/** Nothing runs over the image: a scanner would be a container with the image's files and a network. */
function refuseGenerator(image: string | undefined): void {
  if (image === undefined || image === '') return;
  throw new OcibuildError(
    'USAGE_UNSUPPORTED',
    `Cannot make the SBOM with "${image}": it is made here, from the package databases in the image`,
    { hint: 'leave generator out; format=cyclonedx gives the other format' },
  );
}

function readWord<T extends string>(
  key: string,
  value: string | undefined,
  words: readonly T[],
): T | undefined {
  if (value === undefined) return undefined;
  const found = words.find((word) => word === value);
  if (found !== undefined) return found;
  throw new OcibuildError('USAGE_INVALID', `Cannot use "${key}=${value}": expected ${words.join(' or ')}`);
}

function readBool(key: string, value: string | undefined): boolean | undefined {
  if (value === undefined) return undefined;
  const bool = goBool(value);
  if (bool !== undefined) return bool;
  throw new OcibuildError('USAGE_INVALID', `Cannot use "${key}=${value}": expected true or false`);
}

type Given<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

function given<T extends Record<string, unknown>>(record: T): Given<T> {
  return Object.fromEntries(Object.entries(record).filter(([, value]) => value !== undefined)) as Given<T>;
}
