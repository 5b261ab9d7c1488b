import { describe, expect, it } from 'vitest';
import type { MainContext } from '../../../../src/build/inputs/main-context.ts';
import { normaliseOptions } from '../../../../src/build/normalise.ts';
import type { BuildOptions } from '../../../../src/build/options.ts';
import { type BuildRecord, createFacts } from '../../../../src/build/outputs/build-facts.ts';
import type { FrontendResult } from '../../../../src/frontend/types.ts';
import type { Digest } from '../../../../src/image/types.ts';
import { createGraph } from '../../../../src/llb/definition.ts';
import type { GitSource, HttpSource, SourceOp } from '../../../../src/llb/ops.ts';

const digest = (letter: string): Digest => `sha256:${letter.repeat(64)}`;
const commit = 'c'.repeat(40);
const platform = { os: 'linux', architecture: 'amd64' };
const file = { name: 'Dockerfile', text: 'FROM a' };

interface Given {
  readonly options?: Partial<BuildOptions>;
  readonly source?: MainContext['source'];
  readonly locked?: BuildRecord['locked'];
}

/** Facts of an image over `sources`; the registry knows `app:v1` as an index. */
function factsOf(sources: readonly SourceOp['source'][], { options, source, locked }: Given = {}) {
  const graph = createGraph();
  const inputs = sources.map((one) =>
    graph.add({ kind: 'source', source: one }, [], {
      name: 'source',
      ...(one.type === 'image' ? { ingredients: { image: `docker.io/library/app:v1@${one.manifest}` } } : {}),
      source: { file: { name: 'lib/Dockerfile', text: 'FROM b' }, ranges: [] },
    }),
  );
  const target = graph.add({ kind: 'merge' }, inputs, { name: 'all' });
  const asked: string[] = [];
  const facts = createFacts({
    options: normaliseOptions({ context: '/nowhere', env: { BUILDX_GIT_INFO: '0' }, ...options }),
    main: { files: { dockerfile: file } as MainContext['files'], source, contextDir: '/nowhere' },
    images: { lockable: () => new Map([['docker.io/library/app:v1', { digest: digest('f') }]]) },
    remote: {
      downloads: {
        fetch: async ({ url }: HttpSource) => {
          asked.push(url);
          return { digest: digest('d') };
        },
      },
      git: {
        resolve: async ({ ref }: GitSource) => {
          asked.push(`git ${ref}`);
          return { commit, ref: undefined };
        },
      },
    } as unknown as BuildRecord['remote'],
    locked,
    startedMs: 1,
    signal: new AbortController().signal,
  });
  const front = { definition: graph.definition(), target } as FrontendResult;
  return { asked, facts: facts({ planned: { platform, front }, stage: 'app' }, []) };
}

const http: HttpSource = {
  type: 'http',
  url: 'https://me:secret@h/x?token=hidden',
  filename: 'x',
  mode: 0o600,
};
const git: GitSource = { type: 'git', remote: 'https://me:secret@h/r.git', ref: 'main' };

describe('createFacts()', () => {
  it('names images by what they were asked for, downloads and repositories by their content', async () => {
    const image = { type: 'image', manifest: digest('a'), diffIds: [digest('1')], platform } as const;
    const pinned = { ...http, url: 'https://h/y', checksum: `sha512:${'e'.repeat(128)}` };
    const { asked, facts } = factsOf([
      image,
      http,
      pinned,
      git,
      { type: 'local', name: 'context', ignore: [] },
    ]);
    expect((await facts).dependencies).toEqual([
      { uri: 'pkg:docker/app@v1?platform=linux%2Famd64', digest: { sha256: 'f'.repeat(64) } },
      { uri: 'https://***@h/x?token=***', digest: { sha256: 'd'.repeat(64) } },
      { uri: 'https://h/y', digest: { sha512: 'e'.repeat(128) } },
      { uri: 'https://h/r.git#main', digest: { sha1: commit } },
    ]);
    expect(asked).toEqual([http.url, 'git main']);
    expect((await facts).sources.map(({ name }) => name)).toEqual(['Dockerfile', 'lib/Dockerfile']);
  });

  it('takes refs from the lock file', async () => {
    const lock = { images: {}, urls: {}, git: { 'https://h/r.git#main': 'b'.repeat(40) } };
    const { asked, facts } = factsOf([{ ...git, remote: 'https://h/r.git' }], {
      locked: { file: 'Dockerfile.lock', lock },
    });
    expect((await facts).dependencies).toEqual([{ uri: 'https://h/r.git#main', digest: { sha1: commit } }]);
    expect(asked).toEqual([`git ${'b'.repeat(40)}`]);
  });

  it('says where the Dockerfile came from, and lists no directories of a context from elsewhere', async () => {
    const { config, locals } = await factsOf([], { source: git }).facts;
    expect(config).toEqual({ uri: 'https://h/r.git#main', digest: { sha1: commit }, path: 'Dockerfile' });
    expect(locals).toEqual([]);
    const local = await factsOf([], { options: { buildContexts: { lib: '../lib' } } }).facts;
    expect(local.config).toEqual({ path: 'Dockerfile' });
    expect(local.locals).toEqual(['context', 'dockerfile', 'lib']);
  });

  it('names options as frontends do', async () => {
    const { args } = await factsOf([], {
      options: {
        buildArgs: { A: '1' },
        labels: { l: 'v' },
        buildContexts: { lib: '../lib', base: 'docker-image://x' },
        platform: 'linux/arm64',
        network: 'none',
        noCache: true,
        addHosts: ['h:10.0.0.1'],
        env: { SOURCE_DATE_EPOCH: '5', BUILDX_GIT_INFO: '0' },
      },
    }).facts;
    expect(args).toEqual({
      'build-arg:A': '1',
      'build-arg:SOURCE_DATE_EPOCH': '5',
      'label:l': 'v',
      'context:lib': 'local:lib',
      'context:base': 'docker-image://x',
      'force-network-mode': 'none',
      'add-hosts': 'h:10.0.0.1',
      'no-cache': '',
      target: 'app',
    });
  });
});
