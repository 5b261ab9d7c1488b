import type { ExportAttestation } from '../exporter/types.ts';
import { digestBytes } from '../image/digest.ts';
import { encodeDocument } from '../image/manifest.ts';
import { type Descriptor, type Manifest, MEDIA_TYPE, type Platform } from '../image/types.ts';
import type { Predicate, Statement, Subject } from './types.ts';

const IN_TOTO = 'application/vnd.in-toto+json';
const ARTIFACT_TYPE = 'application/vnd.docker.attestation.manifest.v1+json';
const PREDICATE_TYPE = 'in-toto.io/predicate-type';
const EMPTY = Buffer.from('{}');

/** What SLSA v0.2 was defined for is the older statement; readers of one expect the other. */
const STATEMENT_V0 = 'https://in-toto.io/Statement/v0.1';
const STATEMENT_V1 = 'https://in-toto.io/Statement/v1';
export const SLSA_V0 = 'https://slsa.dev/provenance/v0.2';
export const SLSA_V1 = 'https://slsa.dev/provenance/v1';

export function makeStatement(
  { predicateType, predicate }: Predicate,
  subject: readonly Subject[],
): Statement {
  return {
    _type: predicateType === SLSA_V0 ? STATEMENT_V0 : STATEMENT_V1,
    predicateType,
    subject,
    predicate,
  };
}

/**
 * One manifest that holds all statements about an image.
 * @param artifact it is an artifact whose subject is the image; otherwise it looks like an image for no platform, which
 *   every registry takes
 * @see image-spec manifest.md §Guidelines for Artifact Usage
 */
export function makeAttestationManifest(
  image: Descriptor,
  statements: readonly Statement[],
  { artifact }: { readonly artifact: boolean },
): ExportAttestation {
  const layers = statements.map((statement) => {
    const bytes = Buffer.from(JSON.stringify(statement));
    const annotations = { [PREDICATE_TYPE]: statement.predicateType };
    return { bytes, descriptor: { ...describe(IN_TOTO, bytes), annotations } };
  });
  const configBytes = artifact ? EMPTY : legacyConfig(layers.map(({ descriptor }) => descriptor));
  const config = describe(artifact ? MEDIA_TYPE.empty : MEDIA_TYPE.config, configBytes);
  const manifest: Manifest = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPE.manifest,
    ...(artifact ? { artifactType: ARTIFACT_TYPE } : {}),
    config: artifact ? { ...config, data: EMPTY.toString('base64') } : config,
    layers: layers.map(({ descriptor }) => descriptor),
    ...(artifact ? { subject: bare(image) } : {}),
  };
  const manifestBytes = encodeDocument(manifest);
  return {
    manifest: {
      ...describe(MEDIA_TYPE.manifest, manifestBytes),
      annotations: {
        'vnd.docker.reference.digest': image.digest,
        'vnd.docker.reference.type': 'attestation-manifest',
      },
      platform: NO_PLATFORM,
    },
    manifestBytes,
    configDescriptor: manifest.config,
    configBytes,
    layers,
  };
}

/** Runs nowhere, so nobody who looks for a platform takes it. */
const NO_PLATFORM: Platform = { architecture: 'unknown', os: 'unknown' };

function legacyConfig(layers: readonly Descriptor[]): Buffer {
  const diffIds = layers.map(({ digest }) => digest);
  const config = { ...NO_PLATFORM, config: {}, rootfs: { type: 'layers', diff_ids: diffIds } };
  return Buffer.from(JSON.stringify(config));
}

function describe(mediaType: string, bytes: Buffer): Descriptor {
  return { mediaType, digest: digestBytes(bytes), size: bytes.length };
}

function bare({ mediaType, digest, size }: Descriptor): Descriptor {
  return { mediaType, digest, size };
}
