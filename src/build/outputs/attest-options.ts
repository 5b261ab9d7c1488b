import { OcibuildError } from '../../errors/error.ts';
import type { Attestation, ImageForm, Output } from '../options.ts';

type Provenance = Attestation & { readonly type: 'provenance' };
type Sbom = Attestation & { readonly type: 'sbom' };

/** What a build says about its images, beside the images. */
export interface AttestOptions {
  readonly provenance: Required<Omit<Provenance, 'disabled' | 'type'>> | undefined;
  /** One for each format. */
  readonly sboms: readonly Required<Omit<Sbom, 'disabled' | 'type'>>[];
}

const SBOM_FILES = { spdx: 'sbom.spdx.json', cyclonedx: 'sbom.cdx.json' } as const;

/** @throws USAGE_INVALID where two of them say different things about the same */
export function readAttestations(given: readonly Attestation[]): AttestOptions {
  const provenances = given.filter((one) => one.type === 'provenance');
  const sboms = given.filter((one) => one.type === 'sbom');
  const provenance = onlyOne('provenance', provenances);
  const formats = ['spdx', 'cyclonedx'] as const;
  return {
    provenance:
      provenance === undefined || provenance.disabled === true ? undefined : withDefaults(provenance),
    sboms: formats.flatMap((format) => {
      const sbom = onlyOne(
        'SBOM',
        sboms.filter((one) => (one.format ?? 'spdx') === format),
      );
      if (sbom === undefined || sbom.disabled === true) return [];
      return [{ format, filename: readFilename(sbom.filename ?? SBOM_FILES[format]) }];
    }),
  };
}

function withDefaults(provenance: Provenance): NonNullable<AttestOptions['provenance']> {
  const {
    mode = 'max',
    version = 'v1',
    builderId = '',
    reproducible = false,
    inlineOnly = false,
  } = provenance;
  return {
    ...{ mode, version, builderId, reproducible, inlineOnly },
    filename: readFilename(provenance.filename ?? 'provenance.json'),
  };
}

function onlyOne<T>(what: string, all: readonly T[]): T | undefined {
  const different = new Set(all.map((one) => JSON.stringify(one, Object.keys(one as object).sort())));
  if (different.size > 1) {
    throw new OcibuildError(
      'USAGE_INVALID',
      `Cannot make the ${what} of an image in two ways: --attest, --provenance and --sbom ask for different ones`,
    );
  }
  return all[0];
}

function readFilename(name: string): string {
  if (name === '' || name === '.' || name === '..' || /[/\0]/.test(name)) {
    throw new OcibuildError(
      'USAGE_INVALID',
      `Cannot name an attestation "${name}": expected the name of a file`,
    );
  }
  return name;
}

/** Whether an output carries attestations. Docker's archives have no place for them. */
export function carriesAttestations(output: Output, { provenance, sboms }: AttestOptions): boolean {
  if (output.type === 'docker' || output.type === 'cacheonly') return false;
  return sboms.length > 0 || (provenance !== undefined && (!provenance.inlineOnly || isInline(output)));
}

/** Whether an output takes what is meant for it only by its own wish. */
export function isInline(output: Output): boolean {
  return (output as ImageForm).attestationInline === true;
}
