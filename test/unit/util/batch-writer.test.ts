import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createBatchWriter } from '../../../src/util/batch-writer.ts';
import { tempDir } from '../cache/temp-store.ts';

describe('createBatchWriter()', () => {
  it('writes chunks in their order and tells what is in the file', async () => {
    const path = join(tempDir(), 'f');
    const told: number[] = [];
    const writer = createBatchWriter(path, { batchBytes: 10, onWritten: (bytes) => told.push(bytes) });
    expect(existsSync(path)).toBe(true);
    for (const text of ['one', 'two', 'three', 'four', 'five']) await writer.write(Buffer.from(text));
    await writer.flush();
    await writer.close();
    await writer.close();
    expect(readFileSync(path, 'utf8')).toBe('onetwothreefourfive');
    expect(told).toEqual([11, 19]);
  });

  it('is done with a chunk when nothing is held back', async () => {
    const path = join(tempDir(), 'f');
    const writer = createBatchWriter(path, { batchBytes: 0, onWritten: () => undefined });
    const buffer = Buffer.alloc(4);
    for (const text of ['aaaa', 'bbbb', 'cc']) {
      buffer.fill(text);
      await writer.write(buffer.subarray(0, text.length));
    }
    await writer.flush();
    await writer.close();
    expect(readFileSync(path, 'utf8')).toBe('aaaabbbbcc');
  });

  it('throws what writing throws, and closes all the same', async () => {
    const writer = createBatchWriter(join(tempDir(), 'f'), {
      batchBytes: 1,
      onWritten() {
        throw new Error('no more');
      },
    });
    await writer.write(Buffer.from('a'));
    await expect(writer.flush()).rejects.toThrow('no more');
    await writer.close();
  });

  it('refuses a file that is there', () => {
    const path = join(tempDir(), 'f');
    const options = { batchBytes: 1, onWritten: () => undefined };
    void createBatchWriter(path, options).close();
    expect(() => createBatchWriter(path, options)).toThrow('EEXIST');
  });
});
