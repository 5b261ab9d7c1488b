import { openContent } from '../layer/content-reader.ts';
import { encodeHeader, padded } from '../layer/tar/tar-header.ts';
import type { TreeEntry } from '../layer/types.ts';
import { type ByteSink, type ExportTarget, writeTarget } from './target.ts';
import type { ExportOptions, ExportTree } from './types.ts';

const CHUNK_BYTES = 1024 * 1024;
const ENTRIES_PER_EVENT = 256;

/**
 * Writes a root file system as one canonical tar: equal trees give equal bytes. The root directory itself is left
 * out. A file appears whole or not at all.
 * @throws DISK_FULL, EXPORT_TARGET_INVALID, EXPORT_FAILED, LAYER_INVALID
 */
export async function exportTar(
  { tree, content }: ExportTree,
  target: ExportTarget,
  { signal, epochSec, onProgress }: ExportOptions,
): Promise<void> {
  const left = ['whiteout', 'opaque', 'socket'];
  const entries = tree.filter(({ path, type }) => path !== '' && !left.includes(type));
  await writeTarget(target, signal, async (sink) => {
    const out = bufferedSink(sink);
    let done = 0;
    for (const entry of entries) {
      await out.write(encodeHeader(epochSec === undefined ? entry : { ...entry, mtimeSec: epochSec }));
      if (entry.type === 'file' && entry.size > 0) await writeContent(entry, content(entry.path), out);
      // Each call is an event for the user: one for each of 50,000 files would cost more than the files.
      if (++done % ENTRIES_PER_EVENT === 0 || done === entries.length) {
        onProgress?.('exporting files', done, entries.length);
      }
    }
    await out.write(Buffer.alloc(1024));
    await out.flush();
  });
}

async function writeContent(entry: TreeEntry, path: string | Buffer, sink: ByteSink): Promise<void> {
  const reader = openContent(entry, { path });
  try {
    const chunk = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, padded(entry.size)));
    for (let done = 0; done < entry.size; done += chunk.length) {
      const length = Math.min(chunk.length, entry.size - done);
      reader.read(chunk, { at: 0, length, position: done });
      const end = done + length === entry.size ? padded(length) : length;
      chunk.fill(0, length, end);
      await sink.write(chunk.subarray(0, end));
    }
  } catch (error) {
    reader.abandon();
    throw error;
  }
  reader.finish();
}

/** Most entries are a header and some hundred bytes; one system call for each would be most of the time. */
function bufferedSink(sink: ByteSink): ByteSink & { flush(): Promise<void> } {
  const buffer = Buffer.allocUnsafe(CHUNK_BYTES);
  let used = 0;
  const flush = async (): Promise<void> => {
    if (used > 0) await sink.write(buffer.subarray(0, used));
    used = 0;
  };
  return {
    flush,
    async write(chunk) {
      if (used + chunk.length > buffer.length) await flush();
      if (chunk.length > buffer.length) {
        await sink.write(chunk);
        return;
      }
      buffer.set(chunk, used);
      used += chunk.length;
    },
  };
}
