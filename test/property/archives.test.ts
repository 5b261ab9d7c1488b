import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { copyBetween } from '../../src/build/images/copy-between.ts';
import { unpackImage } from '../../src/build/images/unpack.ts';
import { isOcibuildError } from '../../src/errors/error.ts';
import { digestBytes } from '../../src/image/digest.ts';
import { MEDIA_TYPE } from '../../src/image/types.ts';
import { foreignTar, type Member, sealHeader } from '../support/layers.ts';
import { runs } from '../support/runs.ts';

const signal = new AbortController().signal;
/** Everything that bad input may end in; INTERNAL and bare errors are faults of ours. */
const CODES = [
  ...['ARCHIVE_INVALID', 'LAYOUT_INVALID', 'IMAGE_INVALID', 'LAYER_INVALID', 'IMAGE_NOT_FOUND'],
  ...['IMAGE_PLATFORM_MISSING', 'BLOB_NOT_FOUND', 'BLOB_SIZE_MISMATCH', 'BLOB_DIGEST_MISMATCH'],
  ...['LAYER_UNAVAILABLE', 'PLATFORM_INVALID', 'REFERENCE_INVALID'],
];

type Json = Record<string, unknown>;
/** Which document to change, where in it (as a share of its places), and what to put there. */
interface JsonChange {
  readonly document: string;
  readonly at: number;
  readonly value: unknown;
}

const deep = JSON.parse(`${'['.repeat(3000)}${']'.repeat(3000)}`) as unknown;
const jsonChange: fc.Arbitrary<JsonChange> = fc.record({
  document: fc.constantFrom('config', 'manifest', 'inner', 'index.json', 'manifest.json', 'oci-layout'),
  at: fc.double({ min: 0, max: 0.999, noNaN: true }),
  value: fc.oneof(
    fc.constantFrom<unknown>(
      ...[
        null,
        true,
        -1,
        0,
        1.5,
        1e300,
        2 ** 53,
        '',
        'x',
        '../../etc/passwd',
        '/etc/passwd',
        [],
        {},
        [null],
        deep,
      ],
      ...[
        'sha256:',
        `sha256:${'0'.repeat(64)}`,
        'sha512:00',
        JSON.parse('{"__proto__":{"x":1},"constructor":7}'),
      ],
      ...[MEDIA_TYPE.index, MEDIA_TYPE.manifest, 'application/vnd.docker.distribution.manifest.v1+json'],
    ),
    fc.json().map((text) => JSON.parse(text) as unknown),
  ),
});

const part = fc.constantFrom(
  'a',
  'b',
  '..',
  '.',
  '',
  'c',
  '.wh.a',
  '.wh.',
  '.wh...',
  '.wh..wh..opq',
  'd\n',
  'victim',
);
const path = fc.array(part, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/'));
const target = fc.oneof(
  path,
  fc.constantFrom('/', '..', '../..', '../outside', '/etc', '../../outside/victim'),
);
const layerMember = fc
  .record({
    name: fc.tuple(fc.boolean(), path).map(([absolute, text]) => (absolute ? `/${text}` : text) || 'a'),
    type: fc.constantFrom(
      'file',
      'file',
      'directory',
      'symlink',
      'link',
      'fifo',
      'character-device' as const,
    ),
    linkname: target,
    mode: fc.constantFrom(0o644, 0o4755, 0o1777, 0),
  })
  .map(({ name, type, linkname, mode }): Member => {
    const link = type === 'symlink' || type === 'link' ? { linkname: linkname || 'a' } : {};
    const device = type === 'character-device' ? { devmajor: 1, devminor: 3 } : {};
    return { name, type, mode, ...link, ...device, ...(type === 'file' ? { data: 'evil' } : {}) };
  });

/** Puts a value at one of the places of a document. */
function changeJson(document: unknown, at: number, value: unknown): unknown {
  const places: (() => void)[] = [];
  const copy = structuredClone({ top: document }) as Json;
  const walk = (holder: Json): void => {
    for (const key of Object.keys(holder)) {
      places.push(() => {
        holder[key] = value;
      });
      const inner = holder[key];
      if (typeof inner === 'object' && inner !== null) walk(inner as Json);
    }
  };
  walk(copy);
  places[Math.floor(at * places.length)]?.();
  return copy.top;
}

interface ImageParts {
  readonly layers: readonly (readonly Member[])[];
  readonly compression: 'none' | 'gzip' | 'zstd';
  readonly change?: JsonChange | null;
  /** The form of Docker before 25, or one that is an OCI layout too. */
  readonly old: boolean;
}

/** The members of an archive that is right but for the change; digests follow it, so that it is believed. */
async function archiveOf({ layers, compression, change, old }: ImageParts): Promise<Member[]> {
  const encode = (name: string, document: unknown): Buffer => {
    const changed = change?.document === name ? changeJson(document, change.at, change.value) : document;
    return Buffer.from(JSON.stringify(changed) ?? 'null');
  };
  const members: Member[] = [];
  const put = (data: Buffer, mediaType: string) => {
    const digest = digestBytes(data);
    const name = `blobs/sha256/${digest.slice(7)}`;
    if (!members.some((member) => member.name === name)) members.push({ name, data });
    return { descriptor: { mediaType, digest, size: data.length }, name };
  };
  const tars = await Promise.all(layers.map((content) => foreignTar(content)));
  const type = { none: MEDIA_TYPE.layerTar, gzip: MEDIA_TYPE.layerGzip, zstd: MEDIA_TYPE.layerZstd }[
    compression
  ];
  const pack = { none: (tar: Buffer) => tar, gzip: gzipSync, zstd: zstdCompressSync }[compression];
  const blobs = tars.map((tar) => put(pack(tar), type));
  const rootfs = { type: 'layers', diff_ids: tars.map(digestBytes) };
  const history = layers.map(() => ({ created_by: 'x' }));
  const config = put(
    encode('config', {
      architecture: 'amd64',
      os: 'linux',
      config: { Env: ['A=1'], User: '0' },
      rootfs,
      history,
    }),
    MEDIA_TYPE.config,
  );
  const saved = { Config: config.name, RepoTags: ['app:v0'], Layers: blobs.map(({ name }) => name) };
  members.push({ name: 'manifest.json', data: encode('manifest.json', [saved]) });
  if (old) return members;
  const manifest = put(
    encode('manifest', {
      ...{ schemaVersion: 2, mediaType: MEDIA_TYPE.manifest, config: config.descriptor },
      layers: blobs.map(({ descriptor }) => descriptor),
    }),
    MEDIA_TYPE.manifest,
  );
  const platform = { os: 'linux', architecture: 'amd64' };
  const inner = put(
    encode('inner', {
      schemaVersion: 2,
      mediaType: MEDIA_TYPE.index,
      manifests: [{ ...manifest.descriptor, platform }],
    }),
    MEDIA_TYPE.index,
  );
  const annotations = { 'org.opencontainers.image.ref.name': 'v0' };
  const index = { schemaVersion: 2, manifests: [{ ...inner.descriptor, annotations }] };
  members.push({ name: 'index.json', data: encode('index.json', index) });
  members.push({ name: 'oci-layout', data: encode('oci-layout', { imageLayoutVersion: '1.0.0' }) });
  return members;
}

/** Where everything happens: beside the archive there is a file that nobody may touch. */
interface Jail extends Disposable {
  readonly dir: string;
  check(): void;
}

function makeJail(): Jail {
  const dir = mkdtempSync(join(tmpdir(), 'ocibuild-jail-'));
  for (const name of ['outside', 'temp', 'work']) mkdirSync(join(dir, name));
  writeFileSync(join(dir, 'outside/victim'), 'safe');
  return {
    dir,
    check() {
      expect(readdirSync(dir).sort()).toEqual(['outside', 'temp', 'work']);
      expect(readdirSync(join(dir, 'outside'))).toEqual(['victim']);
      expect(readFileSync(join(dir, 'outside/victim'), 'utf8')).toBe('safe');
      expect(readdirSync(join(dir, 'temp'))).toEqual([]);
      const known = ['archive', 'bundle', 'out', 'store', 'tree'];
      expect(readdirSync(join(dir, 'work')).filter((name) => !known.includes(name))).toEqual([]);
      expect(listDir(join(dir, 'work/store/tmp'))).toEqual([]);
      expect(listDir(join(dir, 'work/out')).filter((name) => name.startsWith('.'))).toEqual([]);
      expect(Object.prototype).not.toHaveProperty('x');
    },
    [Symbol.dispose]: () => rmSync(dir, { recursive: true, force: true }),
  };
}

function listDir(dir: string): string[] {
  try {
    return readdirSync(dir);
  } catch {
    return [];
  }
}

/** Does it, and sees to it that it fails in a known way if it fails. */
async function succeeds(action: () => Promise<unknown>): Promise<boolean> {
  try {
    await action();
    return true;
  } catch (error) {
    expect(isOcibuildError(error), error instanceof Error ? error.stack : String(error)).toBe(true);
    if (isOcibuildError(error)) expect(CODES, error.stack).toContain(error.code);
    return false;
  }
}

/** Copies from a place to a layout; `full`: also to a store, and unpacks what arrived there. Whether all that worked. */
async function useImage(jail: Jail, from: string, full: boolean): Promise<boolean> {
  const cwd = join(jail.dir, 'work');
  const env = { TMPDIR: join(jail.dir, 'temp'), HOME: cwd };
  const options = { env, cwd, signal };
  const root = join(cwd, 'store');
  const copied = await succeeds(() => copyBetween(root, { from, to: 'oci:out:v0' }, options));
  const stored = full && (await succeeds(() => copyBetween(root, { from, to: 'store:app:v0' }, options)));
  const bundle = join(cwd, 'bundle');
  const used = stored && (await succeeds(() => unpackImage(root, 'app:v0', { bundle, env, signal })));
  jail.check();
  return copied && used === full;
}

const plain: readonly Member[] = [
  { name: 'etc/', type: 'directory' },
  { name: 'etc/motd', data: 'hello' },
];
const KINDS = ['docker-archive', 'oci-archive'] as const;

describe('image archives', () => {
  it('end in an image when nothing is wrong with them', async () => {
    using jail = makeJail();
    const members = await archiveOf({ layers: [plain], compression: 'zstd', old: false });
    writeFileSync(join(jail.dir, 'work/archive'), await foreignTar(members));
    expect(await useImage(jail, 'oci-archive:archive', true)).toBe(true);
    expect(readFileSync(join(jail.dir, 'work/bundle/rootfs/etc/motd'), 'utf8')).toBe('hello');
  });

  it('end in an image or a known error when a document says something else', async () => {
    const layers = [plain, [{ name: 'b', data: 'b' }]];
    await fc.assert(
      fc.asyncProperty(jsonChange, fc.boolean(), fc.boolean(), async (change, old, full) => {
        using jail = makeJail();
        const members = await archiveOf({ layers, compression: 'gzip', change, old });
        writeFileSync(join(jail.dir, 'work/archive'), await foreignTar(members));
        await useImage(jail, `${old ? KINDS[0] : KINDS[Number(full)]}:archive`, full);
      }),
      runs(7),
    );
  });

  it('end in an image or a known error when a layout says something else', async () => {
    await fc.assert(
      fc.asyncProperty(jsonChange, fc.nat(9), async (change, gone) => {
        using jail = makeJail();
        const members = await archiveOf({ layers: [plain], compression: 'none', change, old: false });
        for (const [i, { name, data = '' }] of members.entries()) {
          if (i === gone) continue;
          mkdirSync(join(jail.dir, 'work/tree', dirname(name)), { recursive: true });
          writeFileSync(join(jail.dir, 'work/tree', name), data);
        }
        await useImage(jail, 'oci:tree', gone % 3 === 0);
      }),
      runs(5),
    );
  });

  it('end in an image or a known error when bytes, members or the end are others', async () => {
    const base = await foreignTar(await archiveOf({ layers: [plain], compression: 'gzip', old: false }));
    const blocks = base.length / 512;
    const edit = fc.oneof(
      fc.record({ kind: fc.constant('byte'), at: fc.nat(base.length - 1), value: fc.nat(255) }),
      fc.record({ kind: fc.constantFrom('copy', 'drop'), at: fc.nat(blocks - 1), value: fc.nat(255) }),
      // Fields of the first headers: name, size, type, link.
      fc.record({
        kind: fc.constant('byte'),
        at: fc.constantFrom(0, 1, 124, 125, 134, 156, 157, 345),
        value: fc.nat(255),
      }),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(edit, { minLength: 1, maxLength: 4 }),
        fc.constantFrom('whole', 'cut', 'gzip', 'zstd', 'cut gzip'),
        fc.nat(base.length),
        fc.constantFrom(...KINDS),
        async (edits, form, cut, kind) => {
          using jail = makeJail();
          let tar = Buffer.from(base);
          for (const { kind: how, at, value } of edits) {
            const block = at * 512;
            if (how === 'byte' && at < tar.length) {
              tar[at] = value;
              const header = at - (at % 512);
              if (tar.toString('latin1', header + 257, header + 262) === 'ustar') sealHeader(tar, header);
            } else if (how === 'copy')
              tar = Buffer.concat([tar.subarray(0, block + 512), tar.subarray(block)]);
            else tar = Buffer.concat([tar.subarray(0, block), tar.subarray(block + 512)]);
          }
          const packed = form.endsWith('gzip')
            ? gzipSync(tar)
            : form === 'zstd'
              ? zstdCompressSync(tar)
              : tar;
          const bytes = form.startsWith('cut') ? packed.subarray(0, cut % (packed.length + 1)) : packed;
          writeFileSync(join(jail.dir, 'work/archive'), bytes);
          await useImage(jail, `${kind}:archive`, false);
        },
      ),
      runs(20),
    );
  });

  it('never leave the bundle when their layers are hostile', async () => {
    const layer = fc.array(layerMember, { minLength: 1, maxLength: 8 });
    await fc.assert(
      fc.asyncProperty(
        fc.array(layer, { minLength: 1, maxLength: 3 }),
        fc.constantFrom('none', 'gzip', 'zstd' as const),
        async (layers, compression) => {
          using jail = makeJail();
          const members = await archiveOf({ layers, compression, old: true });
          writeFileSync(join(jail.dir, 'work/archive'), await foreignTar(members));
          await useImage(jail, 'docker-archive:archive', true);
        },
      ),
      runs(5),
    );
  });
});
