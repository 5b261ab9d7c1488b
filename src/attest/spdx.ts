import { createHash } from 'node:crypto';
import { type LicenceWord, licenceExpression } from './licences.ts';
import { imagePurl, packagePurl } from './purl.ts';
import type { Inventory, Package, Predicate, SbomSubject } from './types.ts';

const NO_ASSERTION = 'NOASSERTION';
/** Longer ones are none. */
const MAX_ACTOR = 500;
const IMAGE_ID = 'SPDXRef-Image';

/** The document as SPDX 2.3 JSON. Equal images give equal documents. @see SPDX 2.3 */
export function makeSpdx(inventory: Inventory, subject: SbomSubject): Predicate {
  const { packages, distribution } = inventory;
  const named = packages.map((pack) => ({ pack, id: idOf(pack), licence: licenceExpression(pack.licenses) }));
  const system =
    distribution === undefined
      ? []
      : [{ ...blank(distribution.id, 'SPDXRef-OperatingSystem'), ...versionOf(distribution.version), ...OS }];
  const documents = [
    imagePackage(subject),
    ...system,
    ...named.map(({ pack, id, licence }) => packageOf(pack, { id, licence, inventory, subject })),
  ];
  const texts = Object.assign(
    {},
    ...named.map(({ licence }) => licence?.names ?? {}),
  ) as LicenceWord['names'];
  const extracted = Object.entries(texts).sort(([a], [b]) => (a < b ? -1 : 1));
  const predicate = {
    spdxVersion: 'SPDX-2.3',
    dataLicense: 'CC0-1.0',
    SPDXID: 'SPDXRef-DOCUMENT',
    name: subject.name,
    documentNamespace: documentUri('spdx', inventory, subject),
    creationInfo: {
      created: new Date(subject.createdMs).toISOString().replace(/\.\d+Z$/, 'Z'),
      creators: [`Tool: ocibuild-${subject.toolVersion}`],
    },
    packages: documents,
    ...(extracted.length === 0
      ? {}
      : {
          hasExtractedLicensingInfos: extracted.map(([licenseId, name]) => ({
            ...{ licenseId, name, extractedText: name },
          })),
        }),
    relationships: [
      { spdxElementId: 'SPDXRef-DOCUMENT', relationshipType: 'DESCRIBES', relatedSpdxElement: IMAGE_ID },
      ...documents.slice(1).map(({ SPDXID }) => ({
        spdxElementId: IMAGE_ID,
        relationshipType: 'CONTAINS',
        relatedSpdxElement: SPDXID,
      })),
    ],
  };
  return {
    kind: 'sbom',
    predicateType: 'https://spdx.dev/Document',
    predicate,
    filename: 'sbom.spdx.json',
  };
}

/** A name for the document that the same content has every time. */
export function documentUri(format: string, { packages }: Inventory, subject: SbomSubject): string {
  const { name, digest, toolVersion } = subject;
  const hash = createHash('sha256').update(JSON.stringify([format, toolVersion, name, digest, packages]));
  const hex = hash.digest('hex');
  // RFC 9562 §5.8: a UUID whose bits are the maker's own.
  const variant = ((Number.parseInt(hex.slice(16, 17), 16) & 0x3) | 0x8).toString(16);
  const parts = [
    hex.slice(0, 8),
    hex.slice(8, 12),
    `8${hex.slice(13, 16)}`,
    `${variant}${hex.slice(17, 20)}`,
  ];
  return `urn:uuid:${[...parts, hex.slice(20, 32)].join('-')}`;
}

/** Package URL of the image; undefined where it has no name that an image can have. */
export function subjectPurl({ name, platform, isImage }: SbomSubject): string | undefined {
  try {
    return isImage ? imagePurl(name, platform) : undefined;
  } catch {
    return undefined;
  }
}

const OS = { primaryPackagePurpose: 'OPERATING-SYSTEM' };

interface SpdxPackage {
  readonly [field: string]: unknown;
  readonly SPDXID: string;
  readonly name: string;
}

function imagePackage(subject: SbomSubject): SpdxPackage {
  const purl = subjectPurl(subject);
  return {
    ...blank(subject.name, IMAGE_ID),
    ...versionOf(subject.digest),
    primaryPackagePurpose: subject.isImage ? 'CONTAINER' : 'SOURCE',
    ...(subject.digest === undefined
      ? {}
      : { checksums: [{ algorithm: 'SHA256', checksumValue: subject.digest.slice('sha256:'.length) }] }),
    ...(purl === undefined ? {} : { externalRefs: [purlRef(purl)] }),
  };
}

function packageOf(
  pack: Package,
  about: {
    readonly id: string;
    readonly licence: LicenceWord | undefined;
    readonly inventory: Inventory;
    readonly subject: SbomSubject;
  },
): SpdxPackage {
  const { name, version, supplier, homepage, description, source, checksums, foundIn } = pack;
  const layer = about.subject.layerOf(foundIn);
  return {
    ...blank(name, about.id),
    versionInfo: version,
    ...(supplier === undefined ? {} : { supplier: actorOf(supplier) }),
    ...(isUrl(homepage) ? { homepage } : {}),
    ...(description === undefined ? {} : { description }),
    licenseDeclared: about.licence?.expression ?? NO_ASSERTION,
    sourceInfo: `${source === undefined ? '' : `built from ${source.name}${source.version === undefined ? '' : ` ${source.version}`}; `}told of by /${foundIn}${layer === undefined ? '' : ` in layer ${layer}`}`,
    ...(checksums === undefined
      ? {}
      : {
          checksums: Object.entries(checksums).map(([algorithm, checksumValue]) => ({
            algorithm,
            checksumValue,
          })),
        }),
    externalRefs: [purlRef(packagePurl(pack, about.inventory.distribution))],
  };
}

/** The fields that every package must have. */
function blank(name: string, id: string): SpdxPackage {
  return {
    SPDXID: id,
    name,
    downloadLocation: NO_ASSERTION,
    filesAnalyzed: false,
    licenseConcluded: NO_ASSERTION,
    licenseDeclared: NO_ASSERTION,
    copyrightText: NO_ASSERTION,
  };
}

function versionOf(version: string | undefined): { versionInfo?: string } {
  return version === undefined ? {} : { versionInfo: version };
}

function purlRef(purl: string): Record<string, string> {
  return { referenceCategory: 'PACKAGE-MANAGER', referenceType: 'purl', referenceLocator: purl };
}

/** `Name <mail>` → `Person: Name (mail)`; those of distributions are groups more often than not. */
function actorOf(text: string): string {
  const shown = text.slice(0, MAX_ACTOR).replace(/\s+/g, ' ');
  const [, name = shown, mail] = /^(.*?)\s*<([^>]*)>$/s.exec(shown) ?? [];
  return `Organization: ${name || mail}${mail && name ? ` (${mail})` : ''}`;
}

function isUrl(text: string | undefined): text is string {
  return text !== undefined && /^https?:\/\/\S+$/.test(text);
}

/** Letters, digits, dots and dashes only; equal names in two places are told apart by a hash. @see SPDX 2.3 §7.2 */
function idOf({ type, name, version, architecture, foundIn }: Package): string {
  const hash = createHash('sha256').update(JSON.stringify([type, name, version, architecture, foundIn]));
  const readable = `${type}-${name}`.replace(/[^A-Za-z0-9.-]+/g, '-');
  return `SPDXRef-Package-${readable}-${hash.digest('hex').slice(0, 16)}`;
}
