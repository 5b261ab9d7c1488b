import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { parseBuildInfo, readGo } from '../../../../src/attest/packages/go.ts';
import { imageFiles } from '../../../../src/attest/packages/image-files.ts';
import { packagePurl } from '../../../../src/attest/purl.ts';
import type { ImageFiles, Package } from '../../../../src/attest/types.ts';

const dir = mkdtempSync(join(tmpdir(), 'ocibuild-go-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const MODULES = `path\texample.org/app
mod\texample.org/app\t(devel)\t
dep\tgithub.com/a/b\tv1.2.3\th1:x=
dep\tgithub.com/old/c\tv1.0.0
=>\tgithub.com/new/c\tv2.0.0\th1:y=
build\t-compiler=gc
`;

const sized = (text: string): Buffer => {
  const bytes = Buffer.from(text, 'latin1');
  return Buffer.concat([Buffer.from([(bytes.length & 0x7f) | 0x80, bytes.length >> 7]), bytes]);
};
const buildInfo = (flags = 2): Buffer => {
  const head = Buffer.alloc(32);
  head.write('\xff Go buildinf:', 'latin1');
  head[14] = 8;
  head[15] = flags;
  const edge = '0123456789abcdef';
  return Buffer.concat([head, sized('go1.22.1 X:x'), sized(`${edge}${MODULES}${edge}`)]);
};

/** An ELF file of two sections: names, and the build info. */
function elfOf(info: Buffer, wide: boolean): Buffer {
  const names = Buffer.from('\0.go.buildinfo\0', 'latin1');
  const [headBytes, entryBytes] = wide ? [64, 64] : [52, 40];
  const head = Buffer.alloc(headBytes);
  head.write('\x7fELF', 'latin1');
  head[4] = wide ? 2 : 1;
  head[5] = 1;
  const tableAt = headBytes + names.length + info.length;
  if (wide) head.writeBigUInt64LE(BigInt(tableAt), 40);
  else head.writeUInt32LE(tableAt, 32);
  for (const [i, value] of [entryBytes, 2, 0].entries()) head.writeUInt16LE(value, (wide ? 58 : 46) + 2 * i);
  const entry = (name: number, at: number, length: number): Buffer => {
    const bytes = Buffer.alloc(entryBytes);
    bytes.writeUInt32LE(name, 0);
    if (wide) {
      bytes.writeBigUInt64LE(BigInt(at), 24);
      bytes.writeBigUInt64LE(BigInt(length), 32);
    } else {
      bytes.writeUInt32LE(at, 16);
      bytes.writeUInt32LE(length, 20);
    }
    return bytes;
  };
  const table = [entry(0, headBytes, names.length), entry(1, headBytes + names.length, info.length)];
  return Buffer.concat([head, names, info, ...table]);
}

function filesOf(file: Buffer): ImageFiles {
  const path = join(dir, `file-${Math.random()}`);
  writeFileSync(path, file);
  const about = { uid: 0, gid: 0, mtimeSec: 0 };
  return imageFiles({
    tree: [{ path: 'app', type: 'file', mode: 0o755, size: file.length, ...about }],
    content: () => path,
    layerOf: () => undefined,
  });
}

const EXPECTED = ['github.com/a/b v1.2.3', 'github.com/new/c v2.0.0', 'stdlib 1.22.1'];
const shown = (packages: readonly Package[]): string[] =>
  packages.map(({ name, version }) => `${name} ${version}`);

describe('readGo()', () => {
  it.each([
    ['64 bits', true],
    ['32 bits', false],
  ])('gives the modules of a program of %s', (_, wide) => {
    const packages = readGo(filesOf(elfOf(buildInfo(), wide)));
    expect(shown(packages)).toEqual(EXPECTED);
    expect(packages[0] && packagePurl(packages[0], undefined)).toBe('pkg:golang/github.com/a/b@v1.2.3');
  });

  it('never fails when a file is cut or has other bytes anywhere in its tables', () => {
    const file = elfOf(buildInfo(), true);
    for (let length = 0; length < file.length; length += 7) {
      expect(shown(readGo(filesOf(file.subarray(0, length))))).toEqual([]);
    }
    for (let at = 4; at < 64; at++) {
      const other = Buffer.from(file);
      other[at] = 0xff;
      expect(() => readGo(filesOf(other))).not.toThrow();
    }
  });

  it.skipIf(!existsSync('/usr/sbin/runc'))('reads what the Go linker writes', () => {
    const read = (_: string, offset: number, length: number): Buffer | undefined => {
      if (offset + length > statSync('/usr/sbin/runc').size) return undefined;
      const fd = openSync('/usr/sbin/runc', 'r');
      const bytes = Buffer.alloc(length);
      readSync(fd, bytes, 0, length, offset);
      closeSync(fd);
      return bytes;
    };
    const files: ImageFiles = {
      ...{ paths: [], executables: ['usr/sbin/runc'], readPart: read },
      ...{ read: () => undefined, layerOf: () => undefined },
    };
    expect(shown(readGo(files)).join('\n')).toMatch(/^stdlib \d/m);
  });
});

describe('parseBuildInfo()', () => {
  it('gives nothing for programs of Go before 1.18, and for other data', () => {
    expect(parseBuildInfo(buildInfo(0), 'x')).toEqual([]);
    expect(parseBuildInfo(Buffer.alloc(100), 'x')).toEqual([]);
    expect(parseBuildInfo(buildInfo().subarray(0, 40), 'x')).toEqual([]);
  });
});
