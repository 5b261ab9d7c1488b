import { describe, expect, it } from 'vitest';
import { EMPTY_LAYER } from '../../../../src/layer/layer-id.ts';
import type { ExecMount, ExecOp, Owner } from '../../../../src/llb/ops.ts';
import type { SolvedInputs } from '../../../../src/solver/types.ts';
import { bound, execContext, keyParts, opDeps, resultParts, stepOp, treeOf, type World } from './fixture.ts';

const RUN: ExecOp = {
  kind: 'exec',
  rootfs: 0,
  args: ['/bin/sh', '-c', 'make'],
  env: ['A=1', 'B=2'],
  cwd: '/src',
  user: '',
  network: 'default',
  security: 'sandbox',
  mounts: [],
};

function bind(facts: Partial<ExecOp> = {}, world: World = {}) {
  const { deps, recorded } = opDeps(world);
  return { ...bound({ ...RUN, ...facts }, [stepOp('base'), stepOp('other')], deps), recorded };
}

const key = (facts: Partial<ExecOp> = {}, world: World = {}) => keyParts(bind(facts, world).op);

describe('bindExec() keys', () => {
  it('count the order of variables, since a later one may use an earlier', async () => {
    expect(await key({ env: ['B=2', 'A=1'] })).not.toEqual(await key());
    expect(await key({ env: ['A=1', 'B=3'] })).not.toEqual(await key());
  });

  it('name each variable, so that a miss can be explained', async () => {
    expect(await key({ env: ['A=1=2', 'E='] })).toEqual([
      expect.objectContaining({ name: 'op' }),
      { name: 'env A', value: '1=2' },
      { name: 'env E', value: '' },
    ]);
  });

  it('count names of extra hosts, but not their addresses', async () => {
    const one = await key({ extraHosts: ['db:10.0.0.1'] });
    expect(await key({ extraHosts: ['db:fe80::1'] })).toEqual(one);
    expect(await key({ extraHosts: ['dc:10.0.0.1'] })).not.toEqual(one);
    expect(await key()).not.toEqual(one);
  });

  it('do not count proxy settings of the machine', async () => {
    expect(
      await key({}, { proxyEnv: { host: ['HTTP_PROXY=http://p'], given: ['FTP_PROXY=http://p'] } }),
    ).toEqual(await key());
  });

  const CHANGES: [string, Partial<ExecOp>][] = [
    ['command', { args: ['/bin/sh', '-c', 'make all'] }],
    ['working directory', { cwd: '/' }],
    ['user', { user: 'node' }],
    ['network', { network: 'none' }],
    ['security', { security: 'insecure' }],
    ['host name', { hostname: 'box' }],
    ['limit', { ulimits: [{ name: 'nofile', soft: 1, hard: 2 }] }],
    ['shared memory', { shmSize: 1 }],
    ['mount', { mounts: [{ type: 'tmpfs', target: '/t' }] }],
  ];
  it.each(CHANGES)('count the %s', async (_, facts) => {
    expect(await key(facts)).not.toEqual(await key());
  });

  it('count the layers below by their ids, and empty ones not at all', async () => {
    const { op } = bind();
    const of = (...layers: string[]) => resultParts(op, [{ layers }, undefined]);
    expect(await of('a', 'b')).toEqual(await of('a', EMPTY_LAYER, 'b'));
    expect(await of('b', 'a')).not.toEqual(await of('a', 'b'));
    expect(await of('a')).not.toEqual(await of('a', 'b'));
  });

  it('count what a mount shows by its content, wherever it came from', async () => {
    const mount: ExecMount = { type: 'bind', target: '/m', readonly: true, input: 1, source: 'd' };
    const { op } = bind(
      { mounts: [mount] },
      {
        layers: {
          one: treeOf('d/', 'd/f=1', 'beside=1'),
          same: treeOf('d/', 'd/f=1', 'beside=2'),
          other: treeOf('d/', 'd/f=2', 'beside=1'),
        },
      },
    );
    const of = (layer: string): ReturnType<typeof resultParts> => {
      const inputs: SolvedInputs = [{ layers: [] }, { layers: [layer] }];
      return resultParts(op, inputs);
    };
    expect(await of('same')).toEqual(await of('one'));
    expect(await of('other')).not.toEqual(await of('one'));
  });
});

describe('bindExec() keys of mounts', () => {
  const cache = { type: 'cache', target: '/c', readonly: false, id: 'a', sharing: 'shared' } as const;
  const secret = {
    type: 'secret',
    id: 's',
    target: '/s',
    required: false,
    mode: 0o400,
    uid: 0,
    gid: 0,
  } as const;

  it('do not count which cache it is, nor how it is shared', async () => {
    const one = await key({ mounts: [cache] });
    expect(await key({ mounts: [{ ...cache, id: 'b', sharing: 'locked' }] })).toEqual(one);
    expect(await key({ mounts: [{ ...cache, target: '/d' }] })).not.toEqual(one);
    expect(await key({ mounts: [{ ...cache, readonly: true }] })).not.toEqual(one);
    expect(await key({ mounts: [{ ...cache, mode: 0o700 }] })).not.toEqual(one);
    expect(await key({ mounts: [{ ...cache, owner: { user: 5, group: 5 } }] })).not.toEqual(one);
  });

  it('count the id of a secret, but not its value', async () => {
    const one = await key({ mounts: [secret] }, { secrets: { s: 'hunter2' } });
    expect(await key({ mounts: [secret] }, { secrets: { s: 'other' } })).toEqual(one);
    expect(JSON.stringify(one)).not.toContain('hunter2');
    expect(await key({ mounts: [{ ...secret, id: 't' }] })).not.toEqual(one);
  });
});

describe('bindExec().exec() with mounts', () => {
  const below: SolvedInputs = [{ layers: ['low'] }, { layers: ['m'] }];
  const owned = { required: false, mode: 0o400, uid: 3, gid: 4 };
  const layers = {
    low: treeOf('etc/', 'home/', 'home/app/', 'etc/passwd', 'etc/group').map((each) =>
      each.path === 'home/app' ? { ...each, uid: 70, gid: 71 } : each,
    ),
    m: treeOf('d/', 'd/f=1', 'beside=1'),
  };
  const texts = {
    '/snapshots/low/etc/passwd': 'app:x:50:51::/:/bin/sh\n',
    '/snapshots/low/etc/group': 'staff:x:60:\n',
  };
  const specOf = async (facts: Partial<ExecOp>, world: World = {}) => {
    const { op, recorded } = bind(facts, { layers, texts, ...world });
    await op.exec(below, execContext());
    return { spec: recorded.specs[0], recorded };
  };

  it('gives secrets as files and variables, apart from the other variables', async () => {
    const mounts: ExecMount[] = [
      { type: 'secret', id: 's', target: '/s', env: 'S', ...owned },
      { type: 'secret', id: 'only-env', env: 'E', ...owned },
      { type: 'secret', id: 'none', target: '/n', env: 'N', ...owned },
    ];
    const { spec } = await specOf({ mounts }, { secrets: { s: 'value', 'only-env': 'e' } });
    expect(spec?.env).toEqual(['A=1', 'B=2']);
    expect(spec?.secretEnv).toEqual(['S=value', 'E=e', 'N=']);
    expect(spec?.mounts).toEqual([
      {
        type: 'secret',
        target: '/s',
        readonly: true,
        file: { data: Buffer.from('value'), mode: 0o400, uid: 3, gid: 4 },
      },
    ]);
  });

  it('hides secrets in the end of the log that an error shows', async () => {
    const { op } = bind(
      { mounts: [{ type: 'secret', id: 's', env: 'S', ...owned }] },
      {
        layers,
        secrets: { s: 'first line\nsecond line\n' },
        run(_, { onOutput }) {
          onOutput('stdout', Buffer.from('got second line\n'));
          return { code: 1 };
        },
      },
    );
    await expect(op.exec(below, execContext())).rejects.toMatchObject({ logTail: ['got ***'] });
  });

  it('forwards agents that are there, names the first and closes all', async () => {
    const ssh = (id: string): ExecMount => ({ type: 'ssh', id, target: `/agent/${id}`, ...owned });
    const { spec, recorded } = await specOf(
      { mounts: [ssh('none'), ssh('a'), ssh('b')] },
      { agents: ['a', 'b'] },
    );
    expect(spec?.env).toEqual(['A=1', 'B=2', 'SSH_AUTH_SOCK=/agent/a']);
    expect(spec?.mounts).toMatchObject([
      { target: '/agent/a', source: '/agents/a' },
      { target: '/agent/b', source: '/agents/b' },
    ]);
    expect(recorded.ended).toEqual(['commit', 'agent b', 'agent a']);
    const own = await specOf({ mounts: [ssh('a')], env: ['SSH_AUTH_SOCK=/image'] }, { agents: ['a'] });
    expect(own.spec?.env).toEqual(['SSH_AUTH_SOCK=/image']);
  });

  it.each<[ExecMount, string]>([
    [{ type: 'secret', id: 'x', target: '/s', ...owned, required: true }, 'SECRET_NOT_FOUND'],
    [{ type: 'ssh', id: 'x', target: '/s', ...owned, required: true }, 'SSH_AGENT_NOT_FOUND'],
    [
      { type: 'cache', id: 'x', target: '/s', readonly: false, sharing: 'shared', input: 1, source: 'none' },
      'MOUNT_INVALID',
    ],
    [
      {
        type: 'cache',
        id: 'x',
        target: '/s',
        readonly: false,
        sharing: 'shared',
        input: 1,
        source: 'beside',
      },
      'MOUNT_INVALID',
    ],
    [
      { type: 'cache', id: 'x', target: '/s', readonly: false, sharing: 'shared', input: -1, source: 'x' },
      'MOUNT_INVALID',
    ],
  ])('throws when there is nothing for %j', async (mount, code) => {
    const { op, recorded } = bind({ mounts: [mount] }, { layers, texts });
    await expect(op.exec(below, execContext())).rejects.toMatchObject({ code });
    expect(recorded.specs).toEqual([]);
  });

  const cache = {
    type: 'cache',
    id: 'x',
    sharing: 'shared',
    readonly: false,
    target: '/home/app/c',
  } as const;

  it('starts a new cache from what its source holds', async () => {
    const { recorded } = await specOf({ mounts: [{ ...cache, input: 1, source: 'd' }] });
    expect(recorded.seeds).toEqual([
      [expect.objectContaining({ path: '' }), expect.objectContaining({ path: 'f' })],
    ]);
    expect(recorded.ended).toEqual(['commit', 'release']);
  });

  it.each<[Owner, string, object]>([
    [{ user: 'app' }, '/c', { uid: 50, gid: 0 }],
    [{ user: 'app', group: 'staff' }, '/c', { uid: 50, gid: 60 }],
    [{ user: 'inherit', group: 'inherit' }, '/home/app', { uid: 70, gid: 71 }],
    [{ user: 'inherit', group: 'inherit' }, '/nowhere', { uid: 50, gid: 51 }],
    [{ user: 5 }, '/c', { uid: 5, gid: 0 }],
  ])('gives a new cache to %j when it is on %s', async (owner, target, expected) => {
    const { recorded } = await specOf({ user: 'app', mounts: [{ ...cache, owner, target }] });
    expect(recorded.seeds).toEqual([[expect.objectContaining({ type: 'dir', mode: 0o755, ...expected })]]);
  });
});

describe('bindExec().exec()', () => {
  const inputs: SolvedInputs = [{ layers: ['low', EMPTY_LAYER, 'high'] }, { layers: ['m'] }];

  it('runs on snapshots of the layers below, proxies around the variables of the image', async () => {
    const mounts: ExecMount[] = [
      { type: 'bind', target: '/m', readonly: true, input: 1, source: 'd' },
      { type: 'tmpfs', target: '/t', size: 10 },
    ];
    const { op, recorded } = bind(
      { mounts, extraHosts: ['db:10.0.0.1'], shmSize: 5 },
      { proxyEnv: { host: ['HTTP_PROXY=p'], given: ['NO_PROXY=n'] } },
    );
    expect(await op.exec(inputs, execContext())).toEqual(['run-1']);
    expect(recorded.specs).toEqual([
      expect.objectContaining({
        id: 'run-id',
        rootfs: { lower: ['/snapshots/low', '/snapshots/high'], upper: '/upper', work: '/work-dir' },
        env: ['HTTP_PROXY=p', 'A=1', 'B=2', 'NO_PROXY=n'],
        hostname: 'buildkitsandbox',
        extraHosts: ['db:10.0.0.1'],
        shmSize: 5,
        mounts: [
          { type: 'overlay', target: '/m', readonly: true, lower: ['/snapshots/m'], subpath: '/d' },
          { type: 'tmpfs', target: '/t', readonly: false, size: 10 },
        ],
      }),
    ]);
    expect(recorded.ended).toEqual(['commit']);
  });

  it('passes output on, and gives its end with the error of a failed command', async () => {
    const logged: string[] = [];
    const { op, recorded } = bind(
      {},
      {
        run(_, { onOutput }) {
          onOutput('stderr', Buffer.from('no rule\n'));
          return { code: 2 };
        },
      },
    );
    await expect(op.exec(inputs, execContext(logged))).rejects.toMatchObject({
      code: 'RUN_EXIT_NONZERO',
      message: 'Cannot finish RUN make: exit code 2',
      logTail: ['no rule'],
      details: { exitCode: 2, command: 'make' },
    });
    expect(logged).toEqual(['stderr no rule\n']);
    expect(recorded.ended).toEqual(['discard']);
  });

  it('names a script by the start of its first line', async () => {
    const script = `\nset -e ${'x'.repeat(300)}\nmake\n`;
    const { op } = bind({ args: ['/bin/sh', '-c', script] }, { run: () => ({ code: 2 }) });
    await expect(op.exec(inputs, execContext())).rejects.toMatchObject({
      message: expect.stringMatching(/^Cannot finish RUN set -e x{150,200}…: exit code 2$/),
      details: { command: script },
    });
  });

  it.each([
    [{ code: 137, signal: 9 }, 'RUN_SIGNALLED', /killed by SIGKILL \(exit code 137\)/],
    [{ code: 137, signal: 9, oomKilled: true }, 'RUN_SIGNALLED', /out of memory/],
    [{ code: 127 }, 'RUN_EXIT_NONZERO', /exit code 127/],
  ])('throws when the command ends with %j', async (status, code, message) => {
    const { op } = bind({ args: ['make', 'all'] }, { run: () => status });
    await expect(op.exec(inputs, execContext())).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message),
      details: { command: 'make all' },
    });
  });

  it.each([
    ['cp: /big: No space left on device', /a disk is full/],
    ['sh: exec: Exec format error', /another processor/],
    ['sh: make: not found', /no program "make"/],
  ])('hints at what "%s" means', async (line, hint) => {
    const { op } = bind(
      {},
      {
        run: (_, { onOutput }) => {
          onOutput('stderr', Buffer.from(`${line}\n`));
          return { code: 127 };
        },
      },
    );
    await expect(op.exec(inputs, execContext())).rejects.toMatchObject({ hint: expect.stringMatching(hint) });
  });

  it('throws the layer away when the sandbox cannot start', async () => {
    const { op, recorded } = bind(
      {},
      {
        run() {
          throw new Error('no runtime');
        },
      },
    );
    await expect(op.exec(inputs, execContext())).rejects.toThrow('no runtime');
    expect(recorded.ended).toEqual(['discard']);
  });
});
