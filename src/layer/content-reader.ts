import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { changedError, reading } from './fs-error.ts';
import type { FileContent, TreeEntry } from './types.ts';

// O_NONBLOCK: opening what has become a FIFO must not wait for a writer.
const OPEN_FLAGS = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);

/** An open file entry. Its facts are checked when it is closed, after the last byte was read. */
export interface ContentReader {
  /**
   * Fills exactly `length` bytes of `into` from `at` on with what stands at `position` in the file.
   * @throws CONTEXT_CHANGED where the file is too short
   */
  read(
    into: Buffer,
    range: { readonly at: number; readonly length: number; readonly position: number },
  ): void;
  /** @throws CONTEXT_CHANGED where size or time are not those of the entry any more */
  finish(): void;
  /** Closes without checks. */
  abandon(): void;
}

/** @throws CONTEXT_CHANGED where the file is gone, CONTEXT_UNREADABLE */
export function openContent(entry: TreeEntry, content: FileContent): ContentReader {
  // Its source may be a socket, which cannot be opened.
  if (entry.size === 0) return { read: () => undefined, finish: () => undefined, abandon: () => undefined };
  const shown = content.path.toString();
  const fd = reading(shown, () => openSync(content.path, OPEN_FLAGS));
  return {
    read(into, { at, length, position }) {
      for (let done = 0; done < length; ) {
        const count = reading(shown, () => readSync(fd, into, at + done, length - done, position + done));
        if (count === 0) throw changedError(shown, `it is shorter than the ${entry.size} B it had`);
        done += count;
      }
    },
    finish() {
      const stat = fstatSync(fd);
      closeSync(fd);
      if (!stat.isFile()) throw changedError(shown, 'it is no regular file any more');
      if (stat.size !== entry.size) {
        throw changedError(shown, `its size was ${entry.size} B and is ${stat.size} B`);
      }
      if (content.mtimeMs !== undefined && stat.mtimeMs !== content.mtimeMs) {
        throw changedError(shown, 'it was written to since it was listed');
      }
    },
    abandon: () => closeSync(fd),
  };
}
