/** Makes the context of a case: on disk for a build, or as an archive. */
import { spawnSync } from 'node:child_process';
import { chmod, chown, link, lutimes, mkdir, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import koffi from 'koffi';
import { type Header, pack } from 'tar-stream';
import type { ContextFile } from './types.ts';

// Git keeps neither times nor modes; a fixed one makes archives, and so image layers, the same on each run.
const DEFAULT_MTIME = 1_600_000_000;

/** Writes `files` below the existing directory `root`, with the metadata they ask for whatever the umask is. */
export async function writeFiles(root: string, files: readonly ContextFile[]): Promise<void> {
  for (const file of files) await writeFileAt(root, file);
  // Directory times last: what is written into a directory changes them.
  for (const file of [...files].reverse()) {
    const mtime = file.mtime ?? DEFAULT_MTIME;
    await lutimes(join(root, file.path), mtime, mtime);
  }
}

/** Packs `files` into an uncompressed archive. */
export async function packFiles(files: readonly ContextFile[]): Promise<Buffer> {
  const archive = pack();
  for (const file of files) {
    const body = file.hardlink === undefined ? await bodyOf(file) : Buffer.alloc(0);
    archive.entry(tarHeader(file, body.length), body);
  }
  archive.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of archive) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

async function writeFileAt(root: string, file: ContextFile): Promise<void> {
  const path = join(root, file.path);
  await mkdir(dirname(path), { recursive: true });
  if (file.symlink !== undefined) return symlink(file.symlink, path);
  if (file.hardlink !== undefined) return link(join(root, file.hardlink), path);
  if (file.dir === true) await mkdir(path, { recursive: true });
  else if (file.fifo === true) makeNode('mkfifo', [path]);
  else if (file.socket === true) makeNode('python3', ['-c', BIND, path]);
  else await writeFile(path, await bodyOf(file));
  if (file.uid !== undefined || file.gid !== undefined) await chown(path, file.uid ?? 0, file.gid ?? 0);
  await chmod(path, modeOf(file));
  for (const [name, value] of Object.entries(file.xattrs ?? {}))
    setXattr(path, name, Buffer.from(value, 'hex'));
}

/** The content of a file of a case. */
export async function bodyOf(file: ContextFile): Promise<Buffer> {
  if (file.tar !== undefined) {
    const archive = await packFiles(file.tar);
    return compress(archive, file.compress);
  }
  return Buffer.from(file.content ?? file.base64 ?? '', file.base64 === undefined ? 'utf8' : 'base64');
}

function modeOf(file: ContextFile): number {
  return Number.parseInt(file.mode ?? (file.dir === true ? '755' : '644'), 8);
}

function tarHeader(file: ContextFile, size: number): Partial<Header> & Pick<Header, 'name'> {
  const common = {
    name: file.path,
    mode: modeOf(file),
    uid: file.uid ?? 0,
    gid: file.gid ?? 0,
    mtime: new Date((file.mtime ?? DEFAULT_MTIME) * 1000),
    ...(file.xattrs === undefined ? {} : { pax: paxOf(file.xattrs) }),
  };
  if (file.dir === true) return { ...common, type: 'directory' };
  if (file.symlink !== undefined) return { ...common, type: 'symlink', linkname: file.symlink, mode: 0o777 };
  if (file.hardlink !== undefined) return { ...common, type: 'link', linkname: file.hardlink };
  if (file.fifo === true) return { ...common, type: 'fifo' };
  return { ...common, type: 'file', size };
}

// tar-stream takes text for PAX values, so a value must be plain ASCII bytes.
function paxOf(xattrs: Record<string, string>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(xattrs).map(([name, hex]) => [
      `SCHILY.xattr.${name}`,
      Buffer.from(hex, 'hex').toString('latin1'),
    ]),
  );
}

function compress(archive: Buffer, how: ContextFile['compress']): Buffer {
  if (how === undefined) return archive;
  if (how === 'gzip') return gzipSync(archive);
  if (how === 'zstd') return zstdCompressSync(archive);
  const { status, stdout, stderr } = spawnSync(how, ['-c'], { input: archive });
  if (status !== 0) throw new Error(`Cannot pack with ${how}: ${stderr}`);
  return stdout;
}

// Node removes the socket of a server that it closes.
const BIND = 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])';

function makeNode(command: string, args: readonly string[]): void {
  const { status, stderr } = spawnSync(command, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`Cannot make "${args.at(-1)}": ${stderr}`);
}

function setXattr(path: string, name: string, value: Buffer): void {
  const setxattr = koffi
    .load(null)
    .func('int lsetxattr(const char *path, const char *name, const void *value, size_t size, int flags)');
  if (setxattr(path, name, value, value.length, 0) !== 0)
    throw new Error(`Cannot set "${name}" on "${path}"`);
}
