/** Builds every case of the corpus and compares with what Docker gave; needs root, an OCI runtime and a static busybox. */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { type MemoryDisk, mountMemoryDisk } from '../support/memory-disk.ts';
import { type CaseBuilder, createCaseBuilder } from './build-case.ts';
import { loadCases, readBaseExpected, readExpected } from './cases.ts';
import { expectOutcome } from './expect-outcome.ts';
import { outcomeOfBase } from './outcome.ts';
import { BUSYBOX, missingRequirement } from './requirements.ts';

const missing = missingRequirement(BUSYBOX);
const title = missing === undefined ? 'Dockerfile corpus' : `Dockerfile corpus (skipped: ${missing})`;
const cases = await loadCases();

describe.skipIf(missing !== undefined)(title, { timeout: 60_000 }, () => {
  let disk: MemoryDisk;
  let builder: CaseBuilder;

  beforeAll(async () => {
    disk = mountMemoryDisk();
    vi.stubEnv('TMPDIR', disk.dir);
    builder = await createCaseBuilder({ root: join(disk.dir, 'store'), busybox: BUSYBOX });
  }, 60_000);

  afterAll(async () => {
    await builder?.[Symbol.asyncDispose]();
    vi.unstubAllEnvs();
    disk[Symbol.dispose]();
  }, 60_000);

  test('build() makes the same base image as Docker', async () => {
    expect(outcomeOfBase(builder.base)).toEqual(await readBaseExpected());
  });

  describe.concurrent.each(cases)('$name', (one) => {
    test('build() agrees with Docker', async () => {
      expectOutcome(await builder.build(one), await readExpected(one));
    });
  });
});
