/** Builds every case of the corpus and compares with what Docker gave; needs root, an OCI runtime and a static busybox. */
import { accessSync, constants } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type CaseBuilder, createCaseBuilder } from './build-case.ts';
import { loadCases, readBaseExpected, readExpected } from './cases.ts';
import { outcomeOfBase } from './outcome.ts';

const busybox = process.env.BUSYBOX ?? '/bin/busybox';
const missing = missingRequirement();
const title = missing === undefined ? 'Dockerfile corpus' : `Dockerfile corpus (skipped: ${missing})`;
const cases = await loadCases();

describe.skipIf(missing !== undefined)(title, { timeout: 60_000 }, () => {
  let root: string;
  let builder: CaseBuilder;

  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'ocibuild-conformance-store-'));
    builder = await createCaseBuilder({ root, busybox });
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
      const expected = await readExpected(one);
      const actual = await builder.build(one);
      // Docker's words are not ours; the line at fault is the same fact for both.
      if ('error' in expected && 'error' in actual) {
        expect(actual.error.lines, actual.error.message).toEqual(expected.error.lines ?? actual.error.lines);
      } else expect(actual).toEqual(expected);
    });
  });
});

function missingRequirement(): string | undefined {
  if (process.getuid?.() !== 0) return 'needs root';
  if (process.arch !== 'x64') return 'the expected results are those of amd64';
  try {
    accessSync(busybox, constants.X_OK);
    return undefined;
  } catch {
    return `needs a static busybox at "${busybox}" or at BUSYBOX`;
  }
}
