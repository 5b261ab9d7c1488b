import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { checkedLayout } from '../support/images.ts';
import { tarOf } from '../support/layout.ts';
import { createProject, mountTmpfs, type Project, SHELL } from './cli-support.ts';

/** The store a process may use, and a directory for temporary files that is only its own. */
interface Place {
  readonly store: string;
  readonly temp: string;
}

function leftIn({ store, temp }: Place, before: readonly string[]): string[] {
  // What is refused before anything is done makes no store.
  const parts = ['run', 'tmp', 'trash']
    .filter((folder) => existsSync(join(store, folder)))
    .flatMap((folder) => readdirSync(join(store, folder)).map((name) => `${folder}/${name}`));
  // Test files beside this one make directories of their own in /tmp, under other names.
  const strange = readdirSync(tmpdir()).filter(
    (name) => !before.includes(name) && !/^ocibuild-[a-z0-9]+-/.test(name),
  );
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  return [
    ...parts,
    ...readdirSync(temp),
    ...strange.filter((name) => name.includes('ocibuild')),
    ...mounts.filter((line) => line.includes(`${store}/`)),
  ];
}

/** A build that must fail with `message`, leave nothing, and not spoil the next one. */
async function expectFailure(
  project: Project,
  message: RegExp,
  options: { store?: string; args?: string[] } = {},
) {
  const { store = project.store, args = ['-t', 'app'] } = options;
  const temp = join(project.dir, 'temp');
  project.write({ 'temp/.keep': '' });
  const before = readdirSync(tmpdir());
  const { code, stderr } = await project.run([...args, '.'], { store, env: { TMPDIR: temp } });
  expect(stderr).toMatch(message);
  expect(code).not.toBe(0);
  expect(code).not.toBe(70);
  await expect
    .poll(() => leftIn({ store, temp }, before).filter((name) => name !== '.keep'), { timeout: 10_000 })
    .toEqual([]);
  project.write({ Dockerfile: `${SHELL}RUN echo fine >/fine\n` });
  const next = await project.run(['-t', 'next', '.'], { store });
  expect(next.code, next.stderr).toBe(0);
  expect((await checkedLayout(store, 'next:latest')).files.get('/fine')?.text).toBe('fine\n');
}

describe('a build that fails', () => {
  it.each<[string, string, RegExp]>([
    ['a source of COPY is missing', `${SHELL}COPY nothing /x\n`, /^error\[COPY_SOURCE_MISSING\]/m],
    [
      'a source in a stage is missing, while another stage runs',
      `${SHELL.replace('scratch', 'scratch AS shell')}FROM shell AS slow
RUN /bin/busybox sleep 60
FROM shell
COPY <<EOF /made
made
EOF
COPY --from=shell /nothing /x
COPY --from=slow /bin /y
`,
      /^error\[COPY_SOURCE_MISSING\]/m,
    ],
    [
      'a RUN fails',
      `${SHELL}RUN /bin/busybox dd if=/dev/zero of=/big bs=1M count=5; exit 1\n`,
      /^error\[RUN_EXIT_NONZERO\]/m,
    ],
    ['a command cannot start', `${SHELL}RUN ["/no/such/program"]\n`, /^error\[RUN_/m],
    ['an archive is damaged', `${SHELL}ADD broken.tar.gz /\n`, /^error\[ARCHIVE_INVALID\]/m],
    ['the owner is unknown', `${SHELL}COPY --chown=nobody busybox /x\n`, /^error\[COPY_OWNER_UNKNOWN\]/m],
  ])('leaves nothing behind when %s', async (_what, dockerfile, message) => {
    const project = createProject({ Dockerfile: dockerfile, 'tar/a': 'a'.repeat(100_000) });
    const archive = gzipSync(
      tarOf({ a: 'a', b: Buffer.from(Uint8Array.from({ length: 9000 }, (_, i) => i * i)) }),
    );
    writeFileSync(join(project.dir, 'broken.tar.gz'), archive.subarray(0, archive.length - 400));
    await expectFailure(project, message);
  });

  it.each<[string, string]>([
    ['a COPY', `${SHELL}COPY noise /noise\n`],
    ['a COPY below a RUN', `${SHELL}COPY noise /noise\nRUN echo never\n`],
    ['an archive that unpacks to much more', `${SHELL}ADD bomb /\n`],
    ['a RUN', `${SHELL}RUN /bin/busybox dd if=/dev/urandom of=/noise bs=1M count=40\n`],
    ['the packing of a RUN', `${SHELL}RUN /bin/busybox dd if=/dev/urandom of=/noise bs=1M count=10\n`],
  ])('leaves nothing behind when %s fills the disk of the store', async (_what, dockerfile) => {
    const project = createProject({ Dockerfile: dockerfile });
    const noise = Buffer.alloc(30_000_000);
    for (let at = 0; at < noise.length; at += 4) noise.writeUInt32LE((at * 2_654_435_761) % 2 ** 32, at);
    writeFileSync(join(project.dir, 'noise'), noise);
    writeFileSync(join(project.dir, 'bomb'), gzipSync(tarOf({ zeros: Buffer.alloc(60_000_000) })));
    const store = join(mountTmpfs('size=18m'), 'store');
    await expectFailure(project, /^error\[(DISK_FULL|RUN_EXIT_NONZERO)\]: Cannot /m, { store });
  });

  it('leaves no part of an output behind when its place is wrong', async () => {
    const project = createProject({ Dockerfile: 'FROM scratch\nCOPY busybox /\n' });
    await expectFailure(project, /^error\[EXPORT_TARGET_INVALID\]/m, { args: ['-o', 'type=oci,dest=temp'] });
  });
});
