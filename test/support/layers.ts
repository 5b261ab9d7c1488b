import { createHash } from 'node:crypto';
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import { type Header, pack } from 'tar-stream';
import type { GrowingFile, Growth } from '../../src/layer/growing-file.ts';
import { packLayer } from '../../src/layer/pack-layer.ts';
import type { FileContent, PackedLayer, PackOptions, Tree, TreeEntry } from '../../src/layer/types.ts';

/** A folder for files and blobs of one test; gone when it is disposed. */
export interface Scratch extends Disposable {
  readonly dir: string;
  path(name: string): string;
  /** A file entry whose bytes lie in the folder. */
  file(path: string, data: string | Buffer, facts?: Partial<TreeEntry>): TreeEntry;
  readonly content: (entry: TreeEntry) => FileContent;
  pack(tree: Tree, options?: Partial<PackOptions>): Promise<PackedLayer & { readonly blob: string }>;
}

export function createScratch(): Scratch {
  const dir = mkdtempSync(join(tmpdir(), 'ocibuild-layer-'));
  const files = new Map<string, string>();
  let count = 0;
  const content = (entry: TreeEntry): FileContent => ({ path: files.get(entry.path) ?? join(dir, 'none') });
  return {
    dir,
    path: (name) => join(dir, name),
    file(path, data, facts = {}) {
      const at = join(dir, `content-${count++}`);
      writeFileSync(at, data);
      files.set(path, at);
      return entryOf(path, 'file', { size: Buffer.byteLength(data), ...facts });
    },
    content,
    async pack(tree, options = {}) {
      const blob = options.dest ?? join(dir, `blob-${count++}`);
      const signal = new AbortController().signal;
      const packed = await packLayer(tree, { compression: 'gzip', content, signal, ...options, dest: blob });
      return { ...packed, blob };
    },
    [Symbol.dispose]: () => rmSync(dir, { recursive: true, force: true }),
  };
}

export function entryOf(path: string, type: TreeEntry['type'], facts: Partial<TreeEntry> = {}): TreeEntry {
  const mode = type === 'dir' ? 0o755 : type === 'whiteout' || type === 'opaque' ? 0 : 0o644;
  return { path, type, mode, uid: 0, gid: 0, size: 0, mtimeSec: 0, ...facts };
}

export function decompressed(blob: Buffer): Buffer {
  if (blob[0] === 0x1f) return gunzipSync(blob);
  return blob.readUInt32LE(0) === 0xfd2fb528 ? zstdDecompressSync(blob) : blob;
}

export function sha256(data: string | Buffer): `sha256:${string}` {
  return `sha256:${createHash('sha256').update(data).digest('hex')}`;
}

/** A member for `foreignTar`. */
export type Member = Partial<Header> & { readonly name: string; readonly data?: string | Buffer };

/** An archive by tar-stream, which knows nothing of our rules. */
export async function foreignTar(members: readonly Member[]): Promise<Buffer> {
  const archive = pack();
  for (const { data, ...header } of members) archive.entry(header, data ?? '');
  archive.finalize();
  return buffer(archive);
}

export function streamOf(data: Buffer, pieceSize: number = data.length): Readable {
  const pieces: Buffer[] = [];
  for (let at = 0; at < data.length; at += Math.max(pieceSize, 1))
    pieces.push(data.subarray(at, at + pieceSize));
  return Readable.from(pieces);
}

/** A file that gets a piece with each turn of the event loop; without `ends` nobody says that it is whole. */
export function growingFile(
  path: string,
  data: Buffer,
  { pieceSize = data.length, ends = true }: { readonly pieceSize?: number; readonly ends?: boolean } = {},
): GrowingFile & Disposable & { readonly watchers: ReadonlySet<unknown> } {
  const fd = openSync(path, 'wx+');
  const watchers = new Set<(growth: Growth) => void>();
  let growth: Growth = { bytes: 0, ended: false };
  const tell = (next: Growth): void => {
    growth = next;
    for (const watcher of watchers) watcher(next);
  };
  const grow = (): void => {
    const bytes = growth.bytes + writeSync(fd, data.subarray(growth.bytes, growth.bytes + pieceSize));
    tell({ bytes, ended: ends && bytes === data.length });
    if (bytes < data.length) setImmediate(grow);
  };
  setImmediate(grow);
  return {
    fd,
    watchers,
    watch(listener) {
      watchers.add(listener);
      listener(growth);
      return () => watchers.delete(listener);
    },
    [Symbol.dispose]: () => closeSync(fd),
  };
}

/** Fixes the checksum of the header block at `at`. */
export function sealHeader(tar: Buffer, at: number): Buffer {
  tar.write('        ', at + 148, 'latin1');
  const sum = tar.subarray(at, at + 512).reduce((total, byte) => total + byte, 0);
  tar.write(`${sum.toString(8).padStart(6, '0')}\0 `, at + 148, 'latin1');
  return tar;
}
