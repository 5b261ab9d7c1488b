import { describe, expect, it } from 'vitest';
import type { OcibuildError } from '../../../../src/errors/error.ts';
import { findEpochSource } from '../../../../src/frontend/convert/epoch.ts';
import type { EpochSource, FrontendContext } from '../../../../src/frontend/types.ts';
import type { GitSource, HttpSource } from '../../../../src/llb/ops.ts';
import { convert, historyOf, makeContext } from '../support.ts';

const GIT: GitSource = { type: 'git', remote: 'https://x.org/a.git' };
const HTTP: HttpSource = { type: 'http', url: 'https://x.org/a.tar', filename: 'a.tar', mode: 0o600 };

function find(name: string, text: string, changes: Partial<FrontendContext> = {}): Promise<EpochSource> {
  return findEpochSource(makeContext(text, changes), name);
}

async function failure(...args: Parameters<typeof find>): Promise<string> {
  const error = await find(...args).then(
    () => undefined,
    (reason: OcibuildError) => reason,
  );
  return `${error?.code} ${error?.hint}`;
}

describe('findEpochSource()', () => {
  it('leaves the main context to the caller when the name is "context"', async () => {
    expect(await find('context', 'FROM scratch')).toEqual({ kind: 'context' });
  });

  it('finds named contexts when they are remote or directories', async () => {
    const contexts = { remoteContexts: { src: GIT, tar: HTTP }, localContexts: { dir: {} } };
    expect(await find('src', 'FROM scratch', contexts)).toEqual({ kind: 'remote', source: GIT });
    expect(await find('tar', 'FROM scratch', contexts)).toEqual({ kind: 'remote', source: HTTP });
    expect(await find('dir', 'FROM scratch', contexts)).toEqual({ kind: 'local' });
  });

  it('finds the one download of a stage when the stage is nothing else', async () => {
    const text = 'ARG V=1\nFROM scratch AS Src\nARG V\nADD https://x.org/v$V.tar /\nFROM base\nRUN a';
    expect(await find('src', text)).toMatchObject({
      kind: 'remote',
      source: { type: 'http', url: 'https://x.org/v1.tar' },
    });
  });

  it.each([
    ['s', 'FROM scratch AS s\nCOPY a /'],
    ['s', 'FROM base AS s\nADD https://x.org/a /'],
    ['s', 'FROM scratch AS s\nADD https://x.org/a /\nADD https://x.org/b /'],
    ['s', 'FROM scratch AS s\nLABEL a=b'],
  ])('refuses stage %s when the file is %j', async (name, text) => {
    expect(await failure(name, text)).toMatch(/^DOCKERFILE_STAGE_INVALID .*single ADD/);
  });

  it('suggests a stage when nothing has the name', async () => {
    expect(await failure('scr', 'FROM scratch AS src')).toBe('USAGE_INVALID did you mean "src"?');
    expect(await failure('img', 'FROM scratch', { imageContexts: ['img'] })).toMatch(/^USAGE_INVALID/);
  });
});

describe('SOURCE_DATE_EPOCH as an argument', () => {
  const text = 'FROM base\nARG SOURCE_DATE_EPOCH';

  it.each<[string, Partial<FrontendContext>, string]>([
    ['a number is given', { buildArgs: { SOURCE_DATE_EPOCH: '7' } }, '=7'],
    ['a name is given and known', { buildArgs: { SOURCE_DATE_EPOCH: 'src' }, sourceDateEpoch: 5 }, '=5'],
    ['a name is given that has no time', { buildArgs: { SOURCE_DATE_EPOCH: 'context' } }, ''],
    ['the environment has one', { sourceDateEpoch: 9 }, '=9'],
  ])('has the seconds when %s', async (_when, changes, shown) => {
    expect(historyOf(await convert(text, changes)).at(-1)).toBe(`- ARG SOURCE_DATE_EPOCH${shown}`);
  });
});
