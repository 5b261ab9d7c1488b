import { createReadStream, createWriteStream, statSync } from 'node:fs';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { type ArchiveKind, sniffArchive } from '../layer/archive-sniff.ts';
import { decompressorFor } from '../layer/decompress.ts';
import { BLOCK } from '../layer/tar-header.ts';
import { invalidArchive } from './archive-error.ts';

export interface PlainArchiveOptions {
  /** Where a compressed archive is decompressed to; gone when the archive is closed. */
  readonly tempDir: string;
  /** What any archive may decompress to; a large one also 100 times its size. @default 1 GiB */
  readonly plentyBytes?: number;
  readonly signal: AbortSignal;
}

const MAX_RATIO = 100;
const GIB = 1024 ** 3;

/** The tar that an archive is, or a file that it was decompressed to: `drop` removes that one again. */
export async function plainArchive(
  file: string,
  { tempDir, plentyBytes = GIB, signal }: PlainArchiveOptions,
): Promise<{ readonly path: string; drop(): Promise<void> }> {
  const stats = statSync(file);
  if (!stats.isFile()) throw invalidArchive(file, 'it is no file');
  const kind = await kindOf(file);
  if (kind === undefined) throw invalidArchive(file, 'it is no tar archive');
  if (kind === 'tar') return { path: file, drop: async () => undefined };
  const dir = await mkdtemp(join(tempDir, 'ocibuild-archive-'));
  const drop = (): Promise<void> => rm(dir, { recursive: true, force: true });
  const path = join(dir, 'archive.tar');
  const limit = Math.max(plentyBytes, stats.size * MAX_RATIO);
  try {
    const unpack = (await decompressorFor(kind)) as NodeJS.ReadWriteStream;
    await pipeline(createReadStream(file), unpack, atMost(limit, file), createWriteStream(path), { signal });
    if ((await kindOf(path)) !== 'tar') throw invalidArchive(file, `the ${kind} data holds no tar archive`);
  } catch (error) {
    await drop();
    throw error;
  }
  return { path, drop };
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
