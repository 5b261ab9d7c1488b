import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
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
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { defaultStateDir } from '../../src/executor/runc.ts';
import { checkedLayout } from '../support/images.ts';
import { type CliResult, createProject, type Project, SHELL } from './cli-support.ts';

const SECRET = 'correct-horse-battery-staple-5309';

async function filesOf(project: Project, name: string): Promise<(path: string) => string | undefined> {
  const { files } = await checkedLayout(project.store, `${name}:latest`);
  return (path) => files.get(path)?.text;
}

function succeeded(result: CliResult): void {
  expect(result.code, result.stderr).toBe(0);
}

/** Paths below a directory whose content has `text`. */
function filesWith(dir: string, text: string): string[] {
  return readdirSync(dir, { recursive: true, withFileTypes: true }).flatMap((entry) => {
    const path = join(entry.parentPath, entry.name);
    return entry.isFile() && readFileSync(path).includes(text) ? [path] : [];
  });
}

describe('bind mounts of a context', () => {
  it('show what a large context holds after files were changed, added and removed', async () => {
    const files = Object.fromEntries(
      Array.from({ length: 1200 }, (_, i) => [`src/d${i % 10}/f${i}`, `${i}\n`]),
    );
    const project = createProject({
      Dockerfile: `${SHELL}RUN --mount=source=src,target=/s cd /s; /bin/busybox find . | /bin/busybox sort | /bin/busybox sha256sum >/seen; /bin/busybox cat d0/* | /bin/busybox sha256sum >/text; /bin/busybox stat -c '%d' /s d0 d0/f10 d1/f11 | /bin/busybox sort -u | /bin/busybox wc -l >/devices\n`,
      ...files,
    });
    const shown = async (): Promise<unknown> => {
      succeeded(await project.run(['-t', 'app', '.']));
      const text = await filesOf(project, 'app');
      return [text('/seen'), text('/text'), text('/devices')];
    };
    const sum = (text: string): string => `${createHash('sha256').update(text).digest('hex')}  -\n`;
    const wanted = (): unknown => {
      const dir = join(project.dir, 'src');
      const below = readdirSync(dir, { recursive: true, encoding: 'utf8' }).map((path) => `./${path}`);
      const names = readdirSync(join(dir, 'd0')).sort();
      return [
        sum(`${['.', ...below].sort().join('\n')}\n`),
        sum(names.map((name) => readFileSync(join(dir, 'd0', name), 'utf8')).join('')),
        '1\n',
      ];
    };
    const snapshots = (): number => readdirSync(join(project.store, 'snapshots')).length;
    expect(await shown()).toEqual(wanted());
    const before = snapshots();
    project.write({ 'src/d0/f10': 'changed\n', 'src/new/f': 'new\n' });
    rmSync(join(project.dir, 'src/d9'), { recursive: true });
    rmSync(join(project.dir, 'src/d0/f20'));
    expect(await shown()).toEqual(wanted());
    // The layer of changes, and that of the step.
    expect(snapshots() - before).toBe(2);
    writeFileSync(join(project.dir, 'src/d9'), 'a file now\n');
    expect(await shown()).toEqual(wanted());
  });
});

describe('cache mounts', () => {
  const counting = (sharing: string): string => `${SHELL}ARG ROUND
RUN --mount=type=cache,id=c,target=/c,sharing=${sharing} echo $ROUND >>/c/rounds; /bin/busybox cp /c/rounds /seen
`;

  it('keep what a build left for the next, start anew with --no-cache, and count for no key', async () => {
    const project = createProject({ Dockerfile: counting('shared') });
    const build = (round: string, ...more: string[]) =>
      project.run(['-t', 'app', '--build-arg', `ROUND=${round}`, ...more, '.']);
    succeeded(await build('1'));
    succeeded(await build('2'));
    expect((await filesOf(project, 'app'))('/seen')).toBe('1\n2\n');
    // Nothing of the cache is in the key: the step of round 1 is still there.
    succeeded(await build('1'));
    expect((await filesOf(project, 'app'))('/seen')).toBe('1\n');
    succeeded(await build('3', '--no-cache'));
    expect((await filesOf(project, 'app'))('/seen')).toBe('3\n');
    succeeded(await build('4'));
    expect((await filesOf(project, 'app'))('/seen')).toBe('3\n4\n');
    expect(project.leftovers().filter((name) => !name.startsWith('trash'))).toEqual([]);
  });

  it('are empty for the first step only of a build with --no-cache', async () => {
    const project = createProject({
      Dockerfile: `${SHELL}RUN --mount=type=cache,target=/c echo 1 >>/c/f
RUN --mount=type=cache,target=/c echo 2 >>/c/f; /bin/busybox cp /c/f /seen
`,
    });
    succeeded(await project.run(['-t', 'app', '.']));
    succeeded(await project.run(['-t', 'app', '--no-cache', '.']));
    expect((await filesOf(project, 'app'))('/seen')).toBe('1\n2\n');
  });

  // Each of two processes says when it begins and ends; the other one's words tell whether they met, and where.
  const meeting = (sharing: string): string => `${SHELL}ARG WHO
RUN --mount=type=cache,id=m,target=/c,sharing=${sharing} <<EOF
echo $WHO begins >>/c/log
/bin/busybox sleep 1.5
echo $WHO ends >>/c/log
/bin/busybox cp /c/log /seen
EOF
`;

  it.each<[string, (a: string, b: string) => void]>([
    [
      'shared',
      (a, b) => {
        const longer = a.length > b.length ? a : b;
        expect(longer).toMatch(/^(a|b) begins\n(a|b) begins\n/);
      },
    ],
    [
      'locked',
      (a, b) => {
        const [shorter = '', longer = ''] = [a, b].sort((x, y) => x.length - y.length);
        expect(shorter).toMatch(/^(a|b) begins\n\1 ends\n$/);
        expect(longer.startsWith(shorter)).toBe(true);
        expect(longer.split('\n')).toHaveLength(5);
      },
    ],
    [
      'private',
      (a, b) => {
        expect(a).toBe('a begins\na ends\n');
        expect(b).toBe('b begins\nb ends\n');
      },
    ],
  ])('are %s between two processes', async (sharing, check) => {
    const project = createProject({ Dockerfile: meeting(sharing) });
    // The store and the layers below are made first, so that both come to the RUN at once.
    succeeded(
      await project.run(['-t', 'shell', '--target', 'shell', '-f', '-', '.'], {
        input: SHELL.replace('scratch', 'scratch AS shell'),
      }),
    );
    const build = (who: string) => project.run(['-t', who, '--build-arg', `WHO=${who}`, '.']);
    for (const result of await Promise.all([build('a'), build('b')])) succeeded(result);
    check((await filesOf(project, 'a'))('/seen') ?? '', (await filesOf(project, 'b'))('/seen') ?? '');
  });

  it('are free again when the process that held one was killed', async () => {
    const dockerfile = (command: string) =>
      `${SHELL}RUN --mount=type=cache,id=k,target=/c,sharing=locked ${command}\n`;
    const project = createProject({ Dockerfile: dockerfile('echo half >/c/f; /bin/busybox sleep 60') });
    const { child, ended } = project.start(['--progress', 'plain', '-t', 'app', '.']);
    await expect.poll(() => mountedFile(project, 'f'), { timeout: 10_000 }).toBe('half\n');
    child.kill('SIGKILL');
    await ended;
    project.write({ Dockerfile: dockerfile('/bin/busybox cp /c/f /seen') });
    succeeded(await project.run(['-t', 'app', '.']));
    expect((await filesOf(project, 'app'))('/seen')).toBe('half\n');
  });
});

function mountedFile({ store }: Project, name: string): string | undefined {
  const dir = join(store, 'mounts');
  const found = existsSync(dir) ? readdirSync(dir).map((each) => join(dir, each, name)) : [];
  return found.filter((path) => existsSync(path)).map((path) => readFileSync(path, 'utf8'))[0];
}

describe('secret mounts', () => {
  const dockerfile = (
    more: string,
  ) => `${SHELL}RUN --mount=type=secret,id=key --mount=type=secret,id=key,env=KEY <<EOF
/bin/busybox cat /run/secrets/key | /bin/busybox sha256sum >/sum
echo -n "$KEY" | /bin/busybox sha256sum >>/sum
${more}
EOF
`;

  it('are on no disk while a step runs, after it, and after it was killed', async () => {
    const project = createProject({ Dockerfile: dockerfile('echo going\n/bin/busybox sleep 60') });
    const files = mkdtempSync(join(tmpdir(), 'ocibuild-cli-'));
    onTestFinished(() => rmSync(files, { recursive: true }));
    writeFileSync(join(files, 'key'), SECRET);
    const args = ['--progress', 'plain', '--secret', `id=key,src=${join(files, 'key')}`, '-t', 'app', '.'];
    const { child, ended } = project.start(args);
    let seen = '';
    child.stderr?.on('data', (data: Buffer) => {
      seen += data;
    });
    await expect.poll(() => seen, { timeout: 10_000 }).toMatch(/\d going/);
    const places = [project.store, defaultStateDir(join(project.store, 'run'), false)];
    expect(places.flatMap((dir) => filesWith(dir, SECRET))).toEqual([]);
    child.kill('SIGKILL');
    await ended;
    expect(places.flatMap((dir) => filesWith(dir, SECRET))).toEqual([]);
    await expect.poll(() => readdirSync(join(project.store, 'run')), { timeout: 10_000 }).toEqual([]);

    project.write({ Dockerfile: dockerfile('') });
    succeeded(await project.run(args));
    expect((await filesOf(project, 'app'))('/sum')?.split('  -\n')[1]).toBe(
      (await filesOf(project, 'app'))('/sum')?.split('  -\n')[0],
    );
    expect(filesWith(project.store, SECRET)).toEqual([]);
    // Another value gives the same key.
    writeFileSync(join(files, 'key'), 'another');
    expect((await project.run(args)).stderr).toMatch(/RUN .*\n#\d+ CACHED/);
  });

  it('are hidden in errors, and asked for with a hint when they are missing', async () => {
    const project = createProject({
      Dockerfile: `${SHELL}RUN --mount=type=secret,id=key,env=KEY,required echo "it is $KEY"; exit 3\n`,
    });
    const failed = await project.run(['-t', 'app', '--secret', 'id=key,env=THE_KEY', '.'], {
      env: { THE_KEY: SECRET },
    });
    expect(failed.code).toBe(1);
    expect(failed.stderr.slice(failed.stderr.indexOf('error['))).toMatch(/it is \*\*\*/);
    const missing = await project.run(['-t', 'app', '.']);
    expect(missing.stderr).toMatch(/error\[SECRET_NOT_FOUND\]: Cannot find the secret "key"/);
    expect(missing.stderr).toMatch(/hint: give it with --secret id=key,src=FILE/);
  });
});

/** The tools of OpenSSH with the libraries that they need, as a file system. */
function sshTools(project: Project): void {
  const tools = ['ssh-add', 'ssh-keygen'].map((name) =>
    execFileSync('which', [name], { encoding: 'utf8' }).trim(),
  );
  const libraries = tools.flatMap(
    (tool) => execFileSync('ldd', [tool], { encoding: 'utf8' }).match(/\/\S+(?= \()/g) ?? [],
  );
  for (const path of new Set([...tools, ...libraries])) {
    const target = join(project.dir, 'tools', path);
    mkdirSync(join(target, '..'), { recursive: true });
    execFileSync('cp', ['-L', path, target]);
  }
}

describe('ssh mounts', () => {
  it.each(['ed25519', 'rsa', 'ecdsa'])('serve a %s key file, and sign with it', async (kind) => {
    const project = createProject({
      Dockerfile: `${SHELL}COPY tools /
COPY <<EOF /etc/passwd
root:x:0:0:root:/root:/bin/sh
EOF
COPY key.pub /key.pub
RUN --mount=type=ssh <<EOF
ssh-add -L >/listed && echo text >/text && ssh-keygen -Y sign -f /key.pub -n file /text
EOF
`,
    });
    sshTools(project);
    const key = join(project.dir, 'key');
    execFileSync('ssh-keygen', ['-q', '-t', kind, '-N', '', '-C', 'a comment', '-f', key]);
    project.write({ '.dockerignore': 'key\n' });
    const out = join(project.dir, 'out');
    succeeded(await project.run(['-o', out, '--ssh', `default=${key}`, '.']));
    expect(readFileSync(join(out, 'listed'), 'utf8')).toBe(readFileSync(`${key}.pub`, 'utf8'));
    const check = ['-Y', 'check-novalidate', '-n', 'file', '-s', join(out, 'text.sig')];
    const checked = execFileSync('ssh-keygen', check, { input: 'text\n', encoding: 'utf8' });
    expect(checked).toMatch(/Good "file" signature/);
    expect(project.leftovers().filter((name) => !name.startsWith('trash'))).toEqual([]);
  });

  it('forward the agent of the user', async () => {
    const project = createProject({
      Dockerfile: `${SHELL}COPY tools /\nRUN --mount=type=ssh,id=mine ssh-add -l >/listed\n`,
    });
    sshTools(project);
    const dir = mkdtempSync(join(tmpdir(), 'ocibuild-cli-'));
    const agent = spawn('ssh-agent', ['-D', '-a', join(dir, 'socket')], { stdio: 'ignore' });
    onTestFinished(() => {
      agent.kill();
      rmSync(dir, { recursive: true });
    });
    const env = { SSH_AUTH_SOCK: join(dir, 'socket') };
    await expect.poll(() => existsSync(env.SSH_AUTH_SOCK)).toBe(true);
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(dir, 'key')]);
    execFileSync('ssh-add', ['-q', join(dir, 'key')], { env: { ...process.env, ...env } });
    succeeded(await project.run(['-t', 'app', '--ssh', 'mine', '.'], { env }));
    expect((await filesOf(project, 'app'))('/listed')).toMatch(/^256 SHA256:\S+ .*\(ED25519\)\n$/);
  });
});

describe('entitlements', () => {
  it('security.insecure gives all capabilities, a writable /sys and no filter', async () => {
    const project = createProject({
      Dockerfile: `${SHELL}RUN --security=insecure /bin/busybox grep -E 'CapEff|CapAmb|Seccomp:' /proc/self/status >/status; /bin/busybox grep ' /sys ' /proc/mounts >/sys-mount\n`,
    });
    const refused = await project.run(['-t', 'app', '.']);
    expect(refused.code).toBe(2);
    expect(refused.stderr).toMatch(
      /error\[ENTITLEMENT_MISSING\][\s\S]*hint: build with --allow security.insecure/,
    );
    succeeded(await project.run(['-t', 'app', '--allow', 'security.insecure', '.']));
    const text = await filesOf(project, 'app');
    const own = /CapBnd:\s*(\w+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
    expect(text('/status')).toBe(`CapEff:\t${own}\nCapAmb:\t${own}\nSeccomp:\t0\n`);
    expect(text('/sys-mount')).toMatch(/^sysfs \/sys sysfs rw,/);
  });

  it('network.host is asked for by RUN --network=host', async () => {
    const project = createProject({ Dockerfile: `${SHELL}RUN --network=host echo ok >/ok\n` });
    expect((await project.run(['-t', 'app', '.'])).stderr).toMatch(/error\[ENTITLEMENT_MISSING\]/);
    succeeded(await project.run(['-t', 'app', '--allow', 'network.host', '.']));
    succeeded(await project.run(['-t', 'app', '--network', 'host', '.']));
  });

  it('device shows what a CDI spec says, and leaves nothing of it in the image', async () => {
    const spec = '/etc/cdi/ocibuild-e2e.yaml';
    const made = mkdirSync('/etc/cdi', { recursive: true });
    onTestFinished(() => rmSync(made ?? spec, { recursive: true, force: true }));
    writeFileSync(
      spec,
      `cdiVersion: "0.6.0"
kind: ocibuild.example/demo
containerEdits:
  env: [DEMO_CLASS=yes]
devices:
  - name: zero
    containerEdits:
      deviceNodes: [{ path: /dev/demo, hostPath: /dev/zero }]
      mounts: [{ hostPath: /etc/hostname, containerPath: /opt/demo/hostname, options: [ro] }]
`,
    );
    const project = createProject({
      Dockerfile: `${SHELL}RUN --device=ocibuild.example/demo=zero,required <<EOF
/bin/busybox head -c 4 /dev/demo | /bin/busybox wc -c >/out
echo $DEMO_CLASS >>/out
test -s /opt/demo/hostname && echo mounted >>/out
EOF
RUN --device=ocibuild.example/demo=none echo optional >/optional
`,
    });
    expect((await project.run(['-t', 'app', '.'])).stderr).toMatch(/hint: build with --allow device=/);
    succeeded(await project.run(['-t', 'app', '--allow', 'device', '.']));
    const { files } = await checkedLayout(project.store, 'app:latest');
    expect(files.get('/out')?.text).toBe('4\nyes\nmounted\n');
    expect(files.get('/optional')?.text).toBe('optional\n');
    expect(files.has('/opt')).toBe(false);
    expect(statSync(spec).isFile()).toBe(true);
    project.write({ Dockerfile: `${SHELL}RUN --device=ocibuild.example/demo=none,required true\n` });
    const missing = await project.run(['-t', 'app', '--allow', 'device=ocibuild.example/demo=none', '.']);
    expect(missing.stderr).toMatch(/error\[DEVICE_NOT_FOUND\]/);
  });
});
