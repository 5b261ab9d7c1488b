import { generateKeyPairSync } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { defaultStateDir } from '../../src/executor/runc.ts';
import { checkedLayout, filesOf } from '../support/images.ts';
import { createProject, type Project, SHELL } from './cli-support.ts';

const KILLS = 10;
const SEED = 20_240_611;

const DOCKERFILE = `${SHELL.replace('scratch', 'scratch AS shell')}
FROM shell AS one
ARG ROUND
RUN --mount=type=cache,id=seed,target=/cache --mount=type=secret,id=key,required --mount=type=ssh,required : $ROUND >>/cache/rounds; /bin/busybox cat /run/secrets/key >/dev/null; /bin/busybox yes one | /bin/busybox head -c 3000000 >/one; /bin/busybox sleep 0.3
RUN /bin/busybox ln /bin/busybox /bin/hard; /bin/busybox sleep 0.3
FROM shell AS two
COPY --chown=5:6 big /big
RUN /bin/busybox chmod 600 /big/data; /bin/busybox sleep 0.3
FROM shell
COPY --from=two /big /srv/big
COPY --from=one /one /bin/hard /srv/
RUN /bin/busybox rm /srv/hard && /bin/busybox mkdir -p /srv/deep/er; /bin/busybox sleep 0.3
`;

/** Mulberry32: the same moments in every run of the test. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function createBig(): Project {
  const { privateKey } = generateKeyPairSync('ed25519');
  const key = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  const project = createProject({ Dockerfile: DOCKERFILE, 'big/round': '-', key });
  const next = random(1);
  writeFileSync(
    join(project.dir, 'big/data'),
    Uint8Array.from({ length: 4_000_000 }, () => next() * 256),
  );
  return project;
}

/** Everything that a build may hold while it runs: in the store, in the runtime, in the kernel. */
function held({ store, leftovers }: Project): string[] {
  const states = defaultStateDir(join(store, 'run'), false);
  const db = new DatabaseSync(join(store, 'cache.db'), { readOnly: true });
  const locks = db.prepare('SELECT key FROM locks UNION ALL SELECT name FROM cache_mount_users').all();
  db.close();
  return [
    ...leftovers(),
    ...(existsSync(states) ? readdirSync(states) : []),
    ...locks.map(({ key }) => `lock ${key}`),
    ...processesOf(store),
  ];
}

/** Processes that name the store, or that live in a mount namespace where something of it is mounted. */
function processesOf(store: string): string[] {
  return readdirSync('/proc').flatMap((pid) => {
    if (!/^\d+$/.test(pid)) return [];
    try {
      const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
      const mounts = readFileSync(`/proc/${pid}/mountinfo`, 'utf8');
      return command.includes(store) || mounts.includes(store) ? [`process ${pid} ${command}`] : [];
    } catch {
      return [];
    }
  });
}

const build = (round: string): string[] => [
  ...['-q', '-t', 'app', '--build-arg', `ROUND=${round}`],
  ...['--secret', 'id=key', '--ssh', 'default=key', '.'],
];

describe('a build that is killed', () => {
  it(`leaves a next build right when SIGKILL comes at ${KILLS} moments`, async () => {
    const calm = createBig();
    const begin = performance.now();
    expect(await calm.run(build('-'))).toMatchObject({ code: 0, stderr: '' });
    const duration = performance.now() - begin;
    const expected = filesOf(await checkedLayout(calm.store, 'app:latest'));
    const project = createBig();
    const next = random(SEED);
    let killed = 0;
    // The first build made the base as well: later ones are done sooner.
    let reach = 0.75 * duration;
    for (let round = 0; round < KILLS || killed <= KILLS / 2; round++) {
      const moment = Math.round((((round % KILLS) + next()) / KILLS) * reach);
      project.write({ 'big/round': String(round) });
      const { child, ended } = project.start(build(String(round)));
      await sleep(moment);
      child.kill('SIGKILL');
      if ((await ended).code === null) killed++;
      // It was over: they take less time now than the first one did.
      else reach *= 0.8;

      const again = await project.run(build(String(round)));
      expect(again, `killed after ${moment} ms`).toMatchObject({ code: 0, stderr: '' });
      const image = await checkedLayout(project.store, 'app:latest');
      expect(image.manifestDigest).toBe(again.stdout.toString().trim());
      expect(image.files.get('/srv/big/round')?.text).toBe(String(round));
      const files = { ...filesOf(image), '/srv/big/round': expected['/srv/big/round'] };
      expect(files, `killed after ${moment} ms`).toEqual(expected);
      await expect.poll(() => held(project), { timeout: 10_000 }).toEqual([]);
    }
  });

  it.each(['SIGINT', 'SIGTERM'] as const)(
    'holds nothing when it ends after %s in two RUN steps',
    async (signal) => {
      const project = createBig();
      const { child, ended } = project.start(['--progress', 'plain', ...build('-').slice(1)]);
      await Promise.race([
        ended,
        new Promise<void>((done) => {
          let seen = '';
          child.stderr?.on('data', (data: Buffer) => {
            seen += data;
            if (/\[one 1\/2\] RUN/.test(seen) && /\[two 2\/2\] RUN/.test(seen)) done();
          });
        }),
      ]);
      await sleep(100);
      child.kill(signal);
      const { code, stderr } = await ended;
      expect(code).toBe(130);
      expect(stderr).toMatch(/^error\[CANCELLED\]/m);
      // The trash may still be emptied by a child; all else is gone with the process.
      expect(held(project).filter((what) => !what.includes('trash'))).toEqual([]);
      await expect.poll(() => held(project), { timeout: 10_000 }).toEqual([]);
      const next = await project.run(build('-').slice(1));
      expect(next.stderr).toMatch(/\[two 1\/2\] COPY --chown=5:6 big \/big\n#\d+ CACHED/);
      expect(next.code).toBe(0);
    },
  );
});
