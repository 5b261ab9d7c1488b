import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { cgroupMode, cgroupsPath, parseSelfCgroup } from '../../../src/executor/cgroup.ts';
import { boundingCapabilities } from '../../../src/executor/machine.ts';
import { parseSubIds } from '../../../src/executor/rootless.ts';
import { findRuntime, globalArgs, startFailure } from '../../../src/executor/runtime.ts';

const dir = mkdtempSync(join(tmpdir(), 'ocibuild-runtime-'));
afterAll(() => rmSync(dir, { recursive: true }));

describe('findRuntime', () => {
  it('findRuntime() prefers the search path when a runtime is in it', () => {
    writeFileSync(join(dir, 'runc'), '#!/bin/sh\n');
    chmodSync(join(dir, 'runc'), 0o755);
    writeFileSync(join(dir, 'crun-new'), '#!/bin/sh\n');
    chmodSync(join(dir, 'crun-new'), 0o755);
    expect(findRuntime(undefined, `relative:${dir}`)).toEqual({ path: join(dir, 'runc'), flavour: 'runc' });
    expect(findRuntime('crun-new', dir)).toEqual({ path: join(dir, 'crun-new'), flavour: 'crun' });
    expect(findRuntime(join(dir, 'runc'))).toEqual({ path: join(dir, 'runc'), flavour: 'runc' });
  });
  it('findRuntime() says what to install when there is none', () => {
    expect(() => findRuntime('no-such-runtime', dir)).toThrow(
      expect.objectContaining({ code: 'RUNTIME_NOT_FOUND', hint: 'apt-get install runc' }),
    );
  });
});

describe('globalArgs', () => {
  it('globalArgs() turns cgroups off when crun may not make them', () => {
    const options = { stateDir: '/s', noCgroups: true };
    expect(globalArgs({ path: '/crun', flavour: 'crun' }, options)).toEqual([
      '--root',
      '/s',
      '--cgroup-manager',
      'disabled',
    ]);
    expect(globalArgs({ path: '/runc', flavour: 'runc' }, options)).toEqual(['--root', '/s']);
  });
});

describe('startFailure', () => {
  const log = (msg: string) =>
    `{"level":"warning","msg":"w"}\nnot json\n${JSON.stringify({ level: 'error', msg })}\n`;
  it.each([
    [
      'runc run failed: unable to start container process: exec: "/x": stat /x: no such file or directory',
      'RUN_START_FAILED',
    ],
    [
      'runc run failed: unable to start container process: exec: "x": executable file not found in $PATH',
      'RUN_START_FAILED',
    ],
    ['executable file `x` not found in $PATH: No such file or directory', 'RUN_START_FAILED'],
    [
      'runc run failed: unable to start container process: chdir to cwd ("/x") set in config.json failed: permission denied',
      'RUN_CWD_INVALID',
    ],
    ['runc run failed: unable to start container process: error mounting "/x" to rootfs', 'RUNTIME_FAILED'],
  ])('startFailure() reads the log when it says: %s', (msg, code) => {
    expect(startFailure(log(msg), ['x'])).toMatchObject({ code, details: { runtimeMessage: msg } });
  });
  it('startFailure() names a working directory that cannot be entered', () => {
    const said = (why: string): string =>
      `exec failed: unable to start container process: chdir to cwd ("/x") set in config.json failed: ${why}`;
    for (const why of ['no such file or directory', 'not a directory']) {
      expect(startFailure(log(said(why)), ['x'])).toMatchObject({
        code: 'RUN_CWD_INVALID',
        message: `Cannot enter the working directory "/x": ${why}`,
      });
    }
  });
  it.each([
    [
      'runc run failed: unable to start container process: error during container init: error mounting "tmpfs" to rootfs at "/src/a/b": mkdir /run/1/rootfs/src/a: read-only file system',
      '/src/a/b',
    ],
    [
      'runc run failed: unable to start container process: error during container init: error mounting "tmpfs" to rootfs at "/src/a/b": create mountpoint for /src/a/b mount: make mountpoint "/src/a/b": mkdirat /run/1/rootfs/src/a: read-only file system',
      '/src/a/b',
    ],
    ['mkdir `/src/a`: Read-only file system', '/src/a'],
  ])(
    'startFailure() names the place of a mount that a read-only one lacks when it says: %s',
    (msg, place) => {
      expect(startFailure(log(msg), ['x'])).toMatchObject({
        code: 'MOUNT_INVALID',
        message: `Cannot mount on "${place}": it is missing in a read-only mount`,
      });
    },
  );
  it('startFailure() gives nothing when the log has no error', () => {
    expect(startFailure('', ['x'])).toBeUndefined();
    expect(
      startFailure('{"level":"warning","msg":"exec: no such file or directory"}', ['x']),
    ).toBeUndefined();
  });
});

describe('cgroups', () => {
  const line = (target: string, type: string) =>
    `31 23 0:27 / ${target} rw,nosuid shared:4 - ${type} ${type} rw`;
  it('cgroupMode() tells the mode when hierarchies are mounted in different ways', () => {
    expect(cgroupMode(line('/sys/fs/cgroup', 'cgroup2'))).toBe('unified');
    const hybrid = [
      line('/sys/fs/cgroup', 'tmpfs'),
      line('/sys/fs/cgroup/cpu', 'cgroup'),
      line('/sys/fs/cgroup/unified', 'cgroup2'),
    ];
    expect(cgroupMode(hybrid.join('\n'))).toBe('legacy');
    expect(cgroupMode([...hybrid, line('/sys/fs/cgroup', 'cgroup2')].join('\n'))).toBe('unified');
    expect(cgroupMode(line('/', 'ext4'))).toBe('none');
  });
  it('cgroupsPath() stands beside our cgroup on v2 and below it on v1', () => {
    expect(cgroupsPath('unified', '0::/user.slice/me.scope\n', 'id')).toBe('/user.slice/ocibuild/id');
    expect(cgroupsPath('unified', '0::/\n', 'id')).toBe('/ocibuild/id');
    expect(cgroupsPath('legacy', '1:cpu:/x\n', 'id')).toBe('ocibuild/id');
  });
  it('parseSelfCgroup() keeps colons of the path when it has some', () => {
    expect(parseSelfCgroup('4:cpu,cpuacct:/a:b\n0::/\n')).toEqual([
      { hierarchy: '4', controllers: ['cpu', 'cpuacct'], path: '/a:b' },
      { hierarchy: '0', controllers: [], path: '/' },
    ]);
  });
});

describe('boundingCapabilities', () => {
  it('boundingCapabilities() names bits when the mask has gaps', () => {
    expect(boundingCapabilities('CapBnd:\t0000010000000021\n')).toEqual([
      'CAP_CHOWN',
      'CAP_KILL',
      'CAP_CHECKPOINT_RESTORE',
    ]);
  });
});

describe('parseSubIds', () => {
  it('parseSubIds() joins ranges when a user is listed by name and by number', () => {
    const text = 'ann:100000:65536\nbob:1:2\n1000:500000:10\nann:x:1\n';
    expect(parseSubIds(text, { name: 'ann', uid: 1000 })).toEqual([
      { inside: 1, outside: 100000, count: 65536 },
      { inside: 65537, outside: 500000, count: 10 },
    ]);
    expect(parseSubIds(text, { name: 'eve', uid: 3 })).toEqual([]);
  });
});
