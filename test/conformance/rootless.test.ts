/** Builds every case of the corpus as a normal user; needs root, to make that user. */
import { spawn } from 'node:child_process';
import { chownSync, copyFileSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { type MemoryDisk, mountMemoryDisk } from '../support/memory-disk.ts';
import { createNormalUser, type NormalUser, whyNoNormalUser } from '../support/normal-user.ts';
import { loadCases, readBaseExpected, readExpected } from './cases.ts';
import { expectOutcome } from './expect-outcome.ts';
import { BUSYBOX, missingRequirement } from './requirements.ts';
import type { RootlessOutcomes } from './types.ts';

const missing = missingRequirement(BUSYBOX) ?? whyNoNormalUser();
const title = missing === undefined ? 'corpus without root' : `corpus without root (skipped: ${missing})`;
const cases = await loadCases();

describe.skipIf(missing !== undefined)(title, () => {
  let disk: MemoryDisk;
  let user: NormalUser;
  let outcomes: RootlessOutcomes;

  beforeAll(async () => {
    disk = mountMemoryDisk();
    vi.stubEnv('TMPDIR', disk.dir);
    user = createNormalUser('ocibuild-corpus');
    outcomes = await buildAll(user);
    // A limit only: a machine that is busy with other things takes several times as long.
  }, 600_000);

  afterAll(() => {
    user[Symbol.dispose]();
    vi.unstubAllEnvs();
    disk[Symbol.dispose]();
  });

  test('build() makes the same base image as Docker', async () => {
    expect(outcomes.base).toEqual(await readBaseExpected());
  });

  test.each(cases)('build() agrees with Docker in $name', async (one) => {
    const actual = outcomes.cases[one.name];
    if (actual === undefined) throw new Error(`"${one.name}" was not built`);
    expectOutcome(actual, await readExpected(one, { rootless: true }));
  });
});

/** One process enters the user namespace once and builds everything there. */
async function buildAll(user: NormalUser): Promise<RootlessOutcomes> {
  const dir = join(user.home, 'corpus');
  mkdirSync(dir);
  chownSync(dir, user.uid, user.gid);
  const busybox = join(user.home, 'busybox');
  copyFileSync(BUSYBOX, busybox);
  const runner = join(user.checkout, 'test/conformance/rootless-runner.ts');
  const node = [user.node, '--disable-warning=ExperimentalWarning', runner, dir, busybox];
  const [file, args] = user.command(node);
  const child = spawn(file, args, {
    cwd: '/',
    // Each build starts a thread, which takes 40 ms where its code is compiled, and 190 where it is not.
    env: {
      PATH: process.env.PATH,
      HOME: user.home,
      TMPDIR: dir,
      NODE_COMPILE_CACHE: join(dir, 'compiled'),
      MALLOC_ARENA_MAX: process.env.MALLOC_ARENA_MAX,
    },
    stdio: ['ignore', 'inherit', 'pipe'],
  });
  const ended = new Promise<number | null>((done) => child.on('close', done));
  const stderr = await text(child.stderr);
  expect([await ended, stderr]).toEqual([0, '']);
  return JSON.parse(readFileSync(join(dir, 'outcomes.json'), 'utf8')) as RootlessOutcomes;
}
