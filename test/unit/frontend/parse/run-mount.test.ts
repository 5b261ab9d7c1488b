import { describe, expect, it } from 'vitest';
import { parseFile } from '../../../../src/frontend/parse/parser.ts';
import { type MountOptions, readMount, splitMount } from '../../../../src/frontend/parse/run-mount.ts';
import { convert } from '../support.ts';

/** Options of `--mount=TEXT`; `$X` expands to `x`. */
async function read(text: string, extended = false): Promise<MountOptions> {
  const { instructions } = await parseFile({
    name: 'Dockerfile',
    text: `FROM base\nRUN --mount=${text} true\n`,
  });
  const raw = instructions[1];
  const [flag] = raw?.flags ?? [];
  if (raw === undefined || flag === undefined) throw new RangeError('no flag');
  const expand = (value: string) => value.replaceAll('$X', 'x');
  return readMount(raw, splitMount(raw, flag), { expand, extended });
}

const exec = async (run: string, changes = {}) => {
  const { definition } = await convert(`FROM base\nWORKDIR /work\nRUN ${run}\n`, changes);
  const ops = [...definition.vertices.values()].map(({ op }) => op);
  const found = ops.find((op) => op.kind === 'exec');
  if (found?.kind !== 'exec') throw new RangeError('no RUN in the graph');
  return { ops, op: found };
};

describe('readMount()', () => {
  it.each<[string, Partial<MountOptions>]>([
    ['target=/m', { type: 'bind', target: '/m', source: '', readonly: true }],
    ['dst=/m,src=a,rw', { type: 'bind', target: '/m', source: 'a', readonly: false }],
    ['destination=/m,ro=false', { readonly: false }],
    ['target=/m,rw=false', { readonly: true }],
    ['TYPE=cache,Target=/m', { type: 'cache', readonly: false, sharing: 'shared' }],
    [
      'type=cache,target=/m,id=a$X,sharing=locked,mode=0700,uid=5,gid=6',
      { id: 'ax', sharing: 'locked', mode: 0o700, uid: 5, gid: 6 },
    ],
    ['type=tmpfs,target=/m,size=1.5k', { size: 1536 }],
    ['type=tmpfs,target=/m,size=2MiB', { size: 2 * 1024 * 1024 }],
    ['type=tmpfs,target=/m,size=70', { size: 70 }],
    ['type=secret,id=s,required', { type: 'secret', id: 's', required: true }],
    ['required=1,type=ssh', { type: 'ssh', required: true }],
    ['type=secret,source=s,env=S', { source: 's', env: 'S', required: false }],
  ])('reads %s', async (text, expected) => {
    expect(await read(text)).toMatchObject(expected);
  });

  it.each<[string, string, string?]>([
    ['type=bnd,target=/m', 'expected bind, cache, tmpfs, secret, ssh', 'bind'],
    ['targt=/m', 'there is no such key', 'target'],
    ['type=secret,id', 'without a value'],
    ['target=/m,required', 'it is for secret and ssh mounts'],
    ['target=/m,uid=3', 'it is for cache and secret and ssh mounts'],
    ['target=/m,size=3', 'it is for tmpfs mounts'],
    ['type=ssh,from=base', 'it is for bind and cache and tmpfs mounts'],
    ['target=/m,ro=maybe', 'expected "true" or "false"'],
    ['type=cache,target=/m,sharing=mine', 'expected shared, private, locked'],
    ['type=cache,target=/m,mode=8', 'expected an octal mode'],
    ['type=cache,target=/m,mode=17777', 'expected an octal mode'],
    ['type=cache,target=/m,uid=4294967295', 'expected a number'],
    ['type=cache,target=/m,uid=app', 'names are an extension', '# syntax=ocibuild'],
    ['type=secret,id=s,uid=app', 'expected a number'],
    ['type=tmpfs,target=/m,size=big', 'expected bytes'],
    ['type=secret,id=a,source=b', 'they mean the same'],
    ['type=secret', 'without its id'],
  ])('refuses %s', async (text, message, hint = '') => {
    await expect(read(text)).rejects.toMatchObject({
      code: 'DOCKERFILE_FLAG_INVALID',
      message: expect.stringContaining(message),
      ...(hint === '' ? {} : { hint: expect.stringContaining(hint) }),
    });
  });

  it('takes names as owners when extensions are on', async () => {
    expect(await read('type=cache,target=/m,uid=app,gid=inherit', true)).toMatchObject({
      uid: 'app',
      gid: 'inherit',
    });
    await expect(read('type=secret,id=s,uid=app', true)).rejects.toMatchObject({
      code: 'DOCKERFILE_FLAG_INVALID',
    });
  });
});

describe('convertMounts()', () => {
  it('mounts what a step selects of the context as a layer of its own', async () => {
    const { ops, op } = await exec('--mount=source=a/b,target=c true');
    expect(op.mounts).toEqual([
      { type: 'bind', target: '/work/c', readonly: true, input: 1, source: 'mount' },
    ]);
    expect(ops).toContainEqual(
      expect.objectContaining({
        kind: 'file',
        onlyMounted: true,
        actions: [
          {
            type: 'copy',
            from: 0,
            sources: [{ path: 'a/b', wildcard: false }],
            dest: '/mount',
            keepsMode: true,
          },
        ],
      }),
    );
  });

  it('tells files that are only shown from the start of a cache, whose name its layers are part of', async () => {
    const mounts = '--mount=from=docs,source=a,target=b --mount=type=cache,target=c,from=docs,source=a';
    const { ops } = await exec(`${mounts} true`, { localContexts: { docs: {} } });
    expect(ops.filter((op) => op.kind === 'file' && op.actions[0]?.type === 'copy')).toMatchObject([
      { onlyMounted: true },
      expect.not.objectContaining({ onlyMounted: true }),
    ]);
  });

  it('uses an input once when several mounts show it', async () => {
    const { definition } = await convert(
      'FROM base AS s\nRUN x\nFROM base\nRUN --mount=from=s,source=a,target=/a --mount=from=s,source=../b,target=/b y\n',
    );
    const last = [...definition.vertices.values()].findLast(({ op: each }) => each.kind === 'exec');
    expect(last?.inputs).toHaveLength(2);
    expect(last?.op).toMatchObject({
      mounts: [
        { input: 1, source: 'a' },
        { input: 1, source: 'b' },
      ],
    });
  });

  it('names a cache by its target as written, in the namespace of the build', async () => {
    expect((await exec('--mount=type=cache,target=c/./d/ true')).op.mounts).toEqual([
      { type: 'cache', target: '/work/c/d', readonly: false, id: 'c/d', sharing: 'shared' },
    ]);
    const buildArgs = { BUILDKIT_CACHE_MOUNT_NS: 'ns' };
    expect((await exec('--mount=type=cache,target=/c true', { buildArgs })).op.mounts).toMatchObject([
      { id: 'ns//c' },
    ]);
  });

  it('gives secrets and agents their usual places', async () => {
    const { op } = await exec(
      '--mount=type=secret,id=a/b --mount=type=secret,target=/x/y --mount=type=secret,id=e,env=E --mount=type=ssh --mount=type=ssh,id=k,mode=0666 true',
    );
    const none = { required: false, uid: 0, gid: 0 };
    expect(op.mounts).toEqual([
      { type: 'secret', id: 'a/b', target: '/run/secrets/b', mode: 0o400, ...none },
      { type: 'secret', id: 'y', target: '/x/y', mode: 0o400, ...none },
      { type: 'secret', id: 'e', env: 'E', mode: 0o400, ...none },
      { type: 'ssh', id: 'default', target: '/run/buildkit/ssh_agent.0', mode: 0o600, ...none },
      { type: 'ssh', id: 'k', target: '/run/buildkit/ssh_agent.1', mode: 0o666, ...none },
    ]);
  });

  it('refuses to mount on the root', async () => {
    await expect(exec('--mount=target=/.. true')).rejects.toMatchObject({
      message: expect.stringContaining('"/"'),
    });
  });
});

describe('entitlements', () => {
  it.each<[string, string, readonly string[]]>([
    ['--network=host', 'network.host', ['network.host']],
    ['--security=insecure', 'security.insecure', ['security.insecure']],
    ['--device=v.com/c=n', 'device=v.com/c=n', ['device', 'device=v.com/c=n', 'device=v.com/c']],
  ])('are asked for by %s', async (flag, wanted, enough) => {
    await expect(exec(`${flag} true`)).rejects.toMatchObject({
      code: 'ENTITLEMENT_MISSING',
      hint: `build with --allow ${wanted}`,
    });
    for (const allow of enough) await expect(exec(`${flag} true`, { allow: [allow] })).resolves.toBeDefined();
  });

  it.each(['nonsense', 'v.com/c=a,b', 'v.com/c=n,required=maybe', ''])(
    'refuses the device "%s"',
    async (name) => {
      await expect(exec(`--device=${name} true`, { allow: ['device'] })).rejects.toMatchObject({
        code: 'DOCKERFILE_FLAG_INVALID',
      });
    },
  );

  it('keep devices in the step with what they ask for', async () => {
    const { op } = await exec('--device=v.com/c=n,required --device=name=v.com/d true', {
      allow: ['device'],
    });
    expect(op.devices).toEqual([
      { name: 'v.com/c=n', required: true },
      { name: 'v.com/d', required: false },
    ]);
  });
});
