import { describe, expect, it } from 'vitest';
import type { FrontendContext } from '../../../../src/frontend/types.ts';
import { convert, dump, historyOf, image } from '../support.ts';

const ARM64 = { os: 'linux', architecture: 'arm64' };

/** Names of the sources that a build reads. */
async function sources(
  text: string,
  changes: Partial<FrontendContext>,
  asked: string[] = [],
): Promise<string[]> {
  const result = await convert(text, changes, { base: image('base'), tool: image('tool') }, asked);
  return [...result.definition.vertices.values()].flatMap(({ op }) => {
    if (op.kind !== 'source') return [];
    const { source } = op;
    if (source.type === 'local') return [`local ${source.name}`];
    return [source.type === 'git' ? `git ${source.remote}` : source.type];
  });
}

describe('named contexts', () => {
  it('stand for a base when they are git repositories', async () => {
    const remoteContexts = { src: { type: 'git', remote: 'https://x.org/a.git', ref: 'v1' } } as const;
    const result = await convert('FROM src\nENV A=1', { remoteContexts });
    const [git, copy] = dump(result);
    expect(git).toMatch(/^\[context src\] https:\/\/x\.org\/a\.git .*"ref":"v1"/);
    expect(copy).toMatch(/^\[1\/1\] FROM src .* <- \[context src\]/);
    expect(historyOf(result)).toEqual(['+ FROM src', '- ENV A=1']);
  });

  it('are used for --from when they are remote', async () => {
    const remoteContexts = { src: { type: 'git', remote: 'https://x.org/a.git' } } as const;
    expect(await sources('FROM scratch\nCOPY --from=src / /', { remoteContexts })).toEqual([
      'git https://x.org/a.git',
    ]);
  });

  it('are taken for one platform before the one for all when both are there', async () => {
    const localContexts = { tool: {}, 'tool::linux/arm64': {}, 'tool::linux/amd64': {} };
    const text =
      'FROM --platform=linux/arm64/v8 tool AS a\nFROM --platform=linux/s390x tool AS b\nFROM tool\n';
    const copies = 'COPY --from=a / /a/\nCOPY --from=b / /b/\n';
    expect((await sources(text + copies, { localContexts })).sort()).toEqual([
      'local tool',
      'local tool::linux/amd64',
      'local tool::linux/arm64',
    ]);
  });

  it('may be of another kind for one platform', async () => {
    const changes = { imageContexts: ['tool::linux/arm64'], localContexts: { tool: {} } };
    const asked: string[] = [];
    expect(await sources('FROM tool', { ...changes, targetPlatform: ARM64 }, asked)).toEqual(['image']);
    expect(asked).toEqual(['tool']);
    expect(await sources('FROM tool', changes)).toEqual(['local tool']);
  });

  it.each(['tool', 'library/tool', 'docker.io/library/tool:latest'])(
    'are found when FROM names %s',
    async (name) => {
      expect(await sources(`FROM ${name}`, { localContexts: { 'docker.io/library/tool': {} } })).toEqual([
        'local docker.io/library/tool',
      ]);
    },
  );

  it('leave a stage out when they have its name, whatever it needs', async () => {
    const text = 'FROM missing AS dep\nRUN x\nFROM scratch\nCOPY --from=0 / /\n';
    expect(await sources(text, { localContexts: { dep: {} } })).toEqual(['local dep']);
  });
});

describe('ONBUILD of a base stage', () => {
  it('brings stages, contexts and images that the consumer finds', async () => {
    const text = [
      'FROM base AS parent',
      'ONBUILD COPY --from=late /x /y',
      'ONBUILD COPY --from=ctx /x /z',
      'ONBUILD COPY --from=tool /x /t',
      'FROM scratch AS late',
      'COPY a /x',
      'FROM parent',
      '',
    ].join('\n');
    const asked: string[] = [];
    const found = await sources(text, { localContexts: { ctx: {} } }, asked);
    expect(found.sort()).toEqual(['image', 'local context', 'local ctx']);
    expect(asked.sort()).toEqual(['base', 'tool']);
  });
});
