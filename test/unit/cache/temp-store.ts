import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { openDatabase } from '../../../src/cache/database.ts';
import { openStore } from '../../../src/cache/store-root.ts';
import type { Database, StoreRoot } from '../../../src/cache/types.ts';

/** A directory that is gone after the test. */
export function tempDir(): string {
  const dir = mkdtempSync(join(tmpdir(), 'ocibuild-cache-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/** An open store that is closed and gone after the test. */
export async function tempStore(): Promise<{ root: StoreRoot; db: Database }> {
  const root = await openStore(join(tempDir(), 'store'));
  const db = await openDatabase(root.databaseFile);
  onTestFinished(() => db.close());
  return { root, db };
}

export const digestOf = (letter: string): `sha256:${string}` => `sha256:${letter.repeat(64)}`;
