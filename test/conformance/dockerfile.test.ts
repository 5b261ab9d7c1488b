/** Builds every case of the corpus and compares with what Docker gave; needs root, an OCI runtime and a static busybox. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type CaseBuilder, createCaseBuilder } from './build-case.ts';
import { loadCases, readBaseExpected, readExpected } from './cases.ts';
import { expectOutcome } from './expect-outcome.ts';
import { outcomeOfBase } from './outcome.ts';
import { BUSYBOX, missingRequirement } from './requirements.ts';

const missing = missingRequirement(BUSYBOX);
const title = missing === undefined ? 'Dockerfile corpus' : `Dockerfile corpus (skipped: ${missing})`;
const cases = await loadCases();

describe.skipIf(missing !== undefined)(title, { timeout: 60_000 }, () => {
  let root: string;
  let builder: CaseBuilder;

  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'ocibuild-conformance-store-'));
    builder = await createCaseBuilder({ root, busybox: BUSYBOX });
  }, 60_000);

  afterAll(async () => {
    await builder?.[Symbol.asyncDispose]();
    await rm(root, { recursive: true, force: true });
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
