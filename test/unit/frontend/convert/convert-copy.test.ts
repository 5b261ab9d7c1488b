import { describe, expect, it } from 'vitest';
import type { CopyAction, FileOp, SourceOp } from '../../../../src/llb/ops.ts';
import { convert, historyOf, image } from '../support.ts';

async function copyOf(line: string, before = '') {
  const result = await convert(`${before}FROM base\n${line}\n`);
  const vertex = result.definition.vertices.get(result.target ?? 'sha256:');
  const op = vertex?.op as FileOp;
  const sources = (vertex?.inputs ?? []).map(
    (input) => result.definition.vertices.get(input)?.op as SourceOp,
  );
  return { actions: op.actions as readonly CopyAction[], sources, history: historyOf(result).at(-1), result };
}

describe('convertDockerfile() with COPY', () => {
  it.each([
    ['a/b', { path: 'a/b', wildcard: false }],
    ['./a/../b', { path: 'b', wildcard: false }],
    ['/a/./b', { path: 'a/b', wildcard: false, pivot: 1 }],
    ['x/y/./a/./b', { path: 'x/y/a/b', wildcard: false, pivot: 2 }],
    ['/./a', { path: 'a', wildcard: false }],
    ['a*/./**/b', { path: 'a*/**/b', wildcard: true, pivot: 1 }],
  ])('keeps the path of "%s" below its pivot when parents are kept', async (source, expected) => {
    const { actions, history } = await copyOf(`COPY --parents ${source} /d/`);
    expect(actions).toEqual([expect.objectContaining({ parents: true, sources: [expected] })]);
    expect(history).toBe(`+ COPY --parents ${source} /d/ # buildkit`);
  });

  it('takes several sources to a path without a slash when parents are kept', async () => {
    const { actions } = await copyOf('COPY --parents a b /d');
    expect(actions[0]?.sources).toHaveLength(2);
  });

  it('cleans what is excluded and expands no variables in it', async () => {
    const { actions } = await copyOf('COPY --exclude=./a/ --exclude= --exclude=!b//c --exclude=$X . /d/');
    expect(actions[0]?.exclude).toEqual(['a', '!b/c', '$X']);
  });

  it('gives a symbolic mode as it is and an octal one as a number', async () => {
    expect((await copyOf('COPY --chmod=u=rwX,go-w a /d')).actions[0]?.mode).toBe('u=rwX,go-w');
    expect((await copyOf('COPY --chmod=00000644 a /d')).actions[0]?.mode).toBe(0o644);
  });

  it('asks the step for paths that may be missing when they may', async () => {
    const { actions, history } = await copyOf('COPY --if-exists a /d');
    expect(actions[0]?.ifExists).toBe(true);
    expect(history).toBe('+ COPY a /d # buildkit');
  });

  it('copies from the context when the name of the source is empty', async () => {
    const { sources } = await copyOf('COPY --from= a /d');
    expect(sources.at(-1)?.source).toMatchObject({ type: 'local', name: 'context' });
  });
});

describe('convertDockerfile() with variables in --from', () => {
  const text = (head: string, from: string) =>
    `${head}\nARG WHICH=one\nFROM base AS one\nRUN 1\nFROM gone AS two\nRUN 2\nFROM base\nARG WHICH\nENV SIDE=\${WHICH}\nCOPY --from=${from} /x /y\n`;

  it('expands what ARG and ENV say when the file asks for extensions, and asks for nothing else', async () => {
    for (const from of ['$WHICH', `\${SIDE}`, `\${UNSET:-one}`]) {
      const asked: string[] = [];
      await convert(text('# syntax=ocibuild', from), {}, { base: image('base') }, asked);
      expect(new Set(asked)).toEqual(new Set(['base']));
    }
  });

  it('follows a build argument', async () => {
    const asked: string[] = [];
    const images = { base: image('base'), gone: image('gone') };
    await convert(text('# syntax=ocibuild/x:1', '$WHICH'), { buildArgs: { WHICH: 'two' } }, images, asked);
    expect(asked).toContain('gone');
  });

  it('sees the variables of the stage below', async () => {
    const file =
      '# syntax=ocibuild\nFROM base AS src\nFROM base AS low\nARG S=src\nFROM low\nCOPY --from=$S /a /b\n';
    await expect(convert(file)).resolves.toBeDefined();
  });

  it('names the directive when the file does not ask for extensions', async () => {
    await expect(convert(text('# plain', '$WHICH'))).rejects.toMatchObject({
      code: 'DOCKERFILE_FLAG_INVALID',
      hint: expect.stringContaining('# syntax=ocibuild'),
    });
  });

  it('finds cycles behind variables', async () => {
    const file = '# syntax=ocibuild\nARG A=x\nFROM base AS x\nARG A\nCOPY --from=$A /a /b\n';
    await expect(convert(file)).rejects.toMatchObject({ code: 'DOCKERFILE_STAGE_CYCLE' });
  });
});

describe('convertDockerfile() with ADD', () => {
  it('keeps the order of paths and downloads', async () => {
    const { actions, sources, history } = await copyOf('ADD a b https://x.org/d/c.tar?q=1 e /d/');
    expect(actions.map(({ sources: each, unpack }) => [each.map(({ path }) => path), unpack])).toEqual([
      [['a', 'b'], true],
      [['c.tar'], undefined],
      [['e'], true],
    ]);
    expect(actions[0]?.from).toBe(actions[2]?.from);
    expect(sources[actions[1]?.from ?? -1]?.source).toEqual({
      type: 'http',
      url: 'https://x.org/d/c.tar?q=1',
      filename: 'c.tar',
      mode: 0o600,
    });
    expect(history).toBe('+ ADD a b https://x.org/d/c.tar?q=1 e /d/ # buildkit');
  });

  it('keeps credentials out of the history', async () => {
    const { history } = await copyOf('ADD https://me:hunter22@x.org/a?token=abcdefgh p /d/');
    expect(history).toBe('+ ADD https://***@x.org/a?token=*** p /d/ # buildkit');
  });

  it('unpacks a download when it is told to, and no path when it is told not to', async () => {
    expect((await copyOf('ADD --unpack https://x.org/a /d/')).actions[0]?.unpack).toBe(true);
    expect((await copyOf('ADD --unpack=false a /d/')).actions[0]?.unpack).toBeUndefined();
  });

  it('takes the content of a repository, with its flags', async () => {
    const line = 'ADD --keep-git-dir --checksum=$C https://x.org/r.git#v1:sub /d';
    const { actions, sources } = await copyOf(`ARG C=0123abcd\n${line}`);
    expect(actions[0]?.sources).toEqual([{ path: '', wildcard: false }]);
    expect(sources.at(-1)?.source).toEqual({
      type: 'git',
      remote: 'https://x.org/r.git',
      ref: 'v1',
      subdir: 'sub',
      checksum: '0123abcd',
      keepGitDir: true,
    });
  });

  it.each(['sha256', 'sha384', 'sha512'])('gives a download its %s', async (algorithm) => {
    const digits = { sha256: 64, sha384: 96, sha512: 128 }[algorithm] ?? 0;
    const checksum = `${algorithm}:${'a'.repeat(digits)}`;
    const { sources } = await copyOf(`ADD --checksum=${checksum} https://x.org/a /d/`);
    expect(sources.at(-1)?.source).toMatchObject({ checksum });
  });
});
