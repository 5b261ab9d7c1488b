import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createBases } from '../real-world/bases.ts';
import { createOcibuild } from '../real-world/builders.ts';
import { loadCases } from '../real-world/cases.ts';
import { type CaseDeps, runCase } from '../real-world/run-case.ts';

const TIMEOUT_MS = 300_000;

const cases = loadCases({ quick: true });
let work = '';
let deps: CaseDeps;

describe('projects as people publish them', () => {
  beforeAll(async () => {
    work = mkdtempSync(join(tmpdir(), 'ocibuild-real-world-'));
    const store = join(work, 'store');
    deps = { bases: createBases(store), store, work, ocibuild: createOcibuild(store) };
    for (const base of new Set(cases.flatMap((one) => Object.values(one.bases))))
      await deps.bases.layout(base);
  }, TIMEOUT_MS);

  afterAll(() => {
    rmSync(work, { recursive: true, force: true });
  });

  it.each(cases)('$name builds and runs: $about', { timeout: TIMEOUT_MS }, async (one) => {
    expect((await runCase(one, deps)).problems).toEqual([]);
  });
});
