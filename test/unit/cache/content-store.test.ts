import { createHash } from 'node:crypto';
import {
  appendFileSync,
  existsSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { buffer } from 'node:stream/consumers';
import { describe, expect, it } from 'vitest';
import { createContentStore } from '../../../src/cache/content-store.ts';
import type { Digest } from '../../../src/image/types.ts';
import { digestOf, tempStore } from './temp-store.ts';

const sha256 = (data: Uint8Array | string): Digest =>
  `sha256:${createHash('sha256').update(data).digest('hex')}`;

async function open(): Promise<ReturnType<typeof createContentStore> & { tmpDir: string }> {
  const { root } = await tempStore();
  return { ...createContentStore(root), tmpDir: root.tmpDir };
}

describe('createContentStore', () => {
  it('putBytes() stores bytes under their digest, again and again', async () => {
    const store = await open();
    const first = store.putBytes(Buffer.from('hello'));
    expect(first).toEqual({ digest: sha256('hello'), size: 5 });
    const { ino } = statSync(store.path(first.digest));
    expect(store.putBytes(Buffer.from('hello'))).toEqual(first);
    expect(statSync(store.path(first.digest))).toMatchObject({ ino });
    expect(statSync(store.path(first.digest)).mode & 0o777).toBe(0o644);
    expect(store.stat(first.digest)).toBe(5);
    expect(store.list()).toEqual([first]);
    expect(readdirSync(store.tmpDir)).toEqual([]);
  });

  it('putBytes() heals a damaged blob, also one of the right size', async () => {
    const store = await open();
    const { digest } = store.putBytes(Buffer.from('hello'));
    for (const damage of ['', 'jello']) {
      writeFileSync(store.path(digest), damage);
      store.putBytes(Buffer.from('hello'));
      expect(readFileSync(store.path(digest), 'utf8')).toBe('hello');
    }
  });

  it('stat() and readBytes() say so when there is no blob', async () => {
    const store = await open();
    expect(store.stat(digestOf('a'))).toBeUndefined();
    expect(() => store.readBytes(digestOf('a'), 10)).toThrow(
      expect.objectContaining({ code: 'BLOB_NOT_FOUND' }),
    );
    expect(() => store.openStream({ digest: digestOf('a'), size: 1 })).toThrow(
      expect.objectContaining({ code: 'BLOB_NOT_FOUND' }),
    );
    expect(store.drop(digestOf('a'))).toBe(false);
  });

  it('path() refuses what is no digest', async () => {
    const store = await open();
    expect(() => store.path('sha256:../../../etc/passwd')).toThrow(RangeError);
    expect(() => store.path(`sha256:${'A'.repeat(64)}`)).toThrow(RangeError);
  });

  it('ingest() moves a file into place once', async () => {
    const store = await open();
    const digest = sha256('layer');
    for (let i = 0; i < 2; i++) {
      const temp = store.tempFile();
      writeFileSync(temp, 'layer', { mode: 0o600 });
      store.ingest(temp, digest, 5);
      expect(existsSync(temp)).toBe(false);
    }
    expect(store.readBytes(digest, 5).toString()).toBe('layer');
    expect(statSync(store.path(digest)).mode & 0o777).toBe(0o644);
  });

  it('ingest() replaces a blob of another size and refuses a file of another size', async () => {
    const store = await open();
    const digest = sha256('layer');
    writeFileSync(store.path(digest), 'lay');
    const temp = store.tempFile();
    writeFileSync(temp, 'layer');
    store.ingest(temp, digest, 5);
    expect(store.stat(digest)).toBe(5);
    const short = store.tempFile();
    writeFileSync(short, 'lay');
    expect(() => store.ingest(short, digest, 5)).toThrow(
      expect.objectContaining({ code: 'BLOB_SIZE_MISMATCH' }),
    );
    expect(existsSync(short)).toBe(false);
  });

  it('readBytes() drops a damaged blob and refuses one that is too large', async () => {
    const store = await open();
    const { digest } = store.putBytes(Buffer.from('hello'));
    expect(() => store.readBytes(digest, 4)).toThrow(expect.objectContaining({ code: 'BLOB_SIZE_MISMATCH' }));
    expect(store.stat(digest)).toBe(5);
    writeFileSync(store.path(digest), 'jello');
    expect(() => store.readBytes(digest, 10)).toThrow(
      expect.objectContaining({ code: 'BLOB_DIGEST_MISMATCH' }),
    );
    expect(store.stat(digest)).toBeUndefined();
  });

  it.each([0, 1, 1 << 20, (1 << 20) + 1, 3_000_000])(
    'openStream() gives the %i bytes of a blob',
    async (size) => {
      const store = await open();
      const bytes = Buffer.alloc(size, 'abc');
      const descriptor = store.putBytes(bytes);
      expect((await buffer(store.openStream(descriptor))).equals(bytes)).toBe(true);
    },
  );

  it('openStream() fails at the end and drops the blob when its content is another', async () => {
    const store = await open();
    const bytes = Buffer.alloc(3_000_000, 'abc');
    const descriptor = store.putBytes(bytes);
    bytes[2_999_999] = 0;
    writeFileSync(store.path(descriptor.digest), bytes);
    await expect(buffer(store.openStream(descriptor))).rejects.toMatchObject({
      code: 'BLOB_DIGEST_MISMATCH',
    });
    expect(store.stat(descriptor.digest)).toBeUndefined();
  });

  it('openStream() tells a blob that is too short or too long', async () => {
    const store = await open();
    for (const size of [3, 7]) {
      const descriptor = store.putBytes(Buffer.from('hello'));
      truncateSync(store.path(descriptor.digest), size);
      expect(() => store.openStream(descriptor)).toThrow(
        expect.objectContaining({ code: 'BLOB_SIZE_MISMATCH' }),
      );
      expect(store.stat(descriptor.digest)).toBeUndefined();
    }
  });

  it('openStream() keeps a sound blob when it is the descriptor that is wrong', async () => {
    const store = await open();
    const { digest } = store.putBytes(Buffer.from('hello'));
    expect(() => store.openStream({ digest, size: 9 })).toThrow(
      expect.objectContaining({
        code: 'BLOB_SIZE_MISMATCH',
        message: expect.stringContaining('got 5 B, expected 9 B'),
      }),
    );
    expect(store.stat(digest)).toBe(5);
  });

  it('openStream() notices a blob that grows while it is read', async () => {
    const store = await open();
    const descriptor = store.putBytes(Buffer.alloc(2_000_000));
    const stream = store.openStream(descriptor);
    appendFileSync(store.path(descriptor.digest), 'more');
    await expect(buffer(stream)).rejects.toMatchObject({ code: 'BLOB_SIZE_MISMATCH' });
  });

  it('openStream() closes its file when the reader leaves early', async () => {
    const store = await open();
    const descriptor = store.putBytes(Buffer.alloc(5_000_000));
    const before = readdirSync('/proc/self/fd').length;
    for (let i = 0; i < 5; i++) {
      for await (const _ of store.openStream(descriptor)) break;
      store.openStream(descriptor).destroy();
    }
    await expect.poll(() => readdirSync('/proc/self/fd').length).toBeLessThanOrEqual(before);
  });
});
