/** Builds for several platforms, with steps of another processor under an emulator that the build itself registers. */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { registerLine } from '../../src/executor/elf.ts';
import { build } from '../../src/index.ts';
import { flattenLayout, platformsOfLayout } from '../support/flatten.ts';
import { foreignBusybox, whyNoEmulation } from '../support/foreign-busybox.ts';
import { createNormalUser, whyNoNormalUser } from '../support/normal-user.ts';
import { validateImage } from '../support/validate-image.ts';
import { createProject, type Project } from './cli-support.ts';

const why = whyNoEmulation();
const BOTH = 'linux/amd64,linux/arm64';

/** busybox of each platform as /bin/sh. */
const SHELL = `FROM scratch AS base
ARG TARGETARCH
COPY busybox-$TARGETARCH /bin/busybox
SHELL ["/bin/busybox", "sh", "-c"]
`;

function projectOf(dockerfile: string): Project {
  const project = createProject({ Dockerfile: dockerfile });
  copyFileSync(join(project.dir, 'busybox'), join(project.dir, 'busybox-amd64'));
  copyFileSync(foreignBusybox('arm64'), join(project.dir, 'busybox-arm64'));
  return project;
}

async function run(project: Project, ...args: string[]): Promise<string> {
  const { code, stderr, stdout } = await project.run([...args, '.']);
  expect(code, stderr).toBe(0);
  return stdout.toString();
}

/** Runs `sh -ec "$1" sh ARG…` as root of a user namespace, which is the machine for all that happens in it. */
const IN_NAMESPACE = `old=$(readlink /proc/self/ns/user)
unshare -U sh -c 'until read -r _ </proc/self/uid_map; do sleep 0.01; done; exec unshare -m sh -ec "$@"' sh "$@" &
while [ "$(readlink /proc/$!/ns/user)" = "$old" ]; do sleep 0.01; done
echo 0 0 65536 >/proc/$!/uid_map
echo 0 0 65536 >/proc/$!/gid_map
wait $!
`;

/** The handler has its interpreter open, and no build finds another emulator. */
const HANDLER_OF_MACHINE = `mount -t binfmt_misc none /proc/sys/fs/binfmt_misc
printf %s "$HANDLER" >/proc/sys/fs/binfmt_misc/register
for f in /usr/bin/qemu-*; do mount --bind /dev/null "$f"; done
exec "$@"
`;

/** What the whole machine runs: no build may change it. */
function machineHandlers(): string[] {
  const dir = mkdtempSync(join(tmpdir(), 'ocibuild-binfmt-'));
  try {
    const script = 'mount -t binfmt_misc none "$1" && ls "$1"';
    const list = execFileSync('unshare', ['-m', 'sh', '-c', script, 'sh', dir], { encoding: 'utf8' });
    return list.trim().split('\n');
  } finally {
    rmSync(dir, { recursive: true });
  }
}

describe.skipIf(why !== undefined)(`emulation${why === undefined ? '' : ` (skipped: ${why})`}`, () => {
  beforeAll(() => {
    foreignBusybox('arm64');
  });

  it('build runs the steps of each platform and writes one index, for other tools too', async () => {
    const before = machineHandlers();
    const project = projectOf(
      `${SHELL}RUN busybox uname -m >/arch && busybox id -u >>/arch
RUN ["/bin/busybox", "sh", "-c", "busybox --install -s /bin && sh -c 'uname -m >/again'"]
`,
    );
    const [layout, bundle] = [join(project.store, '../layout'), join(project.store, '../bundle')];
    const digest = await run(project, '-q', '--platform', BOTH, '-t', 'app:v0');
    await run(project, '-q', '--platform', BOTH, '-t', 'app:v0', '-o', `type=oci,tar=false,dest=${layout}`);
    expect(await validateImage(layout, 'v0', { signal: AbortSignal.timeout(100_000) })).toEqual([]);
    expect(await platformsOfLayout(layout)).toEqual(BOTH.split(','));
    for (const [platform, machine] of [
      ['linux/amd64', 'x86_64'],
      ['linux/arm64', 'aarch64'],
    ] as const) {
      const { files, config } = await flattenLayout(layout, { platform });
      expect(files.get('/arch')?.text).toBe(`${machine}\n0\n`);
      expect(files.get('/again')?.text).toBe(`${machine}\n`);
      expect(config).toMatchObject({ os: 'linux', architecture: platform.slice(6) });
      const arch = ['--override-arch', platform.slice(6)];
      const seen = execFileSync('skopeo', ['inspect', ...arch, '--config', `oci:${project.store}:app:v0`]);
      expect(JSON.parse(seen.toString())).toMatchObject({ architecture: platform.slice(6) });
    }
    const raw = execFileSync('skopeo', ['inspect', '--raw', `oci:${project.store}:app:v0`]);
    expect(JSON.parse(raw.toString()).manifests).toHaveLength(2);
    expect(`sha256:${execFileSync('sha256sum', { input: raw, encoding: 'utf8' }).slice(0, 64)}`).toBe(
      digest.trim(),
    );
    // umoci takes manifests only: the image of one platform, chosen by skopeo.
    const single = `oci:${join(project.store, '../single')}:arm`;
    execFileSync('skopeo', ['copy', '-q', '--override-arch', 'arm64', `oci:${layout}:v0`, single]);
    execFileSync('umoci', ['unpack', '--image', single.slice('oci:'.length), bundle], { stdio: 'ignore' });
    expect(readFileSync(join(bundle, 'rootfs/again'), 'utf8')).toBe('aarch64\n');
    await expect.poll(() => project.leftovers(), { timeout: 10_000 }).toEqual([]);
    expect(machineHandlers()).toEqual(before);
  });

  it('build keeps setuid, users and exit codes of emulated steps', async () => {
    const project = projectOf(`${SHELL}RUN busybox cp /bin/busybox /bin/su && busybox chmod 4755 /bin/su
USER 1000:1000
RUN busybox id -u >/tmp-file 2>&1 || busybox true
RUN busybox sh -c 'exit 7'
`);
    const { code, stderr } = await project.run(['--platform', 'linux/arm64', '.']);
    expect(code).toBe(1);
    expect(stderr).toContain('exit code 7');
    await expect.poll(() => project.leftovers(), { timeout: 10_000 }).toEqual([]);
  });

  it('build says what to install when there is no emulator', async () => {
    const project = projectOf(`${SHELL}RUN busybox true\n`);
    // An empty directory over /usr/bin would hide too much: only the emulators go.
    const hide = 'for f in /usr/bin/qemu-*; do mount --bind /dev/null "$f"; done; exec "$@"';
    const cli = [process.execPath, '--disable-warning=ExperimentalWarning', 'dist/cli.js'];
    const args = ['--root', project.store, '--platform', 'linux/arm64', project.dir];
    const command = ['-m', 'sh', '-c', hide, 'sh', ...cli, ...args];
    const failed = (() => {
      try {
        execFileSync('unshare', command, { stdio: 'pipe' });
        return undefined;
      } catch (error) {
        return error as { status: number; stderr: Buffer };
      }
    })();
    expect(failed?.status).toBe(3);
    const text = failed?.stderr.toString() ?? '';
    expect(text).toContain('error[EMULATOR_MISSING]: Cannot run "/bin/busybox": it is a program for arm64');
    expect(text).toContain('apt-get install qemu-user-static');
    expect(text).toContain('Dockerfile:5');
  });
});

const noUser = whyNoNormalUser() ?? why;
describe.skipIf(noUser !== undefined)(
  `emulation without root${noUser === undefined ? '' : ` (skipped: ${noUser})`}`,
  () => {
    it('build registers emulators in its own user namespace', () => {
      using user = createNormalUser('ocibuild-emulation');
      const context = join(user.home, 'context');
      mkdirSync(context);
      copyFileSync(foreignBusybox('arm64'), join(context, 'busybox'));
      chmodSync(join(context, 'busybox'), 0o755);
      writeFileSync(
        join(context, 'Dockerfile'),
        `FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "sh", "-c", "busybox uname -m >/arch; busybox touch /own; busybox chown 7:8 /own"]
`,
      );
      chownSync(context, user.uid, user.gid);
      const before = machineHandlers();
      const cli = [
        join(user.checkout, 'bin/ocibuild'),
        '--platform',
        'linux/arm64',
        '-o',
        'type=tar,dest=out.tar',
        '.',
      ];
      const [file, args] = user.command(cli);
      execFileSync(file, args, {
        cwd: context,
        env: { PATH: process.env.PATH, HOME: user.home, XDG_DATA_HOME: join(user.home, 'data') },
        stdio: 'pipe',
      });
      const tar = (...words: string[]) =>
        execFileSync('tar', ['--numeric-owner', ...words], { cwd: context, encoding: 'utf8' });
      expect(tar('-xOf', 'out.tar', 'arch')).toBe('aarch64\n');
      expect(tar('-tvf', 'out.tar', 'own')).toContain(' 7/8 ');
      expect(machineHandlers()).toEqual(before);
    });
  },
);

describe.skipIf(why !== undefined)('emulation of the machine', () => {
  it('build uses a handler that is registered already', () => {
    const project = projectOf(`${SHELL}RUN busybox uname -m >/arch\n`);
    const out = join(project.store, '../out');
    const cli = [process.execPath, '--disable-warning=ExperimentalWarning', 'dist/cli.js'];
    const args = ['--root', project.store, '--platform', 'linux/arm64', '-o', out, project.dir];
    const handler = registerLine({ architecture: 'arm64', qemu: 'aarch64' }, '/usr/bin/qemu-aarch64-static');
    execFileSync('sh', ['-ec', IN_NAMESPACE, 'sh', HANDLER_OF_MACHINE, 'sh', ...cli, ...args], {
      stdio: 'pipe',
      env: { ...process.env, HANDLER: handler.replace(':ocibuild-', ':machine-') },
    });
    expect(readFileSync(join(out, 'arch'), 'utf8')).toBe('aarch64\n');
  });
});

describe('several platforms', () => {
  it('build runs a stage of the build platform once for all', async () => {
    const project = createProject({
      Dockerfile: `FROM --platform=$BUILDPLATFORM scratch AS tools
COPY busybox /bin/busybox
RUN ["/bin/busybox", "sh", "-c", "busybox date +%s%N >/once"]
FROM --platform=$BUILDPLATFORM tools AS compile
ARG TARGETARCH
RUN ["/bin/busybox", "sh", "-c", "echo $TARGETARCH >/out"]
FROM scratch
COPY --from=tools /once /once
COPY --from=compile /out /out
`,
    });
    const events: string[] = [];
    const dest = join(project.store, '../out');
    const result = await build({
      context: project.dir,
      root: project.store,
      platform: `${BOTH},linux/riscv64`,
      tags: ['cross'],
      outputs: [{ type: 'store' }, { type: 'local', dest }],
      onEvent: (event) => {
        if (event.kind === 'vertex') events.push(event.name);
      },
    });
    const runs = events.filter((name) => name.includes('RUN'));
    expect(runs.filter((name) => name.includes('/once'))).toHaveLength(1);
    expect(runs.filter((name) => name.includes('/out'))).toEqual([
      expect.stringContaining('[linux/amd64 compile'),
      expect.stringContaining('[linux/amd64->arm64 compile'),
      expect.stringContaining('[linux/amd64->riscv64 compile'),
    ]);
    expect(readdirSync(dest).sort()).toEqual(['linux_amd64', 'linux_arm64', 'linux_riscv64']);
    const read = (path: string): string => readFileSync(join(dest, path), 'utf8');
    expect(read('linux_riscv64/out')).toBe('riscv64\n');
    expect(new Set(['amd64', 'arm64', 'riscv64'].map((arch) => read(`linux_${arch}/once`))).size).toBe(1);
    expect(result.configDigest).toBeUndefined();
    expect(result.descriptor?.mediaType).toBe('application/vnd.oci.image.index.v1+json');
    expect(result.platforms?.map(({ platform }) => platform.architecture)).toEqual([
      'amd64',
      'arm64',
      'riscv64',
    ]);
  });

  it('build writes files, annotations and result files of an index', async () => {
    const project = createProject({
      Dockerfile: 'FROM scratch\nARG TARGETARCH\nCOPY $TARGETARCH same* /\n',
      amd64: 'x',
      arm64: 'y',
    });
    const out = (name: string): string => join(project.store, '..', name);
    const both = ['--platform', 'linux/amd64', '--platform', 'linux/arm64'];
    const notes = [
      '--annotation',
      'index,manifest-descriptor[linux/arm64]:k=v',
      '--annotation',
      'manifest:all=1',
    ];
    const files = ['--iidfile', out('iid'), '--metadata-file', out('meta.json')];
    const archive = ['-o', `type=oci,dest=${out('o.tar')}`];
    await run(project, ...both, ...notes, ...files, ...archive, '-t', 'x:1');
    const layout = out('layout');
    mkdirSync(layout);
    execFileSync('tar', ['-xf', out('o.tar'), '-C', layout]);
    expect(await validateImage(layout, '1', { signal: AbortSignal.timeout(100_000) })).toEqual([]);
    const meta = JSON.parse(readFileSync(out('meta.json'), 'utf8'));
    const digest: string = meta['containerimage.digest'];
    expect(readFileSync(out('iid'), 'utf8')).toBe(digest);
    expect(meta['containerimage.config.digest']).toBeUndefined();
    const blob = (name: string) =>
      JSON.parse(readFileSync(join(layout, 'blobs/sha256', name.slice(7)), 'utf8'));
    const index = blob(digest);
    expect(index.annotations).toEqual({ k: 'v' });
    expect(index.manifests.map((each: { annotations?: object }) => each.annotations)).toEqual([
      undefined,
      { k: 'v' },
    ]);
    expect(blob(index.manifests[0].digest).annotations).toEqual({ all: '1' });

    await run(project, ...both, '-o', `type=tar,dest=${out('f.tar')}`);
    expect(execFileSync('tar', ['-tf', out('f.tar')], { encoding: 'utf8' }).split('\n')).toEqual([
      'linux_amd64/',
      'linux_amd64/amd64',
      'linux_arm64/',
      'linux_arm64/arm64',
      '',
    ]);
    await run(project, ...both, '-o', `type=local,platform-split=false,dest=${out('joined')}`);
    expect(readdirSync(out('joined')).sort()).toEqual(['amd64', 'arm64']);
    project.write({ same: 'both have it' });
    const clash = await project.run([
      ...both,
      '-o',
      `type=local,platform-split=false,dest=${out('no')}`,
      '.',
    ]);
    expect([clash.code, clash.stderr]).toEqual([1, expect.stringContaining('error[EXPORT_TARGET_INVALID]')]);
    expect(existsSync(out('no'))).toBe(false);
  });

  it('build answers at once when nothing changed, and builds anew when an image of the index is gone', async () => {
    const project = createProject({
      Dockerfile: 'FROM scratch\nARG TARGETARCH\nENV A=$TARGETARCH\nCOPY busybox /\n',
    });
    const args = ['--platform', BOTH, '--progress', 'plain', '-t', 'x', '.'];
    expect((await project.run(args)).code).toBe(0);
    const record = join(project.store, 'last-builds');
    expect(readdirSync(record)).toHaveLength(1);
    const again = await project.run(args);
    expect(again.stderr).toContain('CACHED');
    const raw = await project.run(['inspect', '--raw', 'x']);
    const [, arm64] = JSON.parse(raw.stdout.toString()).manifests as { digest: string }[];
    const blob = join(project.store, 'blobs/sha256', arm64?.digest.slice(7) ?? '');
    rmSync(blob);
    expect((await project.run(args)).code).toBe(0);
    expect(existsSync(blob)).toBe(true);
  });

  it('FROM takes the image of its platform from an index in the store', async () => {
    const project = createProject({
      Dockerfile: 'FROM scratch\nARG TARGETARCH\nCOPY $TARGETARCH /made-for\n',
      'next.Dockerfile': 'FROM multi\n',
      amd64: 'amd64',
      arm64: 'arm64',
    });
    await run(project, '--platform', BOTH, '-t', 'multi');
    const files = join(project.store, '../files');
    const flags = ['-f', 'next.Dockerfile', '--pull=never', '-o', files];
    await run(project, ...flags, '--platform', BOTH);
    expect(readFileSync(join(files, 'linux_arm64/made-for'), 'utf8')).toBe('arm64');
    expect(readFileSync(join(files, 'linux_amd64/made-for'), 'utf8')).toBe('amd64');
    const missing = await project.run([...flags, '--platform', 'linux/s390x', '.']);
    expect(missing.stderr).toContain('it has linux/amd64, linux/arm64');
    const bundle = join(project.store, '../bundle');
    const unpacked = await project.run(['unpack', '--platform', 'linux/arm64', 'multi', bundle]);
    expect(unpacked.code, unpacked.stderr).toBe(0);
    expect(readFileSync(join(bundle, 'rootfs/made-for'), 'utf8')).toBe('arm64');
    const images = await project.run(['images']);
    expect(images.stdout.toString()).toContain('linux/amd64, linux/arm64');
  });
});

describe('several targets', () => {
  it('build makes an image of each over one graph', async () => {
    const project = createProject({
      Dockerfile: `FROM scratch AS common
COPY busybox /bin/busybox
RUN ["/bin/busybox", "sh", "-c", "busybox date +%s%N >/once"]
FROM common AS app
ENV NAME=app
FROM common AS tool
RUN ["/bin/busybox", "sh", "-c", "echo tool >/tool"]
FROM common AS unused
RUN ["/bin/busybox", "false"]
`,
    });
    const out = (name: string): string => join(project.store, '..', name);
    onTestFinished(() => rmSync(out('meta.json'), { force: true }));
    const args = [
      '--target',
      'app,tool',
      '-t',
      'app=img:1',
      '-t',
      'tool=img:2',
      '--metadata-file',
      out('meta.json'),
    ];
    const { code, stderr } = await project.run([...args, '--progress', 'plain', '.']);
    expect(code, stderr).toBe(0);
    expect(stderr.match(/RUN .*\/once/g)).toHaveLength(1);
    const meta = JSON.parse(readFileSync(out('meta.json'), 'utf8'));
    expect(Object.keys(meta)).toEqual(['app', 'tool']);
    for (const [name, tag] of [
      ['app', 'img:1'],
      ['tool', 'img:2'],
    ] as const) {
      const { manifestDigest } = await flattenLayout(project.store, { tag });
      expect(meta[name]).toMatchObject({
        'containerimage.digest': manifestDigest,
        'image.name': `docker.io/library/${tag}`,
      });
    }
    await run(project, '--target', 'app,tool', '-o', `type=oci,dest=${out('o.tar')}`, '-o', out('files'));
    expect([existsSync(out('o-app.tar')), existsSync(out('o-tool.tar')), existsSync(out('o.tar'))]).toEqual([
      true,
      true,
      false,
    ]);
    expect(readdirSync(out('files')).sort()).toEqual(['app', 'tool']);
    expect(readFileSync(out('files/tool/tool'), 'utf8')).toBe('tool\n');
    expect(readFileSync(out('files/app/once'))).toEqual(readFileSync(out('files/tool/once')));

    const both = await build({
      context: project.dir,
      root: project.store,
      targets: ['app', 'common'],
      platform: BOTH,
      targetTags: { common: ['c'] },
    });
    expect(Object.keys(both.targets ?? {})).toEqual(['app', 'common']);
    expect(both.targets?.common?.platforms).toHaveLength(2);
    expect(both.names).toEqual(['docker.io/library/c:latest']);
  });

  it('build fails as one when a target fails, and names nothing', async () => {
    const project = createProject({
      Dockerfile: 'FROM scratch AS good\nCOPY busybox /\nFROM good AS bad\nRUN ["/busybox", "false"]\n',
    });
    const failed = await project.run(['--target', 'good,bad', '-t', 'good=g', '-t', 'bad=b', '.']);
    expect(failed.code).toBe(1);
    expect((await project.run(['images', '-q'])).stdout.toString()).toBe('');
    const usage = await project.run(['--target', 'good,bad', '-t', 'x', '.']);
    expect([usage.code, usage.stderr]).toEqual([2, expect.stringContaining('-t good=x')]);
  });
});
