import { chmodSync, existsSync, lstatSync, readdirSync, readFileSync, statSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { build } from '../../../src/build/build.ts';
import { check, outline, targets } from '../../../src/build/describe.ts';
import type { BuildOptions } from '../../../src/build/options.ts';
import type { ProgressEvent } from '../../../src/solver/types.ts';
import { optionsFor, tempDir } from './fixture.ts';

const FAULTY = 'FROM scratch as a\nENV b c\nMAINTAINER me\nLABEL x=$NOPE\n';

function inDir(files: Record<string, string>, more: Partial<BuildOptions> = {}) {
  const context = tempDir(files);
  return { context, root: join(tempDir(), 'store'), env: {}, ...more };
}

describe('check()', () => {
  it('makes no store, and leaves the context as it is', async () => {
    const options = inDir({ Dockerfile: FAULTY });
    const { warnings, error, fixed } = await check(options);
    expect([warnings.length, error, fixed]).toEqual([4, undefined, 0]);
    expect(existsSync(options.root)).toBe(false);
    expect(readdirSync(options.context)).toEqual(['Dockerfile']);
  });

  it('rewrites the Dockerfile with fix, and changes nothing the second time', async () => {
    const options = inDir({ Dockerfile: FAULTY });
    const file = join(options.context, 'Dockerfile');
    chmodSync(file, 0o640);
    const { warnings, fixed } = await check({ ...options, fix: true });
    expect([warnings.map(({ rule }) => rule), fixed]).toEqual([['UndefinedVar'], 3]);
    const after = 'FROM scratch AS a\nENV b=c\nLABEL org.opencontainers.image.authors="me"\nLABEL x=$NOPE\n';
    expect(readFileSync(file, 'utf8')).toBe(after);
    expect(statSync(file).mode & 0o777).toBe(0o640);
    const { ino } = statSync(file);
    expect(await check({ ...options, fix: true })).toMatchObject({ fixed: 0 });
    expect(statSync(file).ino).toBe(ino);
    expect(readdirSync(options.context)).toEqual(['Dockerfile']);
  });

  it('fixes the file that a link leads to, and keeps the link', async () => {
    const options = inDir({ 'real/Dockerfile': 'FROM scratch\nENV b c\n' });
    symlinkSync('real/Dockerfile', join(options.context, 'Dockerfile'));
    await check({ ...options, fix: true });
    expect(lstatSync(join(options.context, 'Dockerfile')).isSymbolicLink()).toBe(true);
    expect(readFileSync(join(options.context, 'real/Dockerfile'), 'utf8')).toBe('FROM scratch\nENV b=c\n');
  });

  it('refuses to fix a text that is no file', async () => {
    const options = inDir({}, { dockerfileText: FAULTY });
    await expect(check({ ...options, fix: true })).rejects.toMatchObject({ code: 'USAGE_INVALID' });
    expect((await check(options)).warnings).toHaveLength(4);
  });

  it('reads base images of the store, and none of their layers', async () => {
    const options = optionsFor(
      { Dockerfile: 'FROM scratch\nENV FROM_BASE=1\nCOPY a /\n', a: '1' },
      { tags: ['base'] },
    );
    await build(options);
    const dockerfileText = 'FROM base\nLABEL a=$FROM_BASE b=$OTHER\n';
    const { warnings, error } = await check({ ...options, tags: [], dockerfileText, pull: 'never' });
    expect([warnings.map(({ message }) => message), error]).toEqual([
      ["Usage of undefined variable '$OTHER'"],
      undefined,
    ]);
  });

  it('looks at the first platform only', async () => {
    const options = inDir(
      { Dockerfile: 'FROM scratch\nLABEL a=$X\n' },
      { platform: 'linux/amd64,linux/arm64' },
    );
    expect((await check(options)).warnings).toHaveLength(1);
  });
});

describe('check() of several targets', () => {
  it('looks at the stages of each, at shared ones once', async () => {
    const text =
      'FROM scratch AS a\nENV b c\nFROM a AS x\nENV d e\nFROM a AS y\nENV f g\nFROM a AS z\nENV h i\n';
    const options = inDir({ Dockerfile: text }, { targets: ['x', 'y'] });
    expect((await check(options)).warnings.map(({ range }) => range.start.line).sort()).toEqual([2, 4, 6]);
    await expect(outline(options)).rejects.toMatchObject({ code: 'USAGE_INVALID' });
  });
});

describe('outline() and targets()', () => {
  it('targets() rejects when an instruction belongs to no stage, and gives none when there are only ARGs', async () => {
    const rejected = targets(inDir({ Dockerfile: 'ARG A\nRUN true\nFROM scratch\n' }));
    await expect(rejected).rejects.toMatchObject({ code: 'DOCKERFILE_STAGE_INVALID' });
    expect((await targets(inDir({ Dockerfile: 'ARG A\n' }))).targets).toEqual([]);
  });

  it('need no base image', async () => {
    const options = inDir({ Dockerfile: 'FROM nowhere.invalid/x AS a\nARG B=1\n' }, { pull: 'never' });
    expect(await outline(options)).toMatchObject({ name: 'a', args: [{ name: 'B', value: '1' }] });
    expect((await targets(options)).targets).toMatchObject([{ name: 'a', isDefault: true }]);
  });

  it('outline() fails as a build would when the target is not there', async () => {
    const options = inDir({ Dockerfile: 'FROM scratch AS a\n' }, { target: 'b' });
    await expect(outline(options)).rejects.toMatchObject({ code: 'DOCKERFILE_STAGE_NOT_FOUND' });
  });
});

describe('build()', () => {
  const warningsOf = async (text: string, more: Partial<BuildOptions> = {}) => {
    const messages: string[] = [];
    const onEvent = (event: ProgressEvent) => {
      if (event.kind === 'warning') messages.push(`${event.message} ${event.url}`);
    };
    const error = await build(
      optionsFor({ Dockerfile: text }, { ...more, onEvent, outputs: [{ type: 'cacheonly' }] }),
    ).result.then(
      () => undefined,
      (reason: { code: string }) => reason.code,
    );
    return { messages, error };
  };
  const legacy =
    'LegacyKeyValueFormat: "ENV key=value" should be used instead of legacy "ENV key value" format (line 2) docs/lint/LegacyKeyValueFormat.md';

  it('warns with rule, line and page, once for all platforms', async () => {
    const platform = 'linux/amd64,linux/arm64';
    expect(await warningsOf('FROM scratch\nENV a b\n', { platform })).toEqual({
      messages: [legacy],
      error: undefined,
    });
  });

  it('warns before it fails', async () => {
    expect(await warningsOf('FROM scratch\nENV a b\nCOPY --chmod=x a b\n')).toEqual({
      messages: [legacy],
      error: 'DOCKERFILE_FLAG_INVALID',
    });
    expect((await warningsOf('FROM scratch\nENV a b\nCOPY nope /\n')).messages).toEqual([legacy]);
  });

  it('fails for its findings when the file asks for that', async () => {
    const { messages, error } = await warningsOf('# check=error=true\nFROM scratch\nENV a b\n');
    expect([messages.length, error]).toEqual([1, 'CHECK_FAILED']);
  });
});
