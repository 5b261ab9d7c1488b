import { describe, expect, it } from 'vitest';
import { createBuildGraph } from '../../../src/build/graph.ts';
import { parsePlatform } from '../../../src/image/platform.ts';
import type { Platform } from '../../../src/image/types.ts';
import { image, makeContext } from '../frontend/support.ts';

const DOCKERFILE = `FROM --platform=$BUILDPLATFORM base AS tools
RUN make tools
FROM --platform=$BUILDPLATFORM tools AS build
ARG TARGETARCH
RUN make app
FROM base AS app
COPY --from=build /app /
FROM base AS test
COPY --from=tools /tools /
RUN make test
`;

async function graphOf(platforms: readonly string[], stages: readonly (string | undefined)[]) {
  const asked: string[] = [];
  const context = makeContext(DOCKERFILE, {
    resolver: {
      async resolve(name, platform: Platform) {
        asked.push(`${name} ${platform.architecture}`);
        return image(name);
      },
    },
  });
  const graph = await createBuildGraph(
    {
      targets: stages.map((stage) => ({ stage, names: [] })),
      platforms: platforms.map(parsePlatform),
      indexed: platforms.length > 1,
    },
    context,
  );
  const names = [...graph.definition.meta.values()].map(({ name }) => name);
  return { ...graph, asked, names };
}

describe('createBuildGraph()', () => {
  it('makes one vertex of what platforms have in common, and asks for each image once', async () => {
    const { names, asked, targets, roots } = await graphOf(
      ['linux/amd64', 'linux/arm64'],
      [undefined, 'app'],
    );
    expect(names.filter((name) => name.includes('make tools'))).toEqual([
      '[linux/amd64 tools 2/2] RUN make tools',
    ]);
    expect(names.filter((name) => name.includes('make app'))).toEqual([
      '[linux/amd64 build 1/1] RUN make app',
      '[linux/amd64->arm64 build 1/1] RUN make app',
    ]);
    expect(names.filter((name) => name.includes('make test'))).toEqual([
      '[linux/amd64 test 3/3] RUN make test',
      '[linux/arm64 test 3/3] RUN make test',
    ]);
    expect(asked.sort()).toEqual(['base amd64', 'base arm64']);
    expect(targets.map(({ images }) => images.map(({ platform }) => platform.architecture))).toEqual([
      ['amd64', 'arm64'],
      ['amd64', 'arm64'],
    ]);
    expect(roots).toHaveLength(4);
  });

  it('names steps plainly for one platform', async () => {
    const { names } = await graphOf(['linux/arm64'], ['app']);
    expect(names).toContain('[app 2/2] COPY --from=build /app /');
    expect(names).toContain('[build 1/1] RUN make app');
  });

  it('fails with the fault of any target, after all conversions have ended', async () => {
    await expect(graphOf(['linux/amd64', 'linux/arm64'], ['app', 'none'])).rejects.toMatchObject({
      code: 'DOCKERFILE_STAGE_NOT_FOUND',
    });
  });
});
