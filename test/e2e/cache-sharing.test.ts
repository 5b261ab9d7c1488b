import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type BuildOptions, type BuildResult, build, type ProgressEvent } from '../../src/index.ts';
import { makeShellImage } from '../support/base-image.ts';
import { type CountingProxy, startCountingProxy } from '../support/counting-proxy.ts';
import { startRegistry, type TestRegistry } from '../support/registry.ts';

const dir = mkdtempSync(join(tmpdir(), 'ocibuild-sharing-'));
let registry: TestRegistry;
let proxy: CountingProxy;
let host: string;
let count = 0;

beforeAll(async () => {
  registry = await startRegistry();
  proxy = await startCountingProxy(registry.host);
  host = proxy.host;
  await makeShellImage(join(dir, 'layout'), 'sh');
  await registry.push(join(dir, 'layout'), 'sh', 'base:1');
});

afterAll(async () => {
  await proxy?.[Symbol.asyncDispose]();
  await registry?.[Symbol.asyncDispose]();
  rmSync(dir, { recursive: true, force: true });
});

interface Outcome {
  readonly result: BuildResult | undefined;
  readonly error: unknown;
  /** Steps that were neither cached nor a FROM. */
  readonly ran: readonly string[];
  readonly warnings: readonly string[];
  readonly names: readonly string[];
}

const newStore = (): string => join(dir, `store-${count++}`);

function context(files: Readonly<Record<string, string>>): string {
  const path = join(dir, `context-${count++}`);
  mkdirSync(path);
  for (const [name, text] of Object.entries(files)) writeFileSync(join(path, name), text);
  return path;
}

async function run(store: string, options: Partial<BuildOptions> & { context: string }): Promise<Outcome> {
  const events: ProgressEvent[] = [];
  const job = build({
    outputs: [{ type: 'cacheonly' }],
    root: store,
    ...options,
    onEvent: (e) => events.push(e),
  });
  const [settled] = await Promise.allSettled([job.result]);
  const cached = new Set(events.flatMap((e) => (e.kind === 'cached' ? [e.vertex] : [])));
  const started = events.flatMap((e) => (e.kind === 'vertex' && !cached.has(e.vertex) ? [e.name] : []));
  return {
    result: settled?.status === 'fulfilled' ? settled.value : undefined,
    error: settled?.status === 'rejected' ? settled.reason : undefined,
    ran: started
      .filter((name) => /^\[.*\d+\/\d+\] (?!FROM)/.test(name))
      .map((name) => name.replace(/^\[.*?\] /, '')),
    warnings: events.flatMap((e) => (e.kind === 'warning' ? [e.message] : [])),
    names: started,
  };
}

const push = (name: string): Partial<BuildOptions> => ({
  outputs: [{ type: 'registry' }],
  tags: [`${host}/${name}`],
});

describe('a cache in a registry', () => {
  it('lets a second store build twenty steps without running one or moving a layer', async () => {
    const noise = Array.from({ length: 20_000 }, (_, i) => Math.imul(i, 2_654_435_761).toString(36)).join(
      '\n',
    );
    const steps = Array.from({ length: 10 }, (_, i) => `COPY data /data${i}\nRUN echo ${i} >/step${i}`);
    const here = context({ Dockerfile: `FROM ${host}/base:1\n${steps.join('\n')}\n`, data: noise });
    const ref = `${host}/app:cache`;
    const first = await run(newStore(), {
      ...push('app:one'),
      context: here,
      cacheTo: [{ type: 'registry', ref, mode: 'max' }],
    });
    expect(first.error).toBeUndefined();
    expect(first.ran).toHaveLength(20);
    const config = configOf(await manifestOf('app', 'cache'));
    proxy.take();
    proxy.takeBytes();

    const store = newStore();
    const second = await run(store, {
      ...push('app:two'),
      context: here,
      cacheFrom: [{ type: 'registry', ref }],
    });
    expect(second.error).toBeUndefined();
    expect(second.warnings).toEqual([]);
    expect(second.ran).toEqual([]);
    expect(second.result?.digest).toBe(first.result?.digest);
    const bytes = proxy.takeBytes();
    const requests = proxy.take();
    // Two for the cache, three for the base image, a HEAD for each of 22 layers and the config, and the manifest.
    expect(requests.filter((each) => !each.startsWith('HEAD'))).toEqual(
      expect.arrayContaining([
        'GET app/manifests/cache',
        `GET app/blobs/${config.digest}`,
        'PUT app/manifests/two',
      ]),
    );
    expect(requests.length).toBeLessThanOrEqual(2 + 3 + 22 + 1 + 1);
    expect(requests.filter((each) => /^(GET|POST|PUT|PATCH) app\/blobs/.test(each))).toEqual([
      `GET app/blobs/${config.digest}`,
    ]);
    // The config of the cache, and the documents of two images.
    expect(bytes).toBeLessThan(config.size + 20_000);

    // What was found is the store's own now, and the same cache again is the same bytes.
    const again = await run(store, {
      context: here,
      cacheTo: [{ type: 'registry', ref: `${host}/app:copy`, mode: 'max' }],
    });
    expect(again.ran).toEqual([]);
    expect(await manifestOf('app', 'copy')).toEqual(await manifestOf('app', 'cache'));
  });

  const threeStages = (dest: string): string => `FROM ${host}/base:1 AS build
COPY early /early
RUN cat /early >/made; echo built >>/made
FROM ${host}/base:1 AS tools
RUN echo tool >/tool
FROM ${host}/base:1
COPY --from=tools /tool /tool
COPY --from=build /made ${dest}
`;

  it('holds every stage with mode=max, and only the image with mode=min', async () => {
    const early = 'early\n';
    const here = context({ Dockerfile: threeStages('/made'), early });
    const [min, max] = [`${host}/stages:min`, `${host}/stages:max`];
    const first = await run(newStore(), {
      context: here,
      cacheTo: [
        { type: 'registry', ref: min },
        { type: 'registry', ref: max, mode: 'max', imageManifest: false, ociMediaTypes: false },
      ],
    });
    expect(first.error).toBeUndefined();
    expect((await manifestOf('stages', 'min')).layers).toHaveLength(2);
    expect((await manifestOf('stages', 'max')).mediaType).toBe(
      'application/vnd.docker.distribution.manifest.list.v2+json',
    );
    const moved = context({ Dockerfile: threeStages('/elsewhere'), early });
    const withMin = await run(newStore(), { context: moved, cacheFrom: [{ type: 'registry', ref: min }] });
    expect(withMin.ran).toContain('RUN cat /early >/made; echo built >>/made');
    const withMax = await run(newStore(), { context: moved, cacheFrom: [{ type: 'registry', ref: max }] });
    expect(withMax.ran).toEqual(['COPY --from=build /made /elsewhere']);
    // A file that an early stage reads: the other stage, and what is made of it, is still there.
    const changed = context({ Dockerfile: threeStages('/made'), early: 'other\n' });
    const other = await run(newStore(), { context: changed, cacheFrom: [{ type: 'registry', ref: max }] });
    expect(other.ran).toEqual([
      'COPY early /early',
      'RUN cat /early >/made; echo built >>/made',
      'COPY --from=build /made /made',
    ]);
  });

  it('runs the step of a layer that the registry has deleted', async () => {
    const here = context({ Dockerfile: `FROM ${host}/base:1\nRUN echo a >/a\nRUN echo b >/b\n` });
    const ref = `${host}/gone:cache`;
    await run(newStore(), { context: here, cacheTo: [{ type: 'registry', ref }] });
    for (const { digest } of (await manifestOf('gone', 'cache')).layers) {
      const deleted = await fetch(`http://${registry.host}/v2/gone/blobs/${digest}`, { method: 'DELETE' });
      expect(deleted.status).toBe(202);
    }
    const store = newStore();
    const outcome = await run(store, {
      context: here,
      cacheFrom: [{ type: 'registry', ref }],
      outputs: [{ type: 'store' }],
      tags: ['gone'],
    });
    expect(outcome.error).toBeUndefined();
    expect(outcome.result?.config.rootfs.diff_ids).toHaveLength(4);
    const again = await run(store, { context: here, outputs: [{ type: 'store' }], tags: ['gone'] });
    expect(again.ran).toEqual([]);
    // A push asks for the bytes only after the registry has said that it lacks them.
    const pushed = await run(newStore(), {
      ...push('elsewhere:1'),
      context: here,
      cacheFrom: [{ type: 'registry', ref }],
    });
    expect(pushed.error).toBeUndefined();
    expect((await manifestOf('elsewhere', '1')).layers).toHaveLength(4);
  });

  it('is a warning where it is missing, damaged, of another tool or out of reach', async () => {
    const here = context({ Dockerfile: `FROM ${host}/base:1\nRUN echo w >/w\n` });
    const ref = `${host}/damaged:cache`;
    await run(newStore(), { context: here, cacheTo: [{ type: 'registry', ref }] });
    const { digest } = configOf(await manifestOf('damaged', 'cache'));
    proxy.corrupt(new RegExp(digest));
    const outcome = await run(newStore(), {
      context: here,
      cacheFrom: [ref, `${host}/missing:cache`, `${host}/base:1`, '127.0.0.1:1/none:cache'].map((each) => ({
        type: 'registry',
        ref: each,
      })),
    });
    proxy.corrupt(undefined);
    expect(outcome.error).toBeUndefined();
    expect(outcome.ran).toEqual(['RUN echo w >/w']);
    expect(outcome.warnings).toHaveLength(4);
    expect(outcome.warnings.every((each) => each.startsWith('Cannot import the cache'))).toBe(true);
  });

  it('fails the build where it cannot be written, unless errors are ignored', async () => {
    const here = context({ Dockerfile: `FROM ${host}/base:1\nRUN echo x >/x\n` });
    const store = newStore();
    const ref = '127.0.0.1:1/none:cache';
    const failed = await run(store, { context: here, cacheTo: [{ type: 'registry', ref }] });
    expect(failed.error).toMatchObject({ code: 'REGISTRY_UNREACHABLE' });
    const ignored = await run(store, {
      context: here,
      cacheTo: [{ type: 'registry', ref, ignoreError: true }],
    });
    expect(ignored.error).toBeUndefined();
    expect(ignored.warnings).toEqual([expect.stringContaining(`Cannot export the cache "${ref}"`)]);
  });

  it('holds what the finished steps of a failed build made, with on-failure', async () => {
    const here = context({ Dockerfile: `FROM ${host}/base:1\nRUN echo slow >/slow\nRUN false\n` });
    const ref = `${host}/failed:cache`;
    const unreachable = { type: 'registry', ref: '127.0.0.1:1/none:cache', onFailure: true } as const;
    const failed = await run(newStore(), {
      context: here,
      cacheTo: [{ type: 'registry', ref, onFailure: true }, unreachable],
    });
    expect(failed.error).toMatchObject({ code: 'RUN_EXIT_NONZERO' });
    expect(failed.warnings).toEqual([
      expect.stringContaining('Cannot export the cache of the finished steps'),
    ]);
    const fixed = context({ Dockerfile: `FROM ${host}/base:1\nRUN echo slow >/slow\nRUN true\n` });
    const second = await run(newStore(), { context: fixed, cacheFrom: [{ type: 'registry', ref }] });
    expect(second.ran).toEqual(['RUN true']);
  });

  it('carries cache mounts, also through a build that runs nothing', async () => {
    const dockerfile = (command: string): string =>
      `FROM ${host}/base:1\nRUN --mount=type=cache,id=deps,target=/cache,mode=0700 ${command}\n`;
    const here = context({ Dockerfile: dockerfile('mkdir /cache/d; echo kept >/cache/d/file') });
    const refs = [`${host}/mounts:a`, `${host}/mounts:b`] as const;
    const first = await run(newStore(), {
      context: here,
      cacheTo: [{ type: 'registry', ref: refs[0], mounts: ['deps'] }],
    });
    expect(first.error).toBeUndefined();
    const passed = await run(newStore(), {
      context: here,
      cacheFrom: [{ type: 'registry', ref: refs[0] }],
      cacheTo: [{ type: 'registry', ref: refs[1], mounts: ['*'] }],
    });
    expect(passed).toMatchObject({ error: undefined, ran: [], warnings: [] });
    const other = context({ Dockerfile: dockerfile('cat /cache/d/file && stat -c %a /cache | grep -x 700') });
    const second = await run(newStore(), { context: other, cacheFrom: [{ type: 'registry', ref: refs[1] }] });
    expect(second.error).toBeUndefined();
    const without = await run(newStore(), { context: other });
    expect(without.error).toMatchObject({ code: 'RUN_EXIT_NONZERO' });
  });
});

describe('a cache in a directory', () => {
  it('works on another store, holds several tags, and is cleared with reset', async () => {
    const place = join(dir, 'local-cache');
    const here = context({ Dockerfile: `FROM ${host}/base:1\nRUN echo l >/l\n`, '.dockerignore': '*' });
    await run(newStore(), { context: here, cacheTo: [{ type: 'local', dest: place, compression: 'zstd' }] });
    const second = await run(newStore(), {
      context: here,
      cacheFrom: [{ type: 'local', src: place }],
      outputs: [{ type: 'store' }],
      tags: ['local'],
    });
    expect(second).toMatchObject({ error: undefined, ran: [], warnings: [] });
    const blobs = (): string[] => readdirSync(join(place, 'blobs/sha256'));
    expect(blobs()).toHaveLength(3);
    const index = JSON.parse(readFileSync(join(place, 'index.json'), 'utf8')) as {
      manifests: { digest: string }[];
    };
    const { digest = '' } = index.manifests[0] ?? {};
    const changed = context({ Dockerfile: `FROM ${host}/base:1\nRUN echo m >/m\n` });
    const store = newStore();
    await run(store, { context: changed, cacheTo: [{ type: 'local', dest: place }] });
    expect(blobs()).toHaveLength(6);
    const pinned = await run(newStore(), {
      context: here,
      cacheFrom: [{ type: 'local', src: place, digest }],
    });
    expect(pinned.ran).toEqual([]);
    await run(store, { context: changed, cacheTo: [{ type: 'local', dest: place, reset: true }] });
    expect(blobs()).toHaveLength(3);
  });
});

describe('a cache in an image', () => {
  it('is found by the name of the image, and is not passed on to images built from it', async () => {
    const here = context({ Dockerfile: `FROM ${host}/base:1\nRUN echo i >/i\nRUN rm -f /none\nLABEL a=b\n` });
    const first = await run(newStore(), {
      ...push('inline:1'),
      context: here,
      cacheTo: [{ type: 'inline' }],
    });
    expect(first.error).toBeUndefined();
    const image = { cacheFrom: [{ type: 'registry', ref: `${host}/inline:1` }] } as const;
    const second = await run(newStore(), {
      ...push('inline:2'),
      ...image,
      context: here,
      cacheTo: [{ type: 'inline' }],
    });
    expect(second).toMatchObject({ error: undefined, ran: [], warnings: [] });
    expect(second.result?.digest).toBe(first.result?.digest);
    const derived = context({ Dockerfile: `FROM ${host}/inline:1\nRUN echo d >/d\n` });
    const { result } = await run(newStore(), {
      context: derived,
      outputs: [{ type: 'store' }],
      tags: ['derived'],
    });
    expect(Object.keys(first.result?.config ?? {}).filter((key) => key.startsWith('ocibuild'))).toHaveLength(
      1,
    );
    expect(Object.keys(result?.config ?? {}).filter((key) => key.startsWith('ocibuild'))).toEqual([]);
  });
});

interface Document {
  readonly mediaType: string;
  readonly layers: readonly { readonly digest: string }[];
  readonly config?: { readonly digest: string; readonly size: number };
}

async function manifestOf(repository: string, tag: string): Promise<Document> {
  const accept = [
    'application/vnd.oci.image.manifest.v1+json',
    'application/vnd.oci.image.index.v1+json',
    'application/vnd.docker.distribution.manifest.list.v2+json',
  ].join(', ');
  const answer = await fetch(`http://${registry.host}/v2/${repository}/manifests/${tag}`, {
    headers: { accept },
  });
  return (await answer.json()) as Document;
}

function configOf({ config }: Document): { readonly digest: string; readonly size: number } {
  if (config === undefined) throw new Error('the document has no config');
  return config;
}
