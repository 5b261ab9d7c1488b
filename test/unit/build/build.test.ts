import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { build } from '../../../src/build/build.ts';
import { OcibuildError } from '../../../src/errors/error.ts';
import type { ProgressEvent } from '../../../src/solver/types.ts';
import { optionsFor, tempDir, told } from './fixture.ts';

const FILES = { Dockerfile: 'FROM scratch\nCOPY a /a\nCOPY b /b\n', a: '1', b: '2' };

async function collect(events: AsyncIterable<ProgressEvent>): Promise<ProgressEvent[]> {
  const all: ProgressEvent[] = [];
  for await (const event of events) all.push(event);
  return all;
}

describe('build()', () => {
  it('is awaited like a promise, and gives the image', async () => {
    const options = optionsFor(FILES, { tags: ['app:v1'] });
    const job = build(options);
    const result = await job;
    expect(result).toEqual(await job.result);
    expect(result).toMatchObject({
      names: ['docker.io/library/app:v1'],
      cachedSteps: 0,
      totalSteps: 2,
      descriptor: { digest: result.digest },
    });
    expect(result.config.rootfs.diff_ids).toHaveLength(2);
    const blob = join(options.root, 'blobs', ...String(result.digest).split(':'));
    expect(JSON.parse(readFileSync(blob, 'utf8'))).toMatchObject({ config: { digest: result.configDigest } });
  });

  it('gives the same image again, from the cache, with layers that were there', async () => {
    const options = optionsFor(FILES);
    const { platforms: made = [], ...first } = await build(options);
    const { platforms: found = [], ...second } = await build(options);
    expect(second).toEqual({ ...first, cachedSteps: 2 });
    const reused = (platforms: typeof made): boolean[] =>
      platforms.flatMap(({ layers }) => layers.map((layer) => layer.reused));
    expect([reused(made), reused(found)]).toEqual([
      [false, false],
      [true, true],
    ]);
    const digests = (platforms: typeof made): string[] =>
      platforms.flatMap(({ descriptor, layers }) => [descriptor, ...layers].map(({ digest }) => digest));
    expect(digests(found)).toEqual(digests(made));
  });

  it('keeps events from the start for whoever iterates later', async () => {
    const job = build(optionsFor(FILES));
    await job;
    const events = told(await collect(job));
    expect(events[0]).toBe('started [internal] load build definition from Dockerfile');
    expect(events).toContain('completed [1/2] COPY a /a');
    expect(events.at(-1)).toBe('completed exporting to the store');
  });

  it('ends the iteration when the build is done, or has failed', async () => {
    expect((await collect(build(optionsFor(FILES)))).length).toBeGreaterThan(0);
    const failing = build(optionsFor({ Dockerfile: 'FROM scratch\nCOPY none /\n' }));
    const events = await collect(failing);
    expect(events.flatMap((event) => (event.kind === 'completed' ? [event.error?.code] : []))).toContain(
      'COPY_SOURCE_MISSING',
    );
    await expect(failing.result).rejects.toMatchObject({ code: 'COPY_SOURCE_MISSING' });
  });

  it('calls onEvent at once, and iterates what comes after', async () => {
    const seen: ProgressEvent[] = [];
    const job = build(optionsFor(FILES, { onEvent: (event) => seen.push(event) }));
    const iterated = await collect(job);
    expect(iterated.length).toBeGreaterThan(0);
    expect(seen.slice(-iterated.length)).toEqual(iterated);
  });

  it('rejects with CANCELLED when it is stopped, with the reason as its cause', async () => {
    const job = build(optionsFor(FILES));
    const reason = new Error('enough');
    job.cancel(reason);
    await expect(job.result).rejects.toMatchObject({ code: 'CANCELLED', cause: reason });
  });

  it('stops on the way, and on the signal of the caller', async () => {
    const controller = new AbortController();
    const onEvent = (event: ProgressEvent): void => {
      if (event.kind === 'started' && event.vertex.startsWith('sha256:')) controller.abort();
    };
    const options = optionsFor(FILES, { tags: ['app:v1'], signal: controller.signal, onEvent });
    await expect(build(options).result).rejects.toMatchObject({ code: 'CANCELLED', category: 'cancelled' });
    expect(readFileSync(join(options.root, 'index.json'), 'utf8')).not.toContain('app:v1');
    const stopped = { ...options, signal: AbortSignal.abort() };
    await expect(build(stopped).result).rejects.toMatchObject({ code: 'CANCELLED' });
  });

  it('rejects, and does not throw, when options are wrong', async () => {
    const job = build({ context: '.', jobs: 0 });
    await expect(job.result).rejects.toBeInstanceOf(OcibuildError);
    expect(await collect(job)).toEqual([]);
    await expect(job).rejects.toMatchObject({ code: 'USAGE_INVALID' });
  });

  it('says where in the Dockerfile it failed', async () => {
    const job = build(optionsFor({ Dockerfile: 'FROM scratch\nCOPY none /\n' }));
    await expect(job.result).rejects.toMatchObject({
      source: { file: { name: 'Dockerfile' }, ranges: [{ start: { line: 2 } }] },
    });
  });

  it('gives no digest and keeps no image when only files are wanted', async () => {
    const dest = join(tempDir(), 'out');
    const options = optionsFor(FILES, { outputs: [{ type: 'local', dest }] });
    const result = await build(options);
    expect(result.digest).toBeUndefined();
    expect(readFileSync(join(dest, 'a'), 'utf8')).toBe('1');
    expect(existsSync(join(options.root, 'tmp'))).toBe(true);
  });

  it('copies another file when only the source of COPY --from changes', async () => {
    const dest = join(tempDir(), 'out');
    const options = optionsFor(FILES, { outputs: [{ type: 'local', dest }] });
    for (const [name, content] of [
      ['a', '1'],
      ['b', '2'],
    ]) {
      const dockerfileText = `FROM scratch AS s\nCOPY . /\nFROM scratch\nCOPY --from=s /${name} /x\n`;
      await build({ ...options, dockerfileText });
      expect(readFileSync(join(dest, 'x'), 'utf8')).toBe(content);
    }
  });
});
