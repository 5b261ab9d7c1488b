import { type ChildProcess, spawn } from 'node:child_process';
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
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { buffer, text } from 'node:stream/consumers';
import { pack } from 'tar-stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createNormalUser, type NormalUser, whyNoNormalUser } from '../support/normal-user.ts';

const why = whyNoNormalUser();
const BUSYBOX = process.env.BUSYBOX ?? '/bin/busybox';
const SHELL = `FROM scratch
COPY busybox /bin/busybox
SHELL ["/bin/busybox", "sh", "-c"]
RUN ["/bin/busybox", "--install", "-s", "/bin"]
`;

interface Run {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

describe.skipIf(why !== undefined)(`ocibuild as a normal user${why === undefined ? '' : ` (${why})`}`, () => {
  let user: NormalUser;
  let context: string;
  const store = (): string => join(user.home, 'data/ocibuild');

  beforeAll(() => {
    user = createNormalUser('ocibuild-cli');
    context = join(user.home, 'context');
    mkdirSync(context);
    copyFileSync(BUSYBOX, join(context, 'busybox'));
    chmodSync(join(context, 'busybox'), 0o755);
    chownSync(context, user.uid, user.gid);
  });

  afterAll(() => user[Symbol.dispose]());

  const write = (files: Readonly<Record<string, string>>): void => {
    for (const [name, content] of Object.entries(files)) {
      const path = join(context, name);
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, content);
    }
  };

  function start(argv: readonly string[]): ChildProcess {
    const [file, args] = user.command(argv);
    return spawn(file, args, {
      cwd: context,
      env: { PATH: process.env.PATH, HOME: user.home, XDG_DATA_HOME: join(user.home, 'data') },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  }

  const run = (argv: readonly string[]): Promise<Run> => endOf(start(argv));

  const cli = (...args: readonly string[]): readonly string[] => [
    join(user.checkout, 'bin/ocibuild'),
    ...args,
  ];

  /** What a build must not leave, besides the layer that a later command in a namespace deletes. */
  const leftovers = (): string[] => [
    ...['run', 'tmp', 'trash', 'runtime']
      .map((folder) => join(store(), folder))
      // The last process that works in `runtime` takes it away.
      .filter(existsSync)
      .flatMap((dir) => readdirSync(dir).map((name) => join(dir, name))),
    ...processesOf(user.uid),
  ];

  it('build runs steps, keeps owners and set-id bits, and answers from the cache when asked again', async () => {
    write({
      Dockerfile: `${SHELL}COPY --chown=33:34 busybox /mine
RUN ls -ln /mine && touch /x && chown 65535:65534 /x && chmod 6755 /mine && id -u
`,
    });
    const first = await run(cli('-t', 'app', '.'));
    expect(first.stderr).toMatch(/ 33 +34 .*\/mine\n/);
    expect(first.code).toBe(0);
    const again = await run(cli('-t', 'app', '.'));
    expect(again.stderr.match(/CACHED/g)).toHaveLength(4);
    expect((await run(cli('images'))).stdout).toContain('app:latest');
    const flat = await run(cli('-qo', 'type=tar,dest=app.tar', '.'));
    expect(flat).toMatchObject({ code: 0, stderr: '' });
    const listed = await run(['tar', '--numeric-owner', '-tvf', 'app.tar', 'mine', 'x']);
    expect(listed.stdout).toMatch(/-rwsr-sr-x 33\/34 .* mine\n-rw-r--r-- 65535\/65534 .* x\n/);
    await expect.poll(leftovers, { timeout: 20_000 }).toEqual([]);
  });

  it('build gives the layers that root gets when no step runs', async () => {
    write({
      'root.Dockerfile': `FROM scratch AS a
COPY --chown=4000000000:70000 --chmod=600 busybox /d/high
COPY --chown=7 root.Dockerfile /d/
FROM scratch
COPY --from=a /d /e
WORKDIR /w
`,
    });
    const args = ['-q', '-f', 'root.Dockerfile', '-o', 'type=oci,tar=false,dest=layout', '.'];
    const epoch = 'SOURCE_DATE_EPOCH=1700000000';
    // Not even a namespace is needed.
    const mine = await run(without('unshare', 'env', epoch, ...cli(...args)));
    expect(mine).toMatchObject({ code: 0, stderr: '' });
    const root = mkdtempSync(join(tmpdir(), 'ocibuild-root-'));
    try {
      const bin = join(import.meta.dirname, '../../bin/ocibuild');
      const child = spawn('env', [epoch, bin, '--root', root, ...args], { cwd: context });
      expect(await endOf(child)).toEqual(mine);
    } finally {
      rmSync(root, { recursive: true, force: true });
      rmSync(join(context, 'layout'), { recursive: true, force: true });
    }
  });

  it('build writes files of the caller when the output is a directory', async () => {
    write({ Dockerfile: `${SHELL}RUN mkdir -m 700 /d && touch /d/f && chown -R 5:6 /d\n` });
    expect(await run(cli('-o', 'out', '.'))).toMatchObject({ code: 0 });
    expect(statSync(join(context, 'out/d/f'))).toMatchObject({ uid: user.uid, gid: user.gid });
    expect(await run(['rm', '-r', 'out'])).toMatchObject({ code: 0, stderr: '' });
  });

  it('unpack makes a bundle that plain runc starts when the image has a user with groups', async () => {
    write({
      'etc/passwd': 'ann:x:1000:50::/:/bin/sh\n',
      'etc/group': 'users:x:50:\nstaff:x:60:ann\n',
      Dockerfile: `${SHELL}COPY etc /etc\nRUN touch /hers && chown ann /hers\nUSER ann\nCMD ["ls", "-ln", "/hers"]\n`,
    });
    expect(await run(cli('-qt', 'ann', '.'))).toMatchObject({ code: 0, stderr: '' });
    const bundle = join(user.home, 'bundle');
    expect(await run(cli('unpack', 'ann', bundle))).toMatchObject({ code: 0, stderr: '' });
    const id = `ocibuild-rootless-${process.pid}`;
    const state = join(user.home, 'state');
    const ran = await run(['runc', '--root', state, 'run', '--bundle', bundle, id]);
    expect(ran.stderr).toBe('');
    expect(ran.stdout).toMatch(/ 1000 +0 .*\/hers\n/);
  });

  it('build leaves nothing when it is interrupted in a step', async () => {
    write({ Dockerfile: SLEEPER });
    const child = start(cli('.'));
    const ended = endOf(child);
    await expect.poll(() => processesOf(user.uid).join('\n'), { timeout: 20_000 }).toContain('sleep 1000');
    child.kill('SIGINT');
    expect(await ended).toMatchObject({ code: 130 });
    await expect.poll(leftovers, { timeout: 20_000 }).toEqual([]);
  });

  it('build leaves nothing after the next one when it was killed', async () => {
    write({ Dockerfile: SLEEPER, 'next.Dockerfile': `${SHELL}RUN echo next\n` });
    const child = start(cli('.'));
    const ended = endOf(child);
    await expect.poll(() => processesOf(user.uid).join('\n'), { timeout: 20_000 }).toContain('sleep 1000');
    child.kill('SIGKILL');
    await ended;
    await expect.poll(() => processesOf(user.uid), { timeout: 20_000 }).toEqual([]);
    // A command outside of any namespace may find the files of other ids, which it cannot delete.
    expect(await run(cli('images'))).toMatchObject({ code: 0, stderr: '' });
    expect(await run(cli('-qf', 'next.Dockerfile', '.'))).toMatchObject({ code: 0, stderr: '' });
    await expect.poll(leftovers, { timeout: 20_000 }).toEqual([]);
  });

  it('build runs the trigger of its base image when the Dockerfile itself runs nothing', async () => {
    write({ 'base.Dockerfile': `${SHELL}ONBUILD RUN echo triggered\n`, Dockerfile: 'FROM triggers\n' });
    await run(cli('-qt', 'triggers', '-f', 'base.Dockerfile', '.'));
    const { code, stderr } = await run(cli('.'));
    expect(stderr).toMatch(/#\d+ \d+\.\d{3} triggered\n/);
    expect(code).toBe(0);
  });

  it('build keeps the devices of its base image and warns when a step cannot see them', async () => {
    const archive = pack();
    archive.entry({ name: 'nodes/null', type: 'character-device', devmajor: 1, devminor: 3, uid: 3, gid: 4 });
    archive.finalize();
    write({ 'base.Dockerfile': `${SHELL}ADD nodes.tar /\n`, Dockerfile: 'FROM nodes\nRUN touch /after\n' });
    writeFileSync(join(context, 'nodes.tar'), await buffer(archive));
    expect(await run(cli('-qt', 'nodes', '-f', 'base.Dockerfile', '.'))).toMatchObject({
      code: 0,
      stderr: '',
    });
    const { code, stderr } = await run(cli('-t', 'after', '.'));
    expect(stderr).toContain('Cannot make the device "/nodes/null" without root: RUN steps do not see it');
    expect(code).toBe(0);
    await run(cli('-qo', 'type=tar,dest=nodes-out.tar', '.'));
    const listed = await run(['tar', '--numeric-owner', '-tvf', 'nodes-out.tar', 'nodes/null', 'after']);
    expect(listed.stdout).toMatch(/crw-r--r-- 3\/4 +1,3 .* nodes\/null\n/);
    expect(listed.stderr).toBe('');
    const bundle = join(user.home, 'nodes-bundle');
    const unpacked = await run(cli('unpack', 'after', bundle));
    expect(unpacked.stderr).toBe('warning: Cannot make devices without root: "/nodes/null" left out\n');
    expect(existsSync(join(bundle, 'rootfs/after'))).toBe(true);
  });

  it.each<[string, string, RegExp]>([
    [
      'the namespace is refused',
      'unshare',
      /: this machine refuses a user namespace: no more of them\nhint: /,
    ],
    [
      'the maps are refused',
      'newgidmap',
      /error\[ROOTLESS_UNAVAILABLE\]: Cannot map the ids of \/etc\/subuid/,
    ],
  ])('build ends with 3 and a sentence when %s', async (_, tool, sentence) => {
    write({ Dockerfile: `${SHELL}RUN echo ${tool}\n` });
    const { code, stderr } = await run(without(tool, ...cli('.')));
    expect(stderr).toMatch(sentence);
    expect(code).toBe(3);
    await expect.poll(() => processesOf(user.uid), { timeout: 20_000 }).toEqual([]);
  });

  it('prune deletes what belongs to the ids of the namespace', async () => {
    write({ Dockerfile: `${SHELL}RUN mkdir /d && touch /d/x && chown -R 65535:65534 /d && chmod 700 /d\n` });
    await run(cli('-q', '-t', 'app', '.'));
    const snapshots = (): string[] => readdirSync(join(store(), 'snapshots'));
    expect(snapshots()).not.toEqual([]);
    expect((await run(cli('du'))).stdout).toMatch(/chown -R/);
    expect(await run(cli('prune', '--all', '--force'))).toMatchObject({ code: 0, stderr: '' });
    expect(snapshots()).toEqual([]);
    expect(readdirSync(join(store(), 'trash'))).toEqual([]);
    // The image is whole, so its steps need not run again.
    expect((await run(cli('-t', 'app', '.'))).stderr).toMatch(/CACHED/);
  });

  it('the library does the work of a program in a namespace, and leaves nothing of it', async () => {
    const runner = join(user.checkout, 'test/e2e/rootless-library-runner.ts');
    const { stdout, stderr, code } = await run([user.node, runner, join(user.checkout, 'dist/index.js')]);
    expect(stderr).toBe('');
    expect(JSON.parse(stdout)).toEqual({
      built: { log: 's3cret0\n', digest: expect.stringMatching(/^sha256:/), isWhole: true },
      cancelled: ['CANCELLED', true, []],
      failedStep: {
        ...{ name: '[3/3] RUN echo report > out.txt && false', cwd: '/w', isOwn: true },
        ...{ code: 7, copied: [true, false] },
      },
      failed: { output: 'in /w b\n', code: 'RUN_EXIT_NONZERO', exitCode: 1, line: 3 },
      ended: [true, true, true, 'PROCESS_LOST'],
      watched: [
        [1, true, false],
        [2, false, 'RUN_EXIT_NONZERO'],
      ],
      disk: true,
    });
    expect(code).toBe(0);
    expect(readFileSync(join(context, 'copied.txt'), 'utf8')).toBe('report\n');
    expect(statSync(join(context, 'copied.txt')).uid).toBe(user.uid);
    await expect.poll(leftovers, { timeout: 20_000 }).toEqual([]);
  });

  it('the library leaves nothing when its program is killed in a step', async () => {
    write({ Dockerfile: SLEEPER });
    const script = `
      import { build } from '${join(user.checkout, 'dist/index.js')}';
      await build({ context: '.' });
    `;
    const child = start([user.node, '--input-type=module', '-e', script]);
    const ended = endOf(child);
    await expect.poll(() => processesOf(user.uid).join('\n'), { timeout: 20_000 }).toContain('sleep 1000');
    child.kill('SIGKILL');
    await ended;
    await expect.poll(leftovers, { timeout: 20_000 }).toEqual([]);
  });

  it('build() needs a namespace only where a step runs', async () => {
    write({ Dockerfile: `${SHELL}RUN echo never\n`, 'copy.Dockerfile': 'FROM scratch\nCOPY busybox /\n' });
    const script = `
      import { build, diskUsage } from '${join(user.checkout, 'dist/index.js')}';
      const outputs = [{ type: 'store' }, { type: 'oci', dest: 'lib.tar' }];
      const { digest } = await build({ context: '.', dockerfile: 'copy.Dockerfile', outputs });
      const error = await build({ context: '.', outputs }).result.catch((error) => error);
      const { totalBytes } = await diskUsage();
      console.log(JSON.stringify({ digest, code: error.code, message: error.message, totalBytes }));
    `;
    const { stdout, stderr } = await run(without('unshare', user.node, '--input-type=module', '-e', script));
    expect(stderr).not.toContain('Error');
    expect(JSON.parse(stdout)).toEqual({
      digest: expect.stringMatching(/^sha256:[0-9a-f]{64}$/),
      code: 'ROOTLESS_UNAVAILABLE',
      message: 'Cannot run steps without root: this machine refuses a user namespace: no more of them',
      totalBytes: expect.any(Number),
    });
    expect(statSync(join(context, 'lib.tar')).uid).toBe(user.uid);
  });

  /** A command on whose PATH `tool` fails, as where the machine does not allow what it does. */
  function without(tool: string, ...argv: readonly string[]): string[] {
    const dir = join(user.home, `no-${tool}`);
    mkdirSync(dir, { recursive: true });
    writeFileSync(join(dir, tool), '#!/bin/sh\necho no more of them >&2\nexit 1\n', { mode: 0o755 });
    return ['env', `PATH=${dir}:${process.env.PATH}`, ...argv];
  }
});

const SLEEPER = `${SHELL}RUN mkdir -m 700 /d && touch /d/f && chown -R 5:6 /d && sleep 1000\n`;

async function endOf(child: ChildProcess): Promise<Run> {
  const { stdout, stderr } = child;
  if (stdout === null || stderr === null) throw new Error('the child needs pipes');
  const ended = new Promise<number | null>((done) => child.on('close', done));
  const [out, err] = await Promise.all([text(stdout), text(stderr)]);
  return { code: await ended, stdout: out, stderr: err };
}

/** Command lines of a user's processes and of those of their ids; what has ended is not counted. */
function processesOf(uid: number): string[] {
  return readdirSync('/proc').flatMap((pid) => {
    if (!/^\d+$/.test(pid)) return [];
    try {
      const owner = /^Uid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
      const line = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
      return Number(owner) === uid && line !== '' ? [line] : [];
    } catch {
      return [];
    }
  });
}
