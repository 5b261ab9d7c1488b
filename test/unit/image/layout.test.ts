import { execFile, execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openLayout, parseLayoutTarget } from '../../../src/image/layout.ts';
import { writeLayoutIndex } from '../../../src/image/layout-index.ts';
import { encodeDocument } from '../../../src/image/manifest.ts';
import { ANNOTATION, type Descriptor, MEDIA_TYPE, type Platform } from '../../../src/image/types.ts';
import { makeLayout, writeBlob } from '../../support/layout.ts';

const signal = new AbortController().signal;
const AMD64: Platform = { os: 'linux', architecture: 'amd64' };
const ARM64: Platform = { os: 'linux', architecture: 'arm64' };
const HEX = 'b'.repeat(64);
let dir: string;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'ocibuild-layout-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const named = (descriptor: Descriptor, tag: string, full?: string): Descriptor => ({
  ...descriptor,
  annotations: { [ANNOTATION.refName]: tag, ...(full ? { [ANNOTATION.containerdName]: full } : {}) },
});

describe('parseLayoutTarget()', () => {
  it.each([
    ['oci-layout:///a/b', { dir: '/a/b' }],
    ['oci-layout:///a/b:tag', { dir: '/a/b', tag: 'tag' }],
    ['oci-layout://rel/dir:v1', { dir: 'rel/dir', tag: 'v1' }],
    ['oci-layout://./x', { dir: './x' }],
    ['oci-layout://../x:1.2', { dir: '../x', tag: '1.2' }],
    [`oci-layout://x@sha256:${HEX}`, { dir: 'x', digest: `sha256:${HEX}` }],
    [`x:t@sha256:${HEX}`, { dir: 'x', tag: 't', digest: `sha256:${HEX}` }],
    ['a@b/c:t', { dir: 'a@b/c', tag: 't' }],
    ['a:b/c', { dir: 'a:b/c' }],
    ['x@y', { dir: 'x@y' }],
    ['a/b.tar:app:v0', { dir: 'a/b.tar', tag: 'app:v0' }],
    [`x:app:v0@sha256:${HEX}`, { dir: 'x', tag: 'app:v0', digest: `sha256:${HEX}` }],
  ])('takes %s apart', (text, want) => {
    expect(parseLayoutTarget(text)).toEqual(want);
  });

  it.each(['oci-layout://', ':tag', 'x:', 'x:-a', 'x:a:', 'x:a:b c', 'x@sha256:12', 'x@sha512:12'])(
    'refuses "%s" when it is malformed',
    (text) => {
      expect(() => parseLayoutTarget(text)).toThrow(expect.objectContaining({ code: 'REFERENCE_INVALID' }));
    },
  );
});

describe('openLayout()', () => {
  it('waits for no FIFO, and reads no index.json of any size', async () => {
    const image = await makeLayout(dir, 'one', { layers: [{ a: '1' }] });
    const layout = await openLayout(dir);
    const blob = layout.blobPath(image.digest);
    rmSync(blob);
    execFileSync('mkfifo', [blob]);
    await expect(layout.readBlob(image)).rejects.toMatchObject({ code: 'LAYOUT_INVALID' });
    truncateSync(join(dir, 'index.json'), 65 << 20);
    await expect(layout.readIndex()).rejects.toMatchObject({
      code: 'LAYOUT_INVALID',
      message: expect.stringMatching(/has 68157440 B, at most 67108864 B are read/),
    });
    rmSync(join(dir, 'index.json'));
    execFileSync('mkfifo', [join(dir, 'index.json')]);
    await expect(layout.readIndex()).rejects.toMatchObject({ code: 'LAYOUT_INVALID' });
  });

  it('resolve() finds the sole image when no tag is given, and names when there are several', async () => {
    const one = await makeLayout(dir, 'one', { layers: [{ a: '1' }] });
    const layout = await openLayout(dir);
    expect((await layout.resolve({})).digest).toBe(one.digest);
    await writeLayoutIndex(dir, [named(one, 'alias')], { signal });
    expect((await layout.resolve({})).digest).toBe(one.digest);
    const two = await makeLayout(dir, 'two', { layers: [{ a: '2' }] });
    await expect(layout.resolve({})).rejects.toMatchObject({
      code: 'IMAGE_NOT_FOUND',
      message: expect.stringContaining('it holds 3 images: one, alias, two'),
      hint: `name one after the path: "${dir}:one"`,
    });
    expect((await layout.resolve({ tag: 'two' })).digest).toBe(two.digest);
    await writeLayoutIndex(dir, [named(two, 'latest')], { signal });
    expect((await layout.resolve({})).digest).toBe(two.digest);
    await expect(layout.resolve({ tag: 'three' })).rejects.toMatchObject({ code: 'IMAGE_NOT_FOUND' });
  });

  it('resolve() goes through nested indexes when a platform is asked for', async () => {
    const inner = await makeLayout(dir, 'inner', [
      { layers: [{ a: 'amd' }] },
      { layers: [{ a: 'arm' }], platform: ARM64 },
    ]);
    const attestation = {
      ...inner,
      mediaType: MEDIA_TYPE.manifest,
      platform: { os: 'unknown', architecture: 'unknown' },
    };
    const outer = writeBlob(
      dir,
      encodeDocument({ schemaVersion: 2, mediaType: MEDIA_TYPE.index, manifests: [attestation, inner] }),
      MEDIA_TYPE.index,
    );
    await writeLayoutIndex(dir, [named(outer, 'outer')], { signal });
    const layout = await openLayout(dir);
    expect((await layout.resolve({ tag: 'outer' })).digest).toBe(outer.digest);
    const arm = await layout.resolve({ tag: 'outer', platform: ARM64 });
    expect(arm.mediaType).toBe(MEDIA_TYPE.manifest);
    expect((await layout.resolve({ tag: 'outer', platform: AMD64 })).digest).not.toBe(arm.digest);
    await expect(
      layout.resolve({ tag: 'inner', platform: { os: 'linux', architecture: 's390x' } }),
    ).rejects.toMatchObject({
      code: 'IMAGE_PLATFORM_MISSING',
      message: expect.stringContaining('it has linux/amd64, linux/arm64'),
    });
  });

  it('resolve() finds a digest when index.json does not name it', async () => {
    const inner = await makeLayout(dir, 'x', [{ layers: [{ a: '1' }] }]);
    const layout = await openLayout(dir);
    const { digest } = await layout.resolve({ tag: 'x', platform: AMD64 });
    expect(await layout.resolve({ digest })).toMatchObject({ digest, mediaType: MEDIA_TYPE.manifest });
    expect((await layout.resolve({ digest: inner.digest, platform: AMD64 })).digest).toBe(digest);
    await expect(layout.resolve({ digest: `sha256:${HEX}` })).rejects.toMatchObject({
      code: 'IMAGE_NOT_FOUND',
    });
  });

  it('readBlob() refuses a blob when it is missing, too long, too short, altered or over the limit', async () => {
    const image = await makeLayout(dir, 'x', { layers: [{ a: '1' }] });
    const layout = await openLayout(dir);
    const path = layout.blobPath(image.digest);
    const good = readFileSync(path);
    expect(await layout.readBlob(image)).toEqual(good);
    for (const [data, code] of [
      [Buffer.concat([good, good]), 'BLOB_SIZE_MISMATCH'],
      [good.subarray(1), 'BLOB_SIZE_MISMATCH'],
      [Buffer.alloc(good.length), 'BLOB_DIGEST_MISMATCH'],
    ] as const) {
      writeFileSync(path, data);
      await expect(layout.readBlob(image)).rejects.toMatchObject({ code });
    }
    rmSync(path);
    await expect(layout.readBlob(image)).rejects.toMatchObject({ code: 'BLOB_NOT_FOUND' });
    await expect(layout.readBlob(image, { maxBytes: 10 })).rejects.toMatchObject({ code: 'LAYOUT_INVALID' });
  });

  it.each([
    ['oci-layout', '{"imageLayoutVersion":"2.0.0"}', 'imageLayoutVersion is "2.0.0"'],
    ['oci-layout', 'x', 'is not JSON'],
    ['oci-layout', undefined, 'the file "oci-layout" is missing'],
    ['index.json', '{"schemaVersion":2}', 'index.json'],
    ['index.json', undefined, 'the file "index.json" is missing'],
  ])('refuses a directory when %s is %s', async (name, text, why) => {
    await makeLayout(dir, 'x', { layers: [] });
    if (text === undefined) rmSync(join(dir, name));
    else writeFileSync(join(dir, name), text);
    const attempt = openLayout(dir).then((layout) => layout.resolve({}));
    await expect(attempt).rejects.toMatchObject({
      code: 'LAYOUT_INVALID',
      message: expect.stringContaining(why),
    });
  });
});

describe('writeLayoutIndex()', () => {
  const entry = (n: number): Descriptor => ({
    mediaType: MEDIA_TYPE.manifest,
    digest: `sha256:${n.toString(16).padStart(64, '0')}`,
    size: n,
  });
  const sizes = async (): Promise<number[]> =>
    (await (await openLayout(dir)).readIndex()).manifests.map((descriptor) => descriptor.size);

  it('replaces the entry of a name in its place when it is written again', async () => {
    await writeLayoutIndex(dir, [named(entry(1), 'a'), named(entry(2), 'b'), entry(3)], { signal });
    await writeLayoutIndex(dir, [named(entry(4), 'a'), entry(3), entry(5)], { signal });
    expect(await sizes()).toEqual([4, 2, 3, 5]);
  });

  it('keeps both entries when full names differ below one tag', async () => {
    const one = named(entry(1), 'v0', 'docker.io/library/one:v0');
    const two = named(entry(2), 'v0', 'docker.io/library/two:v0');
    await writeLayoutIndex(dir, [one, two], { signal });
    await writeLayoutIndex(dir, [{ ...two, size: 3 }], { signal });
    expect(await sizes()).toEqual([1, 3]);
  });

  it('keeps fields and entries of others when it merges', async () => {
    await writeLayoutIndex(dir, [], { signal });
    const foreign = { mediaType: 'application/x', digest: entry(9).digest, size: 9, more: true };
    writeFileSync(
      join(dir, 'index.json'),
      JSON.stringify({ schemaVersion: 2, manifests: [foreign], annotations: { a: 'b' } }),
    );
    await writeLayoutIndex(dir, [named(entry(1), 'a')], { signal });
    expect(await (await openLayout(dir)).readIndex()).toMatchObject({
      annotations: { a: 'b' },
      manifests: [foreign, { size: 1 }],
    });
  });

  it('loses no entry when several processes write at once', async () => {
    const script = `
      const { writeLayoutIndex } = await import(${JSON.stringify(join(import.meta.dirname, '../../../src/image/layout-index.ts'))});
      const [dir, who] = process.argv.slice(1);
      for (let i = 0; i < 8; i++) {
        const n = Number(who) * 100 + i + 1;
        const digest = 'sha256:' + n.toString(16).padStart(64, '0');
        await writeLayoutIndex(dir, [{ mediaType: 'a/b', digest, size: n }], { signal: AbortSignal.timeout(30000) });
      }`;
    const run = promisify(execFile);
    await Promise.all(
      [1, 2, 3].map((who) => run(process.execPath, ['--input-type=module', '-e', script, dir, String(who)])),
    );
    expect((await sizes()).length).toBe(24);
    expect(readdirSync(dir).sort()).toEqual(['blobs', 'index.json', 'oci-layout']);
  });

  it('goes on when a killed process left its lock, and waits for one that lives', async () => {
    await writeLayoutIndex(dir, [], { signal });
    const { pid } = await new Promise<{ pid: number | undefined }>((resolve) => {
      const child = execFile('true', () => resolve({ pid: child.pid }));
    });
    writeFileSync(join(dir, '.index.json.lock'), String(pid));
    await writeLayoutIndex(dir, [entry(1)], { signal });
    writeFileSync(join(dir, '.index.json.lock'), String(process.pid));
    await expect(
      writeLayoutIndex(dir, [entry(2)], { signal: AbortSignal.timeout(100) }),
    ).rejects.toMatchObject({
      code: 'CANCELLED',
    });
    expect(await sizes()).toEqual([1]);
  });

  it('touches nothing when the directory holds a layout of another version', async () => {
    writeFileSync(join(dir, 'oci-layout'), '{"imageLayoutVersion":"9.0.0"}');
    await expect(writeLayoutIndex(dir, [entry(1)], { signal })).rejects.toMatchObject({
      code: 'LAYOUT_INVALID',
    });
    expect(readdirSync(dir).sort()).toEqual(['blobs', 'oci-layout']);
  });
});
