import { Validation } from '@cyclonedx/cyclonedx-library';
import { Version } from '@cyclonedx/cyclonedx-library/Spec';
import { describe, expect, it } from 'vitest';
import { makeCycloneDx } from '../../../src/attest/cyclonedx.ts';
import { licenceExpression } from '../../../src/attest/licences.ts';
import { imageDependency, imagePurl, packagePurl } from '../../../src/attest/purl.ts';
import { makeSpdx } from '../../../src/attest/spdx.ts';
import type { Inventory, Package, SbomSubject } from '../../../src/attest/types.ts';

const DIGEST = `sha256:${'a'.repeat(64)}` as const;
const LAYER = `sha256:${'b'.repeat(64)}` as const;
const subject: SbomSubject = {
  name: 'docker.io/me/app:v1',
  isImage: true,
  digest: DIGEST,
  platform: { os: 'linux', architecture: 'amd64' },
  createdMs: Date.parse('2024-01-02T03:04:05.678Z'),
  toolVersion: '1.0.0',
  layerOf: (path) => (path.startsWith('app/') ? LAYER : undefined),
};
const libc: Package = {
  type: 'deb',
  name: 'libc6',
  version: '2.36-9+deb12u4',
  architecture: 'amd64',
  source: { name: 'glibc', version: '2.36-9' },
  supplier: 'GNU Libc Maintainers <libc@example.org>',
  homepage: 'https://www.gnu.org/',
  description: 'GNU C Library',
  licenses: ['GPL-2+', 'LGPL-2.1', 'Carnegie Mellon'],
  foundIn: 'var/lib/dpkg/status',
};
const scoped: Package = {
  type: 'npm',
  name: '@s/b',
  version: '1.0.0',
  licenses: ['(MIT OR Apache-2.0)'],
  checksums: { SHA512: '0'.repeat(128) },
  homepage: 'not a url',
  foundIn: 'app/node_modules/@s/b/package.json',
};
const inventory: Inventory = {
  distribution: { id: 'debian', version: '12', name: 'Debian GNU/Linux 12' },
  packages: [libc, { ...scoped, foundIn: 'app/x/node_modules/@s/b/package.json' }, scoped],
};

describe('licenceExpression()', () => {
  it.each([
    [['MIT'], 'MIT'],
    [['mit'], 'MIT'],
    [['Expat'], 'MIT'],
    [['GPL-2+', 'GPL-3'], 'GPL-2.0-or-later AND GPL-3.0-only'],
    [['LGPL-2.1+ and BSD-3-clause'], 'LGPL-2.1-or-later AND BSD-3-Clause'],
    [['MIT OR ISC', 'Zlib'], '(MIT OR ISC) AND Zlib'],
    [['GPL-2.0-or-later WITH Classpath-exception-2.0'], 'GPL-2.0-or-later WITH Classpath-exception-2.0'],
    [['SEE LICENSE IN x.md'], 'LicenseRef-SEE-LICENSE-IN-x.md'],
    [['Apache-2.0 and Go or (MIT)'], 'Apache-2.0 AND LicenseRef-Go OR (MIT)'],
    [['Apache-2.0, and Go'], 'LicenseRef-Apache-2.0-and-Go'],
    [['!!'], 'LicenseRef-unknown'],
    [['('.repeat(100_000)], 'LicenseRef-unknown'],
  ])('reads %j as %s', (texts, expression) => {
    expect(licenceExpression(texts)?.expression).toBe(expression);
  });

  it('is undefined when there is none', () => {
    expect(licenceExpression([])).toBeUndefined();
    expect(licenceExpression([' '])).toBeUndefined();
  });
});

describe('purls', () => {
  it.each([
    ['docker.io/library/app:v1', 'pkg:docker/app@v1?platform=linux%2Farm%2Fv7'],
    ['docker.io/me/app:v1', 'pkg:docker/me/app@v1?platform=linux%2Farm%2Fv7'],
    ['127.0.0.1:5987/zz/q:1', 'pkg:docker/127.0.0.1:5987/zz/q@1?platform=linux%2Farm%2Fv7'],
    [
      `docker.io/library/app@${DIGEST}`,
      `pkg:docker/app?digest=sha256%3A${'a'.repeat(64)}&platform=linux%2Farm%2Fv7`,
    ],
  ])('imagePurl() names %s as BuildKit does', (name, purl) => {
    expect(imagePurl(name, { os: 'linux', architecture: 'arm', variant: 'v7' })).toBe(purl);
  });

  it('imageDependency() takes any name of a context', () => {
    const platform = { os: 'linux', architecture: 'amd64' };
    expect(imageDependency(`Base Image@${DIGEST}`, DIGEST, platform)).toEqual({
      uri: `pkg:oci/base%20image@${DIGEST}?platform=linux%2Famd64`,
      digest: { sha256: 'a'.repeat(64) },
    });
  });

  it('packagePurl() has the namespace and the qualifiers of each type', () => {
    const { distribution } = inventory;
    expect(packagePurl(libc, distribution)).toBe(
      'pkg:deb/debian/libc6@2.36-9+deb12u4?arch=amd64&distro=debian-12&upstream=glibc%402.36-9',
    );
    expect(packagePurl(scoped, distribution)).toBe('pkg:npm/%40s/b@1.0.0');
    const musl = { ...libc, type: 'apk', name: 'musl', source: { name: 'musl' } } as const;
    expect(packagePurl(musl, undefined)).toBe('pkg:apk/alpine/musl@2.36-9+deb12u4?arch=amd64');
  });
});

describe('makeSpdx()', () => {
  const { predicate } = makeSpdx(inventory, subject);
  interface Spdx {
    packages: {
      SPDXID: string;
      licenseDeclared: string;
      sourceInfo?: string;
      supplier?: string;
      checksums?: unknown;
      homepage?: string;
    }[];
    relationships: { spdxElementId: string; relatedSpdxElement: string; relationshipType: string }[];
    hasExtractedLicensingInfos: { licenseId: string }[];
    documentNamespace: string;
    creationInfo: { created: string };
  }
  const document = predicate as unknown as Spdx;

  it('has ids of the allowed letters, each once, that all relationships name', () => {
    const ids = document.packages.map(({ SPDXID }) => SPDXID);
    expect(ids).toHaveLength(5);
    expect(new Set(ids).size).toBe(5);
    for (const id of ids) expect(id).toMatch(/^SPDXRef-[A-Za-z0-9.-]+$/);
    const ends = document.relationships.flatMap((one) => [one.spdxElementId, one.relatedSpdxElement]);
    expect(new Set(ends)).toEqual(new Set(['SPDXRef-DOCUMENT', ...ids]));
  });

  it('declares licences, with the names behind the references', () => {
    const [, , first] = document.packages;
    expect(first?.licenseDeclared).toBe('GPL-2.0-or-later AND LGPL-2.1-only AND LicenseRef-Carnegie-Mellon');
    expect(document.hasExtractedLicensingInfos).toEqual([
      {
        licenseId: 'LicenseRef-Carnegie-Mellon',
        name: 'Carnegie Mellon',
        extractedText: 'Carnegie Mellon',
      },
    ]);
  });

  it('tells source, supplier, checksums and where it is told of', () => {
    const [, , deb, npm] = document.packages;
    expect(deb?.supplier).toBe('Organization: GNU Libc Maintainers (libc@example.org)');
    expect(deb?.sourceInfo).toBe('built from glibc 2.36-9; told of by /var/lib/dpkg/status');
    expect(npm?.checksums).toEqual([{ algorithm: 'SHA512', checksumValue: '0'.repeat(128) }]);
    expect(npm?.sourceInfo).toContain(`in layer ${LAYER}`);
    expect(npm).not.toHaveProperty('homepage');
  });

  it('has the time of the image and a name that depends on the content only', () => {
    expect(document.creationInfo.created).toBe('2024-01-02T03:04:05Z');
    expect(document.documentNamespace).toMatch(
      /^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
    );
    expect(makeSpdx(inventory, subject)).toEqual(makeSpdx(structuredClone(inventory), { ...subject }));
    const other = makeSpdx({ packages: [] }, subject).predicate as unknown as Spdx;
    expect(other.documentNamespace).not.toBe(document.documentNamespace);
  });
});

describe('makeCycloneDx()', () => {
  it('gives a document that is valid by the schema', async () => {
    const { predicate, predicateType, filename } = makeCycloneDx(inventory, subject);
    expect([predicateType, filename]).toEqual(['https://cyclonedx.org/bom', 'sbom.cdx.json']);
    const validator = new Validation.JsonStrictValidator(Version.v1dot6);
    expect(await validator.validate(JSON.stringify(predicate))).toBeNull();
    expect(predicate).toMatchObject({ specVersion: '1.6', metadata: { component: { type: 'container' } } });
    const components = predicate.components as { name: string; group?: string; licenses?: unknown }[];
    expect(components.map(({ group, name }) => `${group ?? ''}/${name}`).sort()).toEqual([
      '/debian',
      '/libc6',
      '@s/b',
      '@s/b',
    ]);
    expect(components.find(({ name }) => name === 'b')?.licenses).toEqual([
      { expression: '(MIT OR Apache-2.0)' },
    ]);
  });

  it('is valid for an image that holds nothing and has no name', async () => {
    const { digest: _, ...files } = subject;
    const { predicate } = makeCycloneDx({ packages: [] }, { ...files, name: DIGEST });
    const validator = new Validation.JsonStrictValidator(Version.v1dot6);
    expect(await validator.validate(JSON.stringify(predicate))).toBeNull();
  });
});
