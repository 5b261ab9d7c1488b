import { ComponentType, ExternalReferenceType, HashAlgorithm } from '@cyclonedx/cyclonedx-library/Enums';
import {
  Bom,
  Component,
  ExternalReference,
  ExternalReferenceRepository,
  HashDictionary,
  type License,
  LicenseExpression,
  LicenseRepository,
  Metadata,
  NamedLicense,
  OrganizationalEntity,
  Property,
  PropertyRepository,
  SpdxLicense,
  Tool,
  ToolRepository,
  Tools,
} from '@cyclonedx/cyclonedx-library/Models';
import { JSON as Json, JsonSerializer } from '@cyclonedx/cyclonedx-library/Serialize';
import { isSupportedSpdxId } from '@cyclonedx/cyclonedx-library/SPDX';
import { Spec1dot6 } from '@cyclonedx/cyclonedx-library/Spec';
import { licenceExpression } from './licences.ts';
import { packagePurl } from './purl.ts';
import { documentUri, subjectPurl } from './spdx.ts';
import type { Inventory, Package, Predicate, SbomSubject } from './types.ts';

/** The document as CycloneDX 1.6 JSON. Equal images give equal documents. @see ECMA-424 */
export function makeCycloneDx(inventory: Inventory, subject: SbomSubject): Predicate {
  const bom = new Bom({
    serialNumber: documentUri('cyclonedx', inventory, subject),
    metadata: new Metadata({
      timestamp: new Date(subject.createdMs),
      tools: new Tools({
        tools: new ToolRepository([new Tool({ name: 'ocibuild', version: subject.toolVersion })]),
      }),
      component: imageComponent(subject),
    }),
  });
  const { distribution } = inventory;
  if (distribution !== undefined) {
    bom.components.add(
      new Component(ComponentType.OperatingSystem, distribution.id, {
        bomRef: 'os',
        description: distribution.name,
        ...(distribution.version === undefined ? {} : { version: distribution.version }),
      }),
    );
  }
  for (const pack of inventory.packages) bom.components.add(componentOf(pack, inventory, subject));
  const text = new JsonSerializer(new Json.Normalize.Factory(Spec1dot6)).serialize(bom, { sortLists: true });
  return {
    kind: 'sbom',
    predicateType: 'https://cyclonedx.org/bom',
    predicate: JSON.parse(text) as Predicate['predicate'],
    filename: 'sbom.cdx.json',
  };
}

function imageComponent(subject: SbomSubject): Component {
  const purl = subjectPurl(subject);
  return new Component(subject.isImage ? ComponentType.Container : ComponentType.File, subject.name, {
    bomRef: 'image',
    ...(subject.digest === undefined
      ? {}
      : {
          version: subject.digest,
          hashes: new HashDictionary([[HashAlgorithm['SHA-256'], subject.digest.slice('sha256:'.length)]]),
        }),
    ...(purl === undefined ? {} : { purl }),
  });
}

function componentOf(pack: Package, { distribution }: Inventory, subject: SbomSubject): Component {
  const { name, version, supplier, homepage, description, source, checksums, foundIn } = pack;
  const slash = pack.type === 'npm' ? name.indexOf('/') : -1;
  const purl = packagePurl(pack, distribution);
  const layer = subject.layerOf(foundIn);
  const properties = [
    new Property('ocibuild:path', `/${foundIn}`),
    ...(layer === undefined ? [] : [new Property('ocibuild:layer', layer)]),
    ...(source === undefined ? [] : [new Property('ocibuild:source', source.name)]),
  ];
  return new Component(ComponentType.Library, name.slice(slash + 1), {
    bomRef: `${purl}#${foundIn}`,
    version,
    purl,
    ...(slash > 0 ? { group: name.slice(0, slash) } : {}),
    ...(supplier === undefined ? {} : { supplier: new OrganizationalEntity({ name: supplier }) }),
    ...(description === undefined ? {} : { description }),
    ...(homepage === undefined || !/^https?:\/\/[^\s<>"{}|\\^`]+$/.test(homepage)
      ? {}
      : {
          externalReferences: new ExternalReferenceRepository([
            new ExternalReference(homepage, ExternalReferenceType.Website),
          ]),
        }),
    ...(checksums?.SHA512 === undefined
      ? {}
      : { hashes: new HashDictionary([[HashAlgorithm['SHA-512'], checksums.SHA512]]) }),
    licenses: new LicenseRepository(licencesOf(pack)),
    properties: new PropertyRepository(properties),
  });
}

/** One expression, or any number of names: the format takes no mixture. */
function licencesOf({ licenses }: Package): License[] {
  const word = licenceExpression(licenses);
  if (word === undefined) return [];
  if (Object.keys(word.names).length > 0) return licenses.map((name) => new NamedLicense(name));
  if (isSupportedSpdxId(word.expression)) return [new SpdxLicense(word.expression)];
  return [new LicenseExpression(word.expression)];
}
