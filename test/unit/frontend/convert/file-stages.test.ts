import { posix } from 'node:path';
import { describe, expect, it } from 'vitest';
import { isOcibuildError, OcibuildError } from '../../../../src/errors/error.ts';
import type { SourceFile } from '../../../../src/errors/source.ts';
import { convertDockerfile } from '../../../../src/frontend/convert/convert.ts';
import type { FrontendContext } from '../../../../src/frontend/types.ts';
import { digest, dump, historyOf, image, makeContext } from '../support.ts';

const ON = '# syntax=ocibuild\n';

/** A context that knows `files` beside the Dockerfile. */
function contextOf(
  text: string,
  files: Readonly<Record<string, string>>,
  changes: Partial<FrontendContext> = {},
): { context: FrontendContext; asked: string[] } {
  const asked: string[] = [];
  const tool = { ...image('tool', { Env: ['PATH=/tool', 'T=1'] }), manifest: digest('c') };
  const images = { base: image('base'), tool };
  const plain = makeContext(text, changes, images, asked);
  const known = new Map<string, SourceFile>([['Dockerfile', plain.dockerfile]]);
  const readDockerfile = (path: string, from: SourceFile): SourceFile => {
    const name = posix.join(posix.dirname(from.name), path);
    const file = known.get(name) ?? { name, text: files[name] ?? '' };
    if (file.text === '') throw new OcibuildError('DOCKERFILE_NOT_FOUND', `Cannot find "${name}"`);
    known.set(name, file);
    return file;
  };
  return { context: { ...plain, readDockerfile }, asked };
}

const build = (...of: Parameters<typeof contextOf>) => convertDockerfile(contextOf(...of).context);
const namesOf = async (...of: Parameters<typeof contextOf>) =>
  dump(await build(...of)).map((line) => line.replace(/ \{.*/, ''));

async function failure(...of: Parameters<typeof contextOf>): Promise<OcibuildError> {
  const error: unknown = await build(...of).catch((caught: unknown) => caught);
  if (!isOcibuildError(error)) throw new RangeError(`no error of ours: ${String(error)}`);
  return error;
}

describe('FROM file:', () => {
  it('stands on the last stage of the other file when none is named', async () => {
    const files = { 'base.Dockerfile': 'FROM base AS one\nRUN a\nFROM tool AS two\nENV X=1\nRUN b\n' };
    expect(await namesOf(`${ON}FROM file:./base.Dockerfile\nRUN c`, files)).toEqual([
      '[base.Dockerfile#two 1/2] FROM docker.io/library/tool:latest',
      '[base.Dockerfile#two 2/2] RUN b',
      '[1/1] RUN c',
    ]);
    const result = await build(`${ON}FROM file:base.Dockerfile\nRUN echo $X`, files);
    expect(result.config.config?.Env).toEqual(['PATH=/tool', 'T=1', 'X=1']);
    expect(historyOf(result)).toEqual([
      '+ base',
      '- ENV X=1',
      '+ RUN /bin/sh -c b # buildkit',
      '+ RUN /bin/sh -c echo $X # buildkit',
    ]);
    expect(result.stageNames).toEqual(['stage-0']);
  });

  it('takes a stage by name or number when one is given, and asks for its images only', async () => {
    const files = { 'b/Dockerfile': 'FROM base AS one\nFROM missing AS two\nFROM one AS three\nRUN x\n' };
    const named = contextOf(`${ON}FROM file:b/Dockerfile#Three`, files);
    await convertDockerfile(named.context);
    expect(named.asked).toEqual(['base']);
    const numbered = contextOf(`${ON}ARG N=0\nFROM file:b/Dockerfile#$N`, files);
    await convertDockerfile(numbered.context);
    expect(numbered.asked).toEqual(['base']);
  });

  it('keeps names, ARGs and the escape character of each file apart', async () => {
    const text = `${ON}ARG V=main\nFROM base AS build\nRUN main\nFROM file:other.Dockerfile#build AS next\nARG V\nRUN echo $V\nCOPY --from=build /m /`;
    const other =
      '# escape=`\nARG V=other\nFROM tool AS build\nARG V\nRUN echo $V `\n  \\d\nFROM build\nCOPY --from=0 /x /';
    const lines = await namesOf(text, { 'other.Dockerfile': other });
    expect(lines).toEqual([
      '[other.Dockerfile#build 1/2] FROM docker.io/library/tool:latest',
      '[other.Dockerfile#build 2/2] RUN echo other   \\d',
      '[next 1/2] RUN echo main',
      '[build 1/2] FROM docker.io/library/base:latest',
      '[build 2/2] RUN main',
      '[next 2/2] COPY --from=build /m /',
    ]);
    expect(await namesOf(`${ON}FROM file:other.Dockerfile`, { 'other.Dockerfile': other })).toContain(
      '[other.Dockerfile#stage-1 1/1] COPY --from=0 /x /',
    );
  });

  it('counts arguments of the other file as consumed when they are given', async () => {
    const files = { f: 'ARG TAG=1\nARG NEVER\nFROM base AS x\nFROM base\nARG OTHER\n' };
    const changes = { buildArgs: { NEVER: '1', OTHER: '2', NOPE: '3' } };
    const { warnings } = await build(`${ON}FROM file:f`, files, changes);
    expect(warnings.map(({ message }) => message)).toEqual([
      'One or more build-args [NOPE] were not consumed',
    ]);
  });

  it('copies from a stage of another file', async () => {
    const files = {
      'tools/Dockerfile': `${ON}FROM file:more#t\nRUN build`,
      'tools/more': 'FROM tool AS t\nRUN t',
    };
    const lines = await namesOf(`${ON}FROM scratch\nCOPY --from=file:tools/Dockerfile /t /`, files);
    expect(lines).toEqual([
      '[tools/more#t 1/2] FROM docker.io/library/tool:latest',
      '[tools/more#t 2/2] RUN t',
      '[tools/Dockerfile 1/1] RUN build',
      '[1/1] COPY --from=file:tools/Dockerfile /t /',
    ]);
  });

  it('fires the triggers of a stage of another file', async () => {
    const files = { f: 'FROM base\nONBUILD RUN fired\n' };
    const lines = await namesOf(`${ON}FROM file:f AS x\nRUN after`, files);
    expect(lines).toContain('[1/2] ONBUILD RUN fired');
    expect(await namesOf(`${ON}FROM --reset=onbuild file:f AS x\nRUN after`, files)).toContain(
      '[1/1] RUN after',
    );
  });

  it('reads the Dockerfile itself as any other file, without a circle of stages', async () => {
    const files = { f: `${ON}FROM file:Dockerfile#one AS two\nRUN two` };
    expect(await namesOf(`${ON}FROM base AS one\nFROM file:f`, files)).toEqual([
      '[one 1/1] FROM docker.io/library/base:latest',
      '[f#two 1/1] RUN two',
    ]);
  });

  it('keeps from the cache what --no-cache-filter names by file and stage', async () => {
    const files = { f: 'FROM base AS one\nRUN a\nFROM one AS two\nRUN b' };
    const { definition } = await build(`${ON}FROM file:f\nRUN c`, files, { noCache: ['f#two'] });
    const ignored = [...definition.meta.values()].filter(({ ignoreCache }) => ignoreCache === true);
    expect(ignored.map(({ name }) => name)).toEqual(['[f#two 1/1] RUN b']);
  });

  it.each<[string, Record<string, string>, string, string, number, RegExp, RegExp?]>([
    [
      'FROM file:f',
      { f: 'FROM base' },
      'DOCKERFILE_UNSUPPORTED',
      'Dockerfile',
      1,
      /extension/,
      /syntax=ocibuild/,
    ],
    [`${ON}FROM file:`, {}, 'DOCKERFILE_STAGE_INVALID', 'Dockerfile', 2, /expected "file:PATH"/],
    [`${ON}FROM file:f#`, {}, 'DOCKERFILE_STAGE_INVALID', 'Dockerfile', 2, /expected "file:PATH"/],
    [`${ON}FROM base\nFROM file:f`, {}, 'DOCKERFILE_NOT_FOUND', 'Dockerfile', 3, /"f"/],
    [
      `${ON}FROM file:f#buidl`,
      { f: 'FROM base AS build' },
      'DOCKERFILE_STAGE_NOT_FOUND',
      'Dockerfile',
      2,
      /it has "build"/,
      /"build"/,
    ],
    [
      `${ON}FROM file:f#1`,
      { f: 'FROM base' },
      'DOCKERFILE_STAGE_NOT_FOUND',
      'Dockerfile',
      2,
      /numbered from 0/,
    ],
    [`${ON}FROM file:f`, { f: 'FROM base\nRUNN x' }, 'DOCKERFILE_INSTRUCTION_UNKNOWN', 'f', 2, /"RUNN"/],
    [`${ON}FROM file:f`, { f: 'FROM base\nCOPY a' }, 'DOCKERFILE_INSTRUCTION_INVALID', 'f', 2, /COPY/],
    [`${ON}FROM file:f`, { f: '# syntax=x/y\nFROM base' }, 'DOCKERFILE_UNSUPPORTED', 'f', 1, /"x\/y"/],
    [`${ON}FROM file:f`, { f: 'FROM file:g' }, 'DOCKERFILE_UNSUPPORTED', 'f', 1, /extension/],
    [`${ON}FROM file:f`, { f: 'RUN x' }, 'DOCKERFILE_STAGE_INVALID', 'f', 1, /before the first FROM/],
    [`${ON}FROM file:Dockerfile`, {}, 'DOCKERFILE_STAGE_CYCLE', 'Dockerfile', 2, /it is its own base/],
    [
      `${ON}FROM file:f AS one`,
      { f: `${ON}FROM file:Dockerfile#one AS two` },
      'DOCKERFILE_STAGE_CYCLE',
      'Dockerfile',
      2,
      /"one" \(Dockerfile:2\) → "two" \(f:2\) → "one" \(Dockerfile:2\)/,
    ],
  ])('refuses %j with %j with code, file and line', async (text, files, code, file, line, message, hint) => {
    const error = await failure(text, files);
    expect(error.message).toMatch(message);
    expect([error.code, error.source?.file.name, error.source?.ranges[0]?.start.line]).toEqual([
      code,
      file,
      line,
    ]);
    if (hint !== undefined) expect(error.hint).toMatch(hint);
  });

  it('names all places when files name one another too deeply', async () => {
    const files = Object.fromEntries(
      Array.from({ length: 20 }, (_, n) => [`f${n}`, `${ON}FROM file:f${n + 1}`]),
    );
    const error = await failure(`${ON}FROM file:f0`, files);
    expect(error.code).toBe('DOCKERFILE_STAGE_INVALID');
    expect(error.message).toMatch(/more than 16 files in a row: Dockerfile:2 → f0:2 → .* → f15:2 → f16$/);
  });

  it('is refused when the Dockerfile has no place', async () => {
    const plain = makeContext(`${ON}FROM file:f`);
    await expect(convertDockerfile(plain)).rejects.toMatchObject({ code: 'DOCKERFILE_UNSUPPORTED' });
  });
});
