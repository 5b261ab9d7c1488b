import { type FileHandle, open } from 'node:fs/promises';
import { posix } from 'node:path';
import { throwIfAborted } from '../errors/error.ts';
import { MAX_DOCUMENT_BYTES } from '../image/manifest.ts';
import { BLOCK, padded } from '../layer/tar/tar-header.ts';
import { invalidLayer, isZeroBlock } from '../layer/tar/tar-numbers.ts';
import { createTarParser, type TarMember } from '../layer/tar/tar-parser.ts';
import { archiveError, invalidArchive } from './archive-error.ts';
import { type PlainArchiveOptions, plainArchive } from './archive-plain.ts';

/** Where a member's content is in the tar. */
export interface ArchiveMember {
  readonly offset: number;
  readonly size: number;
}

/** A tar that is read where it lies: nothing of it is unpacked, so its names lead nowhere. */
export interface ArchiveFile extends AsyncDisposable {
  /** As it was named, for messages. */
  readonly name: string;
  /** The tar: the file itself, or what it was decompressed to. */
  readonly path: string;
  /** A link is followed once, inside the archive. @throws ARCHIVE_INVALID for one that leads to no file there */
  find(member: string): ArchiveMember | undefined;
  /** @throws ARCHIVE_INVALID when it is larger than a document may be */
  read(member: ArchiveMember): Promise<Buffer>;
}

/** Far above what images have: 127 layers with three files each in the oldest form. */
const MAX_MEMBERS = 100_000;
type Entry = ArchiveMember | { readonly link: string };

/**
 * Opens an image archive, also a compressed one.
 * @throws ARCHIVE_INVALID, DISK_FULL
 */
export async function openArchive(file: string, options: PlainArchiveOptions): Promise<ArchiveFile> {
  await using stack = new AsyncDisposableStack();
  try {
    const { path, drop } = await plainArchive(file, options);
    stack.defer(drop);
    const handle = stack.use(await open(path));
    const entries = await readEntries(handle, options.signal);
    const kept = stack.move();
    return {
      name: file,
      path,
      find: (member) => findMember(entries, member, file),
      async read({ offset, size }) {
        if (size > MAX_DOCUMENT_BYTES) {
          throw invalidArchive(file, `a document has ${size} B, at most ${MAX_DOCUMENT_BYTES} B are read`);
        }
        const bytes = Buffer.alloc(size);
        await handle.read(bytes, 0, size, offset);
        return bytes;
      },
      [Symbol.asyncDispose]: () => kept.disposeAsync(),
    };
  } catch (error) {
    throwIfAborted(options.signal);
    throw archiveError(error, file);
  }
}

function findMember(
  entries: ReadonlyMap<string, Entry>,
  name: string,
  file: string,
): ArchiveMember | undefined {
  const entry = entries.get(name);
  if (entry === undefined || !('link' in entry)) return entry;
  const target = entries.get(entry.link);
  if (target !== undefined && !('link' in target)) return target;
  throw invalidArchive(file, `"${name}" is a link to "${entry.link}", which is no file in it`);
}

/** Reads the headers and skips the contents. */
async function readEntries(handle: FileHandle, signal: AbortSignal): Promise<Map<string, Entry>> {
  const entries = new Map<string, Entry>();
  const { size: end } = await handle.stat();
  for (let offset = 0; offset < end; ) {
    throwIfAborted(signal);
    const found = await readMember(handle, offset);
    if (found === undefined) break;
    const { member, contentAt } = found;
    if (contentAt + member.size > end) throw invalidLayer(`it ends inside "${member.name.toString()}"`);
    const [name, entry] = entryOf(member, contentAt);
    if (entries.has(name)) throw invalidLayer(`it holds "${name}" twice`);
    if (entry !== undefined) entries.set(name, entry);
    if (entries.size > MAX_MEMBERS) throw invalidLayer(`it has more than ${MAX_MEMBERS} members`);
    offset = contentAt + padded(member.size);
  }
  return entries;
}

/** The member whose headers begin at `offset`; undefined at the archive's end. */
async function readMember(
  handle: FileHandle,
  offset: number,
): Promise<{ readonly member: TarMember; readonly contentAt: number } | undefined> {
  let member: TarMember | undefined;
  const parser = createTarParser({
    member(found) {
      member = found;
    },
    data: () => undefined,
    memberEnd: () => undefined,
  });
  const block = Buffer.alloc(BLOCK);
  for (let at = offset; ; ) {
    const { bytesRead } = await handle.read(block, 0, BLOCK, at);
    if (at === offset && (bytesRead === 0 || (bytesRead === BLOCK && isZeroBlock(block)))) return undefined;
    if (bytesRead < BLOCK) throw invalidLayer('it ends inside a header');
    at += BLOCK;
    parser.push(block);
    if (member !== undefined) return { member, contentAt: at };
  }
}

/** @throws LAYER_INVALID for what an image archive has no use for */
function entryOf(member: TarMember, offset: number): readonly [string, Entry | undefined] {
  const name = innerPath(member.name.toString(), '.');
  switch (member.flag) {
    case '0':
      return [name, { offset, size: member.size }];
    case '1':
      return [name, { link: innerPath(member.linkName.toString(), '.') }];
    case '2':
      return [name, { link: innerPath(member.linkName.toString(), posix.dirname(name)) }];
    case '5':
      return [`${name}/`, undefined];
    default:
      throw invalidLayer(`"${name}" is neither a file nor a directory nor a link`);
  }
}

function innerPath(path: string, from: string): string {
  const inner = posix.normalize(posix.join(from, path));
  if (path.startsWith('/') || inner === '..' || inner.startsWith('../')) {
    throw invalidLayer(`"${path}" leads out of it`);
  }
  return inner.replace(/\/$/, '');
}
