/**
 * Flattens an image of an OCI layout into one file system listing. It reads with tar-stream and zlib only, and applies
 * whiteouts itself, so that it can judge what our own encoder, decoder and diff make.
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import { extract, type Header } from 'tar-stream';

/** One path of a flattened image; `path` is absolute, `mode` octal text of the low 12 bits, times are left out. */
export type FlatEntry = {
  path: string;
  type: 'file' | 'dir' | 'symlink' | 'fifo' | 'char' | 'block';
  mode: string;
  uid: number;
  gid: number;
  /** Bytes; regular files only. */
  size?: number;
  sha256?: string;
  /** The contents, where they are at most 400 bytes of plain text. */
  text?: string;
  /** Target of a symlink. */
  link?: string;
  /** The first path, in byte order, of the same file; the first one itself carries none. */
  hardlinkOf?: string;
  /** `major:minor` of a device. */
  dev?: string;
  /** Attribute name → value in hex. */
  xattrs?: Record<string, string>;
};

export type FlatImage = {
  manifestDigest: string;
  /** The image config as it stands in the blob. */
  config: Record<string, unknown>;
  diffIds: string[];
  /** Sorted by path; the root directory appears only where it is not 0755 0:0. */
  files: Map<string, FlatEntry>;
  /** Paths as the tar of each layer names them, in order, base layer first. */
  layerPaths: string[][];
};

type Descriptor = {
  mediaType: string;
  digest: string;
  size: number;
  annotations?: Record<string, string>;
  platform?: { os: string; architecture: string; variant?: string };
};
type Meta = Omit<FlatEntry, 'path' | 'hardlinkOf'>;
type Inode = { meta: Meta };
type Node = { inode: Inode; layer: number };
/** What an archive says, in its order: a hard link has a target in place of `meta`. */
type ArchiveEntry = { name: string } & ({ meta: Meta } | { linkTo: string });
type Layer = { diffId: string; entries: readonly ArchiveEntry[] };

/** Layers that were read before, by the digest of their blob: images on one base have most of their bytes in common. */
export type KnownLayers = Map<string, Layer>;

/**
 * Reads the image `tag` (or the only image) of the layout directory `dir`; every blob's digest and size and every
 * layer's diffID is checked on the way.
 * @param options.known spares unpacking what an earlier call has unpacked; blobs are read and checked all the same
 */
export async function flattenLayout(
  dir: string,
  options: { tag?: string; digest?: string; platform?: string; known?: KnownLayers } = {},
): Promise<FlatImage> {
  const index = JSON.parse(await readFile(join(dir, 'index.json'), 'utf8')) as { manifests: Descriptor[] };
  const descriptor = await selectManifest(dir, index.manifests, options);
  const manifest = await readJson<{ config: Descriptor; layers: Descriptor[] | null }>(dir, descriptor);
  // Docker writes null for the lists of an image without layers.
  const layers = manifest.layers ?? [];
  const config = await readJson<Record<string, unknown> & { rootfs: { diff_ids: string[] | null } }>(
    dir,
    manifest.config,
  );
  const diffIds = config.rootfs.diff_ids ?? [];
  if (diffIds.length !== layers.length) {
    throw new Error(`Manifest has ${layers.length} layers, config has ${diffIds.length} diff IDs`);
  }
  const archives: (readonly ArchiveEntry[])[] = [];
  for (const [i, layer] of layers.entries()) {
    const { diffId, entries } = await readLayer(dir, layer, options.known);
    if (diffId !== diffIds[i]) throw new Error(`Layer ${i} has diff ID ${diffId}, config says ${diffIds[i]}`);
    archives.push(entries);
  }
  return { manifestDigest: descriptor.digest, config, diffIds, ...flatten(archives) };
}

/** Applies uncompressed layer archives in order, base layer first. */
export async function flattenTars(tars: readonly Buffer[]): Promise<Pick<FlatImage, 'files' | 'layerPaths'>> {
  return flatten(await Promise.all(tars.map(readTar)));
}

async function readLayer(dir: string, blob: Descriptor, known: KnownLayers = new Map()): Promise<Layer> {
  const bytes = await readBlob(dir, blob);
  const before = known.get(blob.digest);
  if (before !== undefined) return before;
  const tar = decompress(bytes);
  const layer = { diffId: `sha256:${sha256(tar)}`, entries: await readTar(tar) };
  known.set(blob.digest, layer);
  return layer;
}

function flatten(archives: readonly (readonly ArchiveEntry[])[]): Pick<FlatImage, 'files' | 'layerPaths'> {
  const tree = new Map<string, Node>();
  for (const [layer, entries] of archives.entries()) {
    for (const entry of entries) applyEntry(tree, entry, layer);
  }
  return { files: list(tree), layerPaths: archives.map((entries) => entries.map(({ name }) => name)) };
}

async function selectManifest(
  dir: string,
  manifests: readonly Descriptor[],
  options: { tag?: string; digest?: string; platform?: string },
): Promise<Descriptor> {
  const { tag, digest, platform } = options;
  const named = manifests.filter((m) => {
    const names = [
      m.annotations?.['org.opencontainers.image.ref.name'],
      m.annotations?.['io.containerd.image.name'],
    ];
    return (tag === undefined || names.includes(tag)) && (digest === undefined || m.digest === digest);
  });
  // An attestation manifest stands beside the image under the platform unknown/unknown.
  const images = named.filter((m) => m.platform?.os !== 'unknown');
  const first = images[0];
  if (first === undefined) throw new Error(`No image ${tag ?? digest ?? ''} in "${dir}"`);
  if (!first.mediaType.includes('index') && !first.mediaType.includes('manifest.list')) return first;
  const { manifests: nested } = await readJson<{ manifests: Descriptor[] }>(dir, first);
  const wanted = platform === undefined ? nested : nested.filter((each) => platformText(each) === platform);
  return selectManifest(dir, wanted, {});
}

/** Platforms of the index that a layout's only tag points to, in its order; undefined where it is no index. */
export async function platformsOfLayout(dir: string): Promise<string[] | undefined> {
  const { manifests } = JSON.parse(await readFile(join(dir, 'index.json'), 'utf8')) as {
    manifests: Descriptor[];
  };
  const [only] = manifests;
  if (only === undefined || !/index|manifest\.list/.test(only.mediaType)) return undefined;
  return (await readJson<{ manifests: Descriptor[] }>(dir, only)).manifests.map(platformText);
}

function platformText({ platform }: Descriptor): string {
  const { os = '', architecture = '', variant } = platform ?? {};
  return [os, architecture, ...(variant === undefined ? [] : [variant])].join('/');
}

async function readJson<T>(dir: string, descriptor: Descriptor): Promise<T> {
  return JSON.parse((await readBlob(dir, descriptor)).toString('utf8')) as T;
}

async function readBlob(dir: string, descriptor: Descriptor): Promise<Buffer> {
  const blob = await readFile(join(dir, 'blobs', ...descriptor.digest.split(':')));
  const digest = `sha256:${sha256(blob)}`;
  if (digest !== descriptor.digest || blob.length !== descriptor.size) {
    throw new Error(`Blob ${descriptor.digest} of ${descriptor.size} B is ${digest} of ${blob.length} B`);
  }
  return blob;
}

function decompress(blob: Buffer): Buffer {
  if (blob[0] === 0x1f && blob[1] === 0x8b) return gunzipSync(blob);
  if (blob.length >= 4 && blob.readUInt32LE(0) === 0xfd2fb528) return zstdDecompressSync(blob);
  return blob;
}

async function readTar(tar: Buffer): Promise<ArchiveEntry[]> {
  const entries: ArchiveEntry[] = [];
  const reader = extract();
  reader.end(tar);
  for await (const entry of reader) {
    const chunks: Buffer[] = [];
    for await (const chunk of entry) chunks.push(chunk as Buffer);
    const { header } = entry;
    const { name, type, linkname = '' } = header;
    const body = Buffer.concat(chunks);
    entries.push(type === 'link' ? { name, linkTo: linkname } : { name, meta: metaOf(header, body) });
  }
  return entries;
}

function applyEntry(tree: Map<string, Node>, entry: ArchiveEntry, layer: number): void {
  const path = absolute(entry.name);
  const slash = path.lastIndexOf('/');
  const parent = path.slice(0, slash) || '/';
  const base = path.slice(slash + 1);
  // image-spec layer.md §Whiteouts: they hide lower layers only, wherever they stand in the archive.
  if (base === '.wh..wh..opq') {
    removeBelow(tree, parent, layer);
    return;
  }
  if (base.startsWith('.wh.')) {
    removeTree(tree, `${parent === '/' ? '' : parent}/${base.slice(4)}`, layer);
    return;
  }
  requireParents(tree, parent, layer);
  const inode = 'linkTo' in entry ? linkTarget(tree, entry.linkTo, path) : { meta: entry.meta };
  if (inode.meta.type !== 'dir') removeTree(tree, path, Number.POSITIVE_INFINITY);
  tree.set(path, { inode, layer });
}

function linkTarget(tree: Map<string, Node>, linkTo: string, path: string): Inode {
  const target = tree.get(absolute(linkTo));
  if (target === undefined) throw new Error(`Hard link "${path}" to absent "${linkTo}"`);
  return target.inode;
}

function requireParents(tree: Map<string, Node>, parent: string, layer: number): void {
  for (let at = parent; at !== '/'; at = at.slice(0, at.lastIndexOf('/')) || '/') {
    const node = tree.get(at);
    if (node === undefined) {
      tree.set(at, { inode: { meta: { type: 'dir', mode: '755', uid: 0, gid: 0 } }, layer });
    } else if (node.inode.meta.type !== 'dir') {
      throw new Error(`"${at}" is a ${node.inode.meta.type}, an archive entry needs it as a directory`);
    }
  }
}

function removeTree(tree: Map<string, Node>, path: string, beforeLayer: number): void {
  const node = tree.get(path);
  if (node !== undefined && node.layer < beforeLayer) tree.delete(path);
  removeBelow(tree, path, beforeLayer);
}

function removeBelow(tree: Map<string, Node>, path: string, beforeLayer: number): void {
  const prefix = path === '/' ? '/' : `${path}/`;
  for (const [key, node] of tree) {
    if (key !== '/' && key.startsWith(prefix) && node.layer < beforeLayer) tree.delete(key);
  }
}

function metaOf(header: Header, body: Buffer): Meta {
  const type = typeOf(header);
  const xattrs = xattrsOf(header);
  const pax = paxOf(header);
  return {
    type,
    mode: ((header.mode ?? 0) & 0o7777).toString(8),
    // tar-stream reads ids from the fixed header only, where those above 2,097,151 do not fit.
    uid: Number(pax.uid ?? header.uid),
    gid: Number(pax.gid ?? header.gid),
    ...(type === 'file' ? { size: body.length, sha256: sha256(body), ...shortText(body) } : {}),
    ...(type === 'symlink' ? { link: header.linkname ?? '' } : {}),
    ...(type === 'char' || type === 'block' ? { dev: `${header.devmajor}:${header.devminor}` } : {}),
    ...(xattrs === undefined ? {} : { xattrs }),
  };
}

function shortText(body: Buffer): { text?: string } {
  if (body.length > 400) return {};
  const text = body.toString('utf8');
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what tells binary from text
  return /[\0-\x08\x0b-\x1f\ufffd]/.test(text) ? {} : { text };
}

function typeOf(header: Header): FlatEntry['type'] {
  switch (header.type) {
    case 'file':
    case 'contiguous-file':
      return 'file';
    case 'directory':
      return 'dir';
    case 'symlink':
      return 'symlink';
    case 'fifo':
      return 'fifo';
    case 'character-device':
      return 'char';
    case 'block-device':
      return 'block';
    default:
      throw new Error(`Archive entry "${header.name}" has the unknown type ${header.type}`);
  }
}

function paxOf(header: Header): Record<string, string> {
  return (header.pax ?? {}) as Record<string, string>;
}

function xattrsOf(header: Header): Record<string, string> | undefined {
  const prefix = 'SCHILY.xattr.';
  const found = Object.entries(paxOf(header)).filter(([key]) => key.startsWith(prefix));
  if (found.length === 0) return undefined;
  found.sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(
    found.map(([key, value]) => [key.slice(prefix.length), Buffer.from(value).toString('hex')]),
  );
}

function list(tree: Map<string, Node>): Map<string, FlatEntry> {
  const files = new Map<string, FlatEntry>();
  const firstPath = new Map<Inode, string>();
  const sorted = [...tree].sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  for (const [path, { inode }] of sorted) {
    const { meta } = inode;
    if (path === '/' && meta.mode === '755' && meta.uid === 0 && meta.gid === 0) continue;
    const hardlinkOf = firstPath.get(inode);
    if (hardlinkOf === undefined) firstPath.set(inode, path);
    files.set(path, { path, ...meta, ...(hardlinkOf === undefined ? {} : { hardlinkOf }) });
  }
  return files;
}

function absolute(name: string): string {
  const parts = name.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..')) throw new Error(`Archive entry "${name}" leaves the root`);
  return `/${parts.join('/')}`;
}

function sha256(data: Buffer): string {
  return createHash('sha256').update(data).digest('hex');
}
