import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isOcibuildError } from '../../src/errors/error.ts';
import { decodeName, encodeName } from '../../src/layer/path-bytes.ts';
import { sortTree, treeDigest } from '../../src/layer/tree/tree.ts';
import type { TreeEntry } from '../../src/layer/types.ts';
import { applyLayer, readTree, unpackLayer } from '../../src/layer/unpack-layer.ts';
import { createScratch, entryOf, foreignTar, type Scratch, sealHeader, streamOf } from '../support/layers.ts';
import { runs } from '../support/runs.ts';

const signal = new AbortController().signal;

const nameBytes = fc
  .uint8Array({ minLength: 1, maxLength: 40 })
  .map((bytes) => Buffer.from(bytes.map((byte) => (byte === 0 || byte === 0x2f ? 0x61 : byte))))
  .filter((bytes) => !bytes.toString('latin1').startsWith('.'));
const name = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom('a', 'b', 'c', 'lib', 'a-b', 'a.b', 'Ä', '😀', 'x y') },
  { weight: 1, arbitrary: nameBytes.map((bytes) => decodeName(bytes)) },
  {
    weight: 1,
    arbitrary: fc.integer({ min: 90, max: 260 }).map((length) => 'n'.repeat(Math.min(length, 250))),
  },
);
const facts = fc.record({
  mode: fc.integer({ min: 0, max: 0o7777 }),
  uid: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 0xfffffffe })),
  gid: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 0xfffffffe })),
  mtimeSec: fc.oneof(fc.constant(0), fc.integer({ min: -(2 ** 40), max: 2 ** 40 })),
  xattrs: fc.option(
    fc.dictionary(
      fc.constantFrom('user.a', 'user.ü', 'security.capability'),
      fc
        .uint8Array({ maxLength: 60 })
        .map((bytes) => Buffer.from(bytes).toString('base64'))
        .filter((text) => text !== ''),
      { minKeys: 1 },
    ),
  ),
});
const item = fc.record({
  parents: fc.array(name, { maxLength: 3 }),
  base: name,
  facts,
  kind: fc.constantFrom('file', 'dir', 'symlink', 'hardlink', 'char', 'block', 'fifo', 'whiteout', 'opaque'),
  data: fc.uint8Array({ maxLength: 1200 }),
  device: fc.record({
    devMajor: fc.integer({ min: 1, max: 4095 }),
    devMinor: fc.integer({ min: 0, max: 1048575 }),
  }),
  target: fc.oneof(
    name,
    fc.constant('../../up'),
    fc.string({ minLength: 1, maxLength: 300 }).filter(isLinkText),
  ),
});
type Item = typeof item extends fc.Arbitrary<infer T> ? T : never;

function isLinkText(text: string): boolean {
  return !text.includes('\0') && text.isWellFormed();
}

/** A tree that a file system could hold: parents are directories, and no path comes twice. */
function treeFrom(items: readonly Item[], scratch: Scratch): TreeEntry[] {
  const entries = new Map<string, TreeEntry>();
  const marks: TreeEntry[] = [];
  for (const { parents, base, facts: given, kind, data, device, target } of items) {
    const { xattrs, ...numbers } = given;
    const known = { ...numbers, ...(xattrs === null ? {} : { xattrs }) };
    let parent = '';
    let blocked = false;
    for (const part of parents) {
      parent = parent === '' ? part : `${parent}/${part}`;
      blocked ||= (entries.get(parent)?.type ?? 'dir') !== 'dir';
      if (!blocked && !entries.has(parent)) entries.set(parent, entryOf(parent, 'dir'));
    }
    const path = parent === '' ? base : `${parent}/${base}`;
    if (blocked || entries.has(path)) continue;
    if (kind === 'whiteout') marks.push(entryOf(path, 'whiteout'));
    else if (kind === 'opaque') {
      entries.set(path, entryOf(path, 'dir', known));
      marks.push(entryOf(path, 'opaque'));
    } else if (kind === 'file') entries.set(path, scratch.file(path, Buffer.from(data), known));
    else if (kind === 'symlink') entries.set(path, entryOf(path, 'symlink', { ...known, link: target }));
    else if (kind === 'char' || kind === 'block')
      entries.set(path, entryOf(path, kind, { ...known, ...device }));
    else if (kind !== 'hardlink') entries.set(path, entryOf(path, kind, known));
    else {
      const file = [...entries.values()].find((entry) => entry.type === 'file');
      if (file !== undefined)
        entries.set(path, { ...file, path, type: 'hardlink', size: 0, link: file.path });
    }
  }
  const unique = new Map(marks.map((mark) => [`${mark.type} ${mark.path}`, mark]));
  return [...entries.values(), ...unique.values()];
}

describe('layers', () => {
  it('readTree() gives the tree back when it was packed', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(item, { maxLength: 25 }),
        fc.constantFrom('gzip', 'zstd', 'uncompressed'),
        async (items, compression) => {
          using scratch = createScratch();
          const tree = treeFrom(items, scratch);
          // A link that became the first path of its inode is now the file.
          const byPath = new Map(tree.map((entry) => [entry.path, entry]));
          const content = (entry: TreeEntry) => {
            const given = byPath.get(entry.path);
            return scratch.content(given?.type === 'hardlink' ? entryOf(given.link ?? '', 'file') : entry);
          };
          const packed = await scratch.pack(tree, { compression, content });
          const read = await readTree(
            { path: packed.blob },
            { signal, size: packed.size, digest: packed.digest },
          );
          expect(read.tree).toEqual(packed.tree);
          expect(read.diffId).toBe(packed.diffId);
          expect(treeDigest(read.tree)).toBe(treeDigest(packed.tree));
        },
      ),
      runs(25),
    );
  });

  it('sortTree() gives one order when its input is shuffled', async () => {
    await fc.assert(
      fc.property(fc.array(item, { maxLength: 20 }), fc.infiniteStream(fc.nat()), (items, random) => {
        using scratch = createScratch();
        const tree = treeFrom(items, scratch);
        const shuffled = tree
          .map((entry) => ({ entry, rank: random.next().value }))
          .sort((a, b) => a.rank - b.rank)
          .map(({ entry }) => entry);
        expect(sortTree(shuffled)).toEqual(sortTree(tree));
      }),
      runs(25),
    );
  });

  it('encodeName() undoes decodeName() when bytes are anything', async () => {
    await fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        expect(encodeName(decodeName(Buffer.from(bytes)))).toEqual(Buffer.from(bytes));
      }),
      runs(100),
    );
  });

  it('readTree() throws typed errors only when an archive is mutated', async () => {
    const base = await foreignTar([
      { name: 'a/', type: 'directory' },
      { name: `a/${'long'.repeat(50)}`, data: 'content' },
      { name: 'a/l', type: 'symlink', linkname: '../a' },
      { name: 'h', type: 'link', linkname: `a/${'long'.repeat(50)}` },
      { name: 'x', data: 'x'.repeat(700), pax: { 'SCHILY.xattr.user.a': 'v' } },
    ]);
    const change = fc.record({ at: fc.nat(base.length - 1), byte: fc.nat(255) });
    await fc.assert(
      fc.asyncProperty(
        fc.array(change, { maxLength: 6 }),
        fc.boolean(),
        fc.nat(base.length),
        async (changes, zip, cut) => {
          const tar = Buffer.from(base);
          for (const { at, byte } of changes) {
            tar[at] = byte;
            // With a right checksum the parser gets to see the damage.
            const header = at - (at % 512);
            if (tar.toString('latin1', header + 257, header + 262) === 'ustar') sealHeader(tar, header);
          }
          const blob = zip ? gzipSync(tar) : tar;
          const bytes = cut % 3 === 0 ? blob.subarray(0, cut) : blob;
          const failure = await readTree(
            { stream: streamOf(bytes, 333) },
            { signal, size: bytes.length },
          ).then(
            () => undefined,
            (error: unknown) => error,
          );
          expect(failure === undefined || isOcibuildError(failure)).toBe(true);
          if (isOcibuildError(failure)) expect(failure.code).toBe('LAYER_INVALID');
        },
      ),
      runs(60),
    );
  });

  it.each(['applyLayer', 'unpackLayer'])(
    '%s() never leaves its root when an archive is hostile',
    async (how) => {
      const part = fc.constantFrom('a', 'b', '..', '.', '', 'c', '.wh.a', '.wh.b', '.wh..wh..opq', '.wh...');
      const path = fc.array(part, { minLength: 1, maxLength: 5 }).map((parts) => parts.join('/'));
      const member = fc.record({
        name: fc.tuple(fc.boolean(), path).map(([absolute, text]) => (absolute ? `/${text}` : text) || 'a'),
        type: fc.constantFrom('file', 'symlink', 'link', 'directory' as const),
        linkname: fc.oneof(
          path,
          fc.constantFrom('/', '..', '../..', '../outside', '../outside/victim', '/outside'),
        ),
      });
      await fc.assert(
        fc.asyncProperty(fc.array(member, { maxLength: 12 }), async (members) => {
          using scratch = createScratch();
          const dest = scratch.path('root');
          mkdirSync(dest);
          mkdirSync(scratch.path('outside'));
          writeFileSync(scratch.path('outside/victim'), 'safe');
          const tar = await foreignTar(
            members.map(({ name: at, type, linkname }) => ({
              name: at,
              type,
              ...(type === 'file' ? { data: 'evil' } : {}),
              ...(type === 'symlink' || type === 'link' ? { linkname: linkname || 'a' } : {}),
            })),
          );
          const options = { signal, dest, ignoreOwners: true, size: tar.length };
          const source = { stream: streamOf(tar) };
          const reading =
            how === 'applyLayer'
              ? applyLayer(source, options)
              : unpackLayer(source, { ...options, opaqueXattr: 'user.overlay.opaque' });
          const failure = await reading.catch((error: unknown) => error);
          if (failure instanceof Error) expect(isOcibuildError(failure), String(failure.stack)).toBe(true);
          expect(readdirSync(scratch.dir).sort()).toEqual(['outside', 'root']);
          expect(readdirSync(scratch.path('outside'))).toEqual(['victim']);
          expect(readFileSync(scratch.path('outside/victim'), 'utf8')).toBe('safe');
        }),
        runs(40),
      );
    },
  );
});
