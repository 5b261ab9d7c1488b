import { createReadStream, createWriteStream, statSync } from 'node:fs';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { isatty } from 'node:tty';
import { type ArchiveKind, sniffArchive } from '../layer/compression/archive-sniff.ts';
import { decompressorFor } from '../layer/compression/decompress.ts';
import { BLOCK } from '../layer/tar/tar-header.ts';
import { invalidArchive } from './archive-error.ts';

export interface PlainArchiveOptions {
  /** Where an archive goes that is compressed or comes through a pipe; gone when the archive is closed. */
  readonly tempDir: string;
  /** What any archive may decompress to; a large one also 100 times its size. @default 1 GiB */
  readonly plentyBytes?: number;
  readonly signal: AbortSignal;
}

const MAX_RATIO = 100;
const GIB = 1024 ** 3;

/** The tar that an archive is, or a file that it was written or decompressed to: `drop` removes that one again. */
export async function plainArchive(
  file: string,
  options: PlainArchiveOptions,
): Promise<{ readonly path: string; drop(): Promise<void> }> {
  const { tempDir, plentyBytes = GIB, signal } = options;
  await using stack = new AsyncDisposableStack();
  const tempFile = async (): Promise<string> => {
    const dir = await mkdtemp(join(tempDir, 'ocibuild-archive-'));
    stack.defer(() => rm(dir, { recursive: true, force: true }));
    return join(dir, 'archive.tar');
  };
  let path = file;
  const pipe = openPipe(file);
  if (pipe !== undefined) {
    path = await tempFile();
    await pipeline(pipe, createWriteStream(path), { signal });
  }
  const stats = statSync(path);
  if (!stats.isFile()) throw invalidArchive(file, 'it is no file');
  const kind = await kindOf(path);
  if (kind === undefined) throw invalidArchive(file, 'it is no tar archive');
  if (kind !== 'tar') {
    const packed = path;
    path = await tempFile();
    const limit = Math.max(plentyBytes, stats.size * MAX_RATIO);
    const unpack = (await decompressorFor(kind)) as NodeJS.ReadWriteStream;
    const read = createReadStream(packed);
    await pipeline(read, unpack, atMost(limit, file), createWriteStream(path), { signal });
    if ((await kindOf(path)) !== 'tar') throw invalidArchive(file, `the ${kind} data holds no tar archive`);
  }
  const kept = stack.move();
  return { path, drop: () => kept.disposeAsync() };
}

/** What can be read once only: `-` for stdin, or a FIFO. An archive is read here and there, so it becomes a file. */
function openPipe(file: string): NodeJS.ReadableStream | undefined {
  if (file !== '-') return statSync(file).isFIFO() ? createReadStream(file) : undefined;
  if (isatty(0)) throw invalidArchive(file, 'stdin is a terminal');
  return createReadStream(file, { fd: 0, autoClose: false });
}

async function kindOf(file: string): Promise<ArchiveKind | undefined> {
  const head = Buffer.alloc(BLOCK);
  await using handle = await open(file);
  const { bytesRead } = await handle.read(head, 0, BLOCK, 0);
  return sniffArchive(head.subarray(0, bytesRead));
}

/** Ends the pipeline before a small file fills a disk. */
function atMost(limit: number, file: string) {
  return async function* (source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    let seen = 0;
    for await (const chunk of source) {
      seen += chunk.length;
      if (seen > limit) {
        throw invalidArchive(
          file,
          `it decompresses to more than ${limit} B, which no image of its size does`,
        );
      }
      yield chunk;
    }
  };
}
