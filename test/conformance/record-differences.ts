/**
 * Records what ocibuild gives where a case differs from Docker on purpose:
 * `node test/conformance/record-differences.ts NAME...`. Each case needs `differs` in its case.json first.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createCaseBuilder } from './build-case.ts';
import { loadCases, writeExpectedOfOcibuild } from './cases.ts';

const names = process.argv.slice(2);
if (names.length === 0) throw new Error('Name the cases to record');
const root = await mkdtemp(join(tmpdir(), 'ocibuild-record-'));
try {
  await using builder = await createCaseBuilder({ root, busybox: process.env.BUSYBOX ?? '/bin/busybox' });
  for (const one of await loadCases(names)) {
    if (one.options.differs === undefined) throw new Error(`"${one.name}" does not say why it differs`);
    await writeExpectedOfOcibuild(one, await builder.build(one));
  }
} finally {
  await rm(root, { recursive: true, force: true });
}
