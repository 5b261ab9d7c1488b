/**
 * Prints how many cases of each group agree: `node test/conformance/compare.ts [--peers PATH] [NAME...]`. With a peers
 * command Docker builds each case anew, without one the recorded results count.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { createCaseBuilder } from './build-case.ts';
import { loadCases, readExpected } from './cases.ts';
import { sameDescription } from './described.ts';
import { createOracle, oracleArguments } from './oracle.ts';
import type { Case, Outcome } from './types.ts';

const busybox = process.env.BUSYBOX ?? '/bin/busybox';
const { peers, names } = oracleArguments(process.argv.slice(2));
const cases = await loadCases(names);
const root = await mkdtemp(join(tmpdir(), 'ocibuild-compare-'));
const groups = new Map<string, { agree: number; onPurpose: number; differ: number }>();
try {
  await using ours = await createCaseBuilder({ root, busybox });
  await using docker = peers === undefined ? undefined : await createOracle({ peers, busybox });
  for (const one of cases) {
    const expected = docker === undefined ? await readExpected(one) : await docker.build(one);
    const differences = compare(expected, await outcomeOrBug(one, ours.build));
    count(one, differences.length === 0);
    if (differences.length > 0) process.stdout.write(`${one.name}: ${differences.join('; ')}\n`);
  }
} finally {
  await rm(root, { recursive: true, force: true });
}
process.stdout.write(`\n${'group'.padEnd(14)}agree  differ on purpose  differ\n`);
for (const [group, { agree, onPurpose, differ }] of groups) {
  process.stdout.write(
    `${group.padEnd(14)}${String(agree).padStart(5)}  ${String(onPurpose).padStart(17)}  ${String(differ).padStart(6)}\n`,
  );
}

async function outcomeOrBug(one: Case, build: (one: Case) => Promise<Outcome>): Promise<Outcome> {
  try {
    return await build(one);
  } catch (error) {
    return {
      error: { message: `bug: ${error instanceof Error ? error.message : String(error)}`, lines: [0, 0] },
    };
  }
}

function compare(expected: Outcome, actual: Outcome): string[] {
  if ('error' in expected && 'error' in actual) {
    const [want, got] = [expected.error.lines, actual.error.lines];
    if (want === undefined || isDeepStrictEqual(want, got)) return [];
    return [`error at lines ${String(got)} instead of ${String(want)}: ${actual.error.message}`];
  }
  if ('error' in expected) return [`built, Docker fails: ${expected.error.message}`];
  if ('error' in actual) return [actual.error.message];
  if ('images' in expected && 'images' in actual) {
    const [want, got] = [expected, actual].map(({ images }) => images.map(({ platform }) => platform).join());
    if (want !== got) return [`images of ${got} instead of ${want}`];
    return expected.images.flatMap((image, i) =>
      compare(image, actual.images[i] ?? image).map((difference) => `${image.platform} ${difference}`),
    );
  }
  if (!('fs' in expected && 'fs' in actual)) {
    return sameDescription(actual, expected)
      ? []
      : [`${JSON.stringify(actual)} instead of ${JSON.stringify(expected)}`];
  }
  const keys = ['config', 'history', 'layers', 'fs', 'removed'] as const;
  return keys
    .filter((key) => !isDeepStrictEqual(actual[key], expected[key]))
    .map((key) => `${key}: ${firstDifference(actual[key], expected[key])}`);
}

function firstDifference(actual: unknown, expected: unknown): string {
  if (!Array.isArray(actual) || !Array.isArray(expected)) {
    return `${JSON.stringify(actual)} instead of ${JSON.stringify(expected)}`;
  }
  const at = actual.findIndex((item, i) => !isDeepStrictEqual(item, expected[i]));
  const i = at < 0 ? actual.length : at;
  return `${JSON.stringify(actual[i]) ?? 'nothing'} instead of ${JSON.stringify(expected[i]) ?? 'nothing'}`;
}

function count(one: Case, agrees: boolean): void {
  const group = groups.get(one.group) ?? { agree: 0, onPurpose: 0, differ: 0 };
  // The recorded result of a case that differs on purpose is our own, which it must keep.
  const onPurpose = one.options.differs !== undefined && (peers === undefined ? agrees : !agrees);
  if (onPurpose) group.onPurpose += 1;
  else if (agrees) group.agree += 1;
  else group.differ += 1;
  groups.set(one.group, group);
}
