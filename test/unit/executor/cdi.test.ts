import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { resolveDevices } from '../../../src/executor/cdi.ts';

const ZERO = { path: '/dev/zero', type: 'c', major: 1, minor: 5 };

/** Directories with spec files, later ones first asked last. */
function specs(...dirs: readonly Readonly<Record<string, unknown>>[]): string[] {
  const top = mkdtempSync(join(tmpdir(), 'ocibuild-cdi-'));
  onTestFinished(() => rmSync(top, { recursive: true }));
  return dirs.map((files, i) => {
    const dir = join(top, String(i));
    mkdirSync(dir);
    for (const [name, spec] of Object.entries(files))
      writeFileSync(join(dir, name), typeof spec === 'string' ? spec : JSON.stringify(spec));
    return dir;
  });
}

const env = (...names: readonly string[]) => ({ containerEdits: { env: names } });
const resolve = (wanted: ReturnType<typeof ask>, dirs: readonly string[], rootless = false) =>
  resolveDevices(wanted, { dirs, rootless });

const ask = (name: string, required = false) => [{ name, required }];

describe('resolveDevices()', () => {
  it('finds by name, takes the first without one and all with a star', async () => {
    const dirs = specs({
      'a.json': {
        kind: 'v.com/c',
        devices: [
          { name: 'x', ...env('X=1') },
          { name: 'y', ...env('Y=1') },
        ],
      },
    });
    expect((await resolve(ask('v.com/c=y'), dirs)).env).toEqual(['Y=1']);
    expect((await resolve(ask('v.com/c'), dirs)).env).toEqual(['X=1']);
    expect((await resolve(ask('v.com/c=*'), dirs)).env).toEqual(['X=1', 'Y=1']);
    expect((await resolve(ask('v.com/d=x'), dirs)).env).toEqual([]);
  });

  it('counts the edits of a file once, before those of its devices', async () => {
    const dirs = specs({
      'a.json': {
        kind: 'v.com/c',
        ...env('ALL=1'),
        devices: [
          { name: 'x', ...env('X=1') },
          { name: 'y', ...env('Y=1') },
        ],
      },
    });
    expect((await resolve(ask('v.com/c=*'), dirs)).env).toEqual(['ALL=1', 'X=1', 'Y=1']);
  });

  it('lets a later directory win, and reads YAML', async () => {
    const dirs = specs(
      { 'a.json': { kind: 'v.com/c', devices: [{ name: 'x', ...env('X=old') }] } },
      { 'a.yaml': 'kind: v.com/c\ndevices:\n- name: x\n  containerEdits:\n    env: [X=new]\n' },
    );
    expect((await resolve(ask('v.com/c=x'), dirs)).env).toEqual(['X=new']);
  });

  it('takes numbers and mode of a node from the machine when the spec has none', async () => {
    const node = (facts: object) => ({
      'a.json': { kind: 'v.com/c', devices: [{ name: 'x', containerEdits: { deviceNodes: [facts] } }] },
    });
    const { nodes } = await resolve(
      ask('v.com/c=x'),
      specs(node({ path: '/dev/mine', hostPath: '/dev/zero', permissions: 'r' })),
    );
    expect(nodes).toMatchObject([{ ...ZERO, path: '/dev/mine', access: 'r' }]);
    const given = { path: '/dev/own', type: 'b', major: 7, minor: 3, uid: 5 };
    expect((await resolve(ask('v.com/c=x'), specs(node(given)))).nodes).toEqual([
      { ...given, access: 'rwm' },
    ]);
    await expect(resolve(ask('v.com/c=x'), specs(node({ path: '/dev/none-such' })))).rejects.toMatchObject({
      code: 'DEVICE_INVALID',
    });
  });

  it('mounts a node that has another path here when there is no root to make it', async () => {
    const deviceNodes = [{ path: '/dev/mine', hostPath: '/dev/zero' }, { path: '/dev/null' }];
    const dirs = specs({
      'a.json': { kind: 'v.com/c', devices: [{ name: 'x', containerEdits: { deviceNodes } }] },
    });
    const { nodes, mounts } = await resolve(ask('v.com/c=x'), dirs, true);
    expect(nodes).toMatchObject([{ path: '/dev/null' }]);
    expect(mounts).toEqual([
      { type: 'bind', target: '/dev/mine', source: '/dev/zero', readonly: false, options: ['bind', 'rw'] },
    ]);
  });

  it('gathers mounts, groups and hooks', async () => {
    const containerEdits = {
      mounts: [{ hostPath: '/etc', containerPath: '/host/etc', options: ['ro', 'nosuid'] }],
      additionalGids: [44],
      hooks: [{ hookName: 'createContainer', path: '/bin/true', args: ['true'] }],
    };
    const dirs = specs({ 'a.json': { kind: 'v.com/c', devices: [{ name: 'x', containerEdits }] } });
    expect(await resolve(ask('v.com/c=x'), dirs)).toEqual({
      env: [],
      nodes: [],
      mounts: [
        {
          type: 'bind',
          target: '/host/etc',
          source: '/etc',
          readonly: true,
          options: ['rbind', 'ro', 'nosuid'],
        },
      ],
      additionalGids: [44],
      hooks: { createContainer: [{ path: '/bin/true', args: ['true'] }] },
    });
  });

  it('fails when a required device is missing or a spec is damaged', async () => {
    await expect(resolve(ask('v.com/c=x', true), specs({}))).rejects.toMatchObject({
      code: 'DEVICE_NOT_FOUND',
    });
    for (const spec of ['{', '3', '{}', '{"kind":"v.com/c"}']) {
      await expect(resolve(ask('v.com/c=x'), specs({ 'a.json': spec }))).rejects.toMatchObject({
        code: 'DEVICE_INVALID',
        message: expect.stringContaining('a.json'),
      });
    }
  });
});
