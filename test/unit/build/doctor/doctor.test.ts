import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { probeCredentials, probeDaemon, probeVariables } from '../../../../src/build/doctor/outside.ts';
import { installCommand, packageManager } from '../../../../src/build/doctor/packages.ts';
import { fileSystemType, probeStore } from '../../../../src/build/doctor/store.ts';
import { probeKernel } from '../../../../src/build/doctor/system.ts';
import { exitProgram } from '../../../../src/build/doctor/trial.ts';
import type { Machine } from '../../../../src/build/doctor/types.ts';
import { reportText } from '../../../../src/cli/doctor-command.ts';
import { architectureOf, isDynamic } from '../../../../src/executor/elf.ts';

function machine(more: Partial<Machine> = {}): Machine {
  return {
    root: '/nowhere/store',
    env: {},
    cwd: '/',
    signal: new AbortController().signal,
    isRoot: false,
    searchPath: '',
    install: ({ apt }) => `sudo apt-get install ${apt}`,
    asRoot: (command) => `sudo ${command}`,
    ...more,
  };
}

function tempDir(): string {
  const dir = mkdtempSync(join(tmpdir(), 'ocibuild-doctor-test-'));
  onTestFinished(() => rmSync(dir, { recursive: true }));
  return dir;
}

describe('packageManager()', () => {
  it.each([
    ['ID=debian\n', 'apt'],
    ['NAME="Ubuntu"\nID=ubuntu\nID_LIKE=debian\n', 'apt'],
    ['ID=fedora\n', 'dnf'],
    ['ID="rocky"\nID_LIKE="rhel centos fedora"\n', 'dnf'],
    ['ID=alpine\n', 'apk'],
    ['', 'apt'],
  ] as const)('packageManager() of %j is %s', (text, manager) => {
    expect(packageManager(text)).toBe(manager);
  });

  it('installCommand() takes the name of the distribution, and sudo for a normal user', () => {
    const names = { apt: 'uidmap', dnf: 'shadow-utils' };
    expect(installCommand('ID=fedora\n', names, 'sudo')).toBe('sudo dnf install shadow-utils');
    expect(installCommand('ID=alpine\n', names, 'nothing')).toBe('apk add uidmap');
    expect(installCommand('', names, 'su')).toBe("su -c 'apt-get install uidmap'");
  });
});

describe('exitProgram()', () => {
  it.each([
    ['x64', 'amd64'],
    ['arm64', 'arm64'],
    ['riscv64', 'riscv64'],
  ])('exitProgram() is a static program for %s', (arch, architecture) => {
    const program = exitProgram(arch) ?? Buffer.of();
    expect([architectureOf(program), isDynamic(program)]).toEqual([architecture, false]);
  });

  it('exitProgram() has none for a processor it does not know', () => {
    expect(exitProgram('vax')).toBeUndefined();
  });
});

describe('probes of doctor', () => {
  it('probeKernel() fails a normal user, and warns root, when the kernel is too old for rootless overlays', () => {
    const status = (version: string, isRoot: boolean): string =>
      probeKernel(machine({ isRoot }), version).status;
    expect([
      status('5.10.0-8', false),
      status('5.10.0-8', true),
      status('5.11.1', false),
      status('6.1', false),
    ]).toEqual(['fail', 'warn', 'ok', 'ok']);
  });

  it('fileSystemType() takes the longest mount above a path, and of two on one directory the later', () => {
    const mountinfo = `22 1 8:1 / / rw - overlay overlay rw
23 22 8:2 / /var/lib rw - ext4 /dev/sda rw
24 23 0:5 / /var/lib rw - tmpfs tmpfs rw
25 22 0:6 / /with\\040space rw shared:1 - xfs /dev/sdb rw
`;
    const types = ['/home', '/var/lib/ocibuild', '/var/library', '/with space/x'].map((path) =>
      fileSystemType(path, mountinfo),
    );
    expect(types).toEqual(['overlay', 'tmpfs', 'overlay', 'xfs']);
  });

  it('probeStore() makes nothing, and tells a database of a newer version', () => {
    const dir = tempDir();
    expect(probeStore(machine({ root: join(dir, 'a/b') }))[0]).toMatchObject({
      id: 'store',
      message: expect.stringContaining('not made yet'),
    });
    const header = Buffer.alloc(100);
    header.write('SQLite format 3\0');
    header.writeUInt32BE(999, 60);
    writeFileSync(join(dir, 'cache.db'), header);
    expect(probeStore(machine({ root: dir })).at(-1)).toMatchObject({ id: 'schema', status: 'fail' });
    writeFileSync(join(dir, 'cache.db'), 'text');
    expect(probeStore(machine({ root: dir })).at(-1)).toMatchObject({ id: 'schema', status: 'warn' });
    expect(probeStore(machine({ root: '/proc/store' }))[0]?.status).toBe('fail');
  });

  it('probeCredentials() shows no secrets, and misses helpers that are not installed', () => {
    const home = tempDir();
    mkdirSync(join(home, '.docker'));
    const write = (value: unknown): void =>
      writeFileSync(
        join(home, '.docker/config.json'),
        typeof value === 'string' ? value : JSON.stringify(value),
      );
    const probe = (): unknown => probeCredentials(machine({ env: { HOME: home } }))[0];
    expect(probe()).toMatchObject({ status: 'ok', message: expect.stringContaining('none') });
    write({ auths: { 'registry.example': { auth: 'dXNlcjpzZWNyZXQ=' } } });
    expect(probe()).toMatchObject({ status: 'ok', message: expect.stringContaining('registries 1') });
    expect(JSON.stringify(probe())).not.toMatch(/dXNl|secret/);
    write({ credsStore: 'desktop' });
    expect(probe()).toMatchObject({
      status: 'warn',
      message: expect.stringContaining('docker-credential-desktop'),
    });
    write('{');
    expect(probe()).toMatchObject({ status: 'warn', message: expect.stringContaining('is not JSON') });
  });

  it('probeVariables() hides the password of a proxy, and names what is wrong', () => {
    const env = { HTTPS_PROXY: 'http://me:secret@proxy:3128', NODE_EXTRA_CA_CERTS: '/nowhere/ca.pem' };
    const findings = probeVariables(machine({ env }));
    expect(findings.map(({ id, status }) => [id, status])).toEqual([
      ['proxy', 'ok'],
      ['ca', 'warn'],
    ]);
    expect(JSON.stringify(findings)).not.toContain('secret');
    const [broken] = probeVariables(machine({ env: { HTTP_PROXY: 'http://[' } }));
    expect(broken).toMatchObject({ id: 'proxy', status: 'warn' });
  });

  it('probeDaemon() warns only where somebody asked for a daemon that does not answer', async () => {
    const env = { DOCKER_HOST: 'unix:///nowhere/docker.sock' };
    expect(await probeDaemon(machine({ env }))).toMatchObject({ status: 'warn' });
    const context = { DOCKER_CONFIG: '/nowhere', DOCKER_CONTEXT: 'gone' };
    expect(await probeDaemon(machine({ env: context }))).toMatchObject({
      status: 'warn',
      message: expect.stringContaining('Docker context "gone"'),
    });
  });
});

describe('reportText()', () => {
  it('reportText() puts the command below the line that it puts right', () => {
    const findings = [
      { id: 'node', status: 'ok', message: 'Node 26' },
      { id: 'runtime', status: 'fail', message: 'none', fix: 'apt-get install runc' },
    ] as const;
    expect(reportText({ works: false, findings })).toBe(`ok    node     Node 26
fail  runtime  none
               → apt-get install runc

Builds with RUN do not work here yet.
`);
  });
});
