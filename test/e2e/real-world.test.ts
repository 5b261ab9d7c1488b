import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createBases } from '../real-world/bases.ts';
import { createOcibuild } from '../real-world/builders.ts';
import { loadCases } from '../real-world/cases.ts';
import { type CaseDeps, runCase } from '../real-world/run-case.ts';
import { type MemoryDisk, mountMemoryDisk } from '../support/memory-disk.ts';

const TIMEOUT_MS = 300_000;

const cases = loadCases({ quick: true });
let work = '';
/** For bundles, one at a time: each is a Debian of ten thousand files. */
let disk: MemoryDisk;
let deps: CaseDeps;

describe('projects as people publish them', () => {
  beforeAll(async () => {
    work = mkdtempSync(join(tmpdir(), 'ocibuild-real-world-'));
    const store = join(work, 'store');
    disk = mountMemoryDisk();
    deps = { bases: createBases(store), store, work: disk.dir, ocibuild: createOcibuild(store) };
    for (const base of new Set(cases.flatMap((one) => Object.values(one.bases))))
      await deps.bases.layout(base);
  }, TIMEOUT_MS);

  afterAll(() => {
    disk?.[Symbol.dispose]();
    rmSync(work, { recursive: true, force: true });
  });

  it.each(cases)('$name builds and runs: $about', { timeout: TIMEOUT_MS }, async (one) => {
    expect((await runCase(one, deps)).problems).toEqual([]);
  });
});
