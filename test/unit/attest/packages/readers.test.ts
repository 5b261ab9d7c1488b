import { describe, expect, it } from 'vitest';
import { parseApk, readApk } from '../../../../src/attest/packages/apk.ts';
import { parseCopyright, parseDpkg, readDpkg } from '../../../../src/attest/packages/dpkg.ts';
import { takeInventory } from '../../../../src/attest/packages/inventory.ts';
import { parseNpm, readNpm } from '../../../../src/attest/packages/npm.ts';
import { parseOsRelease } from '../../../../src/attest/packages/os-release.ts';
import { parsePython } from '../../../../src/attest/packages/python.ts';
import type { ImageFiles } from '../../../../src/attest/types.ts';

const filesOf = (files: Readonly<Record<string, string>>): ImageFiles => ({
  paths: Object.keys(files).sort(),
  read: (path) => files[path],
  layerOf: () => undefined,
  executables: [],
  readPart: () => undefined,
});

const STATUS = `Package: libc6
Status: install ok installed
Architecture: amd64
Source: glibc (2.36-9)
Version: 2.36-9+deb12u4
Maintainer: GNU Libc Maintainers <debian-glibc@lists.debian.org>
Homepage: https://www.gnu.org/software/libc/libc.html
Description: GNU C Library: Shared libraries
 Contains the standard libraries that are used by nearly all programs.
 .
 Package: not-a-field

Package: gone
Status: deinstall ok config-files
Version: 1

Package: half
Status: install ok half-configured
Version: 1

Package: bash
Status: install ok installed
Version: 5.2-1`;

describe('parseDpkg()', () => {
  it('gives installed packages with source, maintainer and the first line of the description', () => {
    expect(parseDpkg(STATUS, 'status')).toEqual([
      {
        type: 'deb',
        name: 'libc6',
        version: '2.36-9+deb12u4',
        architecture: 'amd64',
        source: { name: 'glibc', version: '2.36-9' },
        supplier: 'GNU Libc Maintainers <debian-glibc@lists.debian.org>',
        homepage: 'https://www.gnu.org/software/libc/libc.html',
        description: 'GNU C Library: Shared libraries',
        licenses: [],
        foundIn: 'status',
      },
      { type: 'deb', name: 'bash', version: '5.2-1', licenses: [], foundIn: 'status' },
    ]);
  });

  it('gives nothing when the file is no status file', () => {
    expect(parseDpkg('hello\n\u0000\u0001: x\n:\n  y', 'status')).toEqual([]);
  });
});

describe('readDpkg()', () => {
  it('reads the files of images without dpkg, and licences from copyright files', () => {
    const files = filesOf({
      'var/lib/dpkg/status.d/base': 'Package: base-files\nVersion: 12\n',
      'var/lib/dpkg/status.d/base.md5sums': 'd41d8cd9  etc/hosts',
      'var/lib/dpkg/status.d/sub/no': 'Package: no\nVersion: 1\n',
      'usr/share/doc/base-files/copyright':
        'Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\nFiles: *\nLicense: GPL-2+\n text\n\nFiles: x\nLicense: Expat\n\nLicense: GPL-2+\n more\n',
    });
    expect(readDpkg(files)).toEqual([
      {
        type: 'deb',
        name: 'base-files',
        version: '12',
        licenses: ['Expat', 'GPL-2+'],
        foundIn: 'var/lib/dpkg/status.d/base',
      },
    ]);
  });

  it('takes no licence from a copyright file that is prose', () => {
    expect(parseCopyright('This is free software.\nLicense: see below\n')).toEqual([]);
  });
});

describe('parseApk()', () => {
  it('gives packages, and no fields of their directories and files', () => {
    const text =
      'C:Q1abc=\nP:musl\nV:1.2.5-r0\nA:x86_64\nT:the musl c library\nU:https://musl.libc.org/\nL:MIT\no:musl\nm:Natanael <n@example.org>\nF:lib\nP:trap\nR:ld-musl-x86_64.so.1\n\nP:broken\n\nP:tz\nV:1\n';
    expect(parseApk(text, 'db')).toEqual([
      {
        type: 'apk',
        name: 'musl',
        version: '1.2.5-r0',
        architecture: 'x86_64',
        description: 'the musl c library',
        homepage: 'https://musl.libc.org/',
        licenses: ['MIT'],
        source: { name: 'musl' },
        supplier: 'Natanael <n@example.org>',
        foundIn: 'db',
      },
      { type: 'apk', name: 'tz', version: '1', licenses: [], foundIn: 'db' },
    ]);
  });

  it('reads the newer place when the older is not there', () => {
    expect(readApk(filesOf({ 'usr/lib/apk/db/installed': 'P:a\nV:1\n' }))).toHaveLength(1);
    expect(readApk(filesOf({}))).toEqual([]);
  });
});

describe('readNpm()', () => {
  it('finds installed packages, scoped ones too, and nothing deeper in them', () => {
    const files = filesOf({
      'app/package.json': '{"name":"app","version":"1.0.0"}',
      'app/node_modules/a/package.json': '{"name":"a","version":"1.0.0","license":"MIT"}',
      'app/node_modules/a/test/package.json': '{"name":"fixture","version":"1.0.0"}',
      'app/node_modules/a/node_modules/@s/b/package.json':
        '{"name":"@s/b","version":"2.0.0","licenses":[{"type":"ISC"},{"type":"MIT"}],"author":{"name":"B"}}',
      'app/node_modules/broken/package.json': '{"name":',
      'app/node_modules/.package-lock.json':
        '{"packages":{"node_modules/a":{"integrity":"sha512-AAEC"},"node_modules/broken":null}}',
    });
    expect(readNpm(files)).toEqual([
      {
        type: 'npm',
        name: '@s/b',
        version: '2.0.0',
        licenses: ['ISC', 'MIT'],
        supplier: 'B',
        foundIn: 'app/node_modules/a/node_modules/@s/b/package.json',
      },
      {
        type: 'npm',
        name: 'a',
        version: '1.0.0',
        licenses: ['MIT'],
        checksums: { SHA512: '000102' },
        foundIn: 'app/node_modules/a/package.json',
      },
    ]);
  });

  it.each(['null', '[]', '{"name":1,"version":"1"}', '{"name":"a"}', '"a"'])('skips %s', (text) => {
    expect(parseNpm(text, 'x')).toBeUndefined();
  });
});

describe('parsePython()', () => {
  it('takes the expression before the older field, and no licence that is a whole text', () => {
    const head = 'Metadata-Version: 2.4\nName: Typing_Extensions\nVersion: 4.12.2\n';
    expect(parsePython(`${head}License-Expression: PSF-2.0\nLicense: x\n\nName: body\n`, 'm')).toMatchObject({
      name: 'typing-extensions',
      version: '4.12.2',
      licenses: ['PSF-2.0'],
    });
    expect(parsePython(`${head}License: Copyright\n  all of it\n`, 'm')?.licenses).toEqual([]);
    expect(parsePython('Name: x\n', 'm')).toBeUndefined();
  });
});

describe('parseOsRelease()', () => {
  it('reads quoted values', () => {
    const text = 'PRETTY_NAME="Debian \\"12\\""\n# c\nID=debian\nVERSION_ID=\'12\'\n';
    expect(parseOsRelease(text)).toEqual({ id: 'debian', version: '12', name: 'Debian "12"' });
    expect(parseOsRelease('ID=arch\n')).toEqual({ id: 'arch', name: 'arch' });
    expect(parseOsRelease('ID="a b/c"\n')).toBeUndefined();
    expect(parseOsRelease('')).toBeUndefined();
  });
});

describe('takeInventory()', () => {
  it('sorts what all readers found, each once', () => {
    const files = filesOf({
      'etc/os-release': 'ID=alpine\nVERSION_ID=3.20.1\n',
      'lib/apk/db/installed': 'P:z\nV:1\n\nP:a\nV:2\n\nP:a\nV:2\n',
      'n/node_modules/q/package.json': '{"name":"q","version":"1.0.0"}',
      'x/y-1.dist-info/METADATA': 'Name: y\nVersion: 1\n',
    });
    const { distribution, packages } = takeInventory(files, new AbortController().signal);
    expect(distribution?.id).toBe('alpine');
    expect(packages.map(({ type, name }) => `${type} ${name}`)).toEqual([
      'apk a',
      'apk z',
      'npm q',
      'pypi y',
    ]);
  });

  it('stops when the build is cancelled', () => {
    expect(() => takeInventory(filesOf({}), AbortSignal.abort())).toThrow('cancelled');
  });
});
