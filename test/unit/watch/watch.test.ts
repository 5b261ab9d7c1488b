import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { isOcibuildError } from '../../../src/errors/error.ts';
import type { WatchCycle } from '../../../src/watch/types.ts';
import { watch } from '../../../src/watch/watch.ts';

describe('watch()', () => {
  it('gives each build until the loop ends', async () => {
    const top = mkdtempSync(join(tmpdir(), 'ocibuild-watch-'));
    onTestFinished(() => rmSync(top, { recursive: true, force: true }));
    const context = join(top, 'context');
    mkdirSync(context);
    writeFileSync(join(context, 'Dockerfile'), 'FROM scratch\nCOPY a /\n');
    writeFileSync(join(context, 'a'), '1');
    const digests: (string | undefined)[] = [];
    for await (const { number, changed, result, rebuilt } of watch({
      context,
      root: join(top, 'store'),
      env: {},
    })) {
      digests.push(result?.digest);
      if (number === 1) writeFileSync(join(context, 'a'), '2');
      else {
        expect(changed).toEqual([join(context, 'a')]);
        expect(rebuilt).toEqual(['[1/1] COPY a /']);
        break;
      }
    }
    expect(new Set(digests).size).toBe(2);
    expect(digests).not.toContain(undefined);
  });

  it('goes on when the directory behind a linked context is gone for a while', async () => {
    const top = mkdtempSync(join(tmpdir(), 'ocibuild-watch-'));
    onTestFinished(() => rmSync(top, { recursive: true, force: true }));
    const real = join(top, 'real/context');
    const fill = (text: string): void => {
      mkdirSync(real, { recursive: true });
      writeFileSync(join(real, 'a'), text);
    };
    fill('1');
    mkdirSync(join(top, 'links'));
    const context = join(top, 'links/context');
    symlinkSync(real, context);
    const rounds = watch({
      ...{ context, dockerfileText: 'FROM scratch\nCOPY a /\n', root: join(top, 'store'), env: {} },
    })[Symbol.asyncIterator]();
    const next = async (): Promise<WatchCycle> => (await rounds.next()).value as WatchCycle;
    const { result: first } = await next();
    rmSync(join(top, 'real'), { recursive: true });
    let round: WatchCycle;
    // The file may be seen to go before the directory.
    do round = await next();
    while (!isOcibuildError(round.error) || round.error.code !== 'CONTEXT_NOT_FOUND');
    fill('2');
    do round = await next();
    while (round.error !== undefined);
    expect(round.result?.digest).not.toBe(first?.digest);
  });

  it('ends every loop when it is closed, as often as that is', async () => {
    const top = mkdtempSync(join(tmpdir(), 'ocibuild-watch-'));
    onTestFinished(() => rmSync(top, { recursive: true, force: true }));
    writeFileSync(join(top, 'Dockerfile'), 'FROM scratch\nLABEL a=b\n');
    const cycles = watch({ context: top, root: join(top, 'store'), env: {} });
    const [one, two] = [cycles[Symbol.asyncIterator](), cycles[Symbol.asyncIterator]()];
    const both = [one.next(), two.next()];
    expect((await Promise.race(both)).value).toMatchObject({ number: 1 });
    await Promise.all([cycles.close(), cycles.close()]);
    expect((await Promise.all(both)).map(({ done }) => done)).toContain(true);
    expect(await one.next()).toEqual({ done: true, value: undefined });
  });

  it('ends, and throws from the loop, when onEvent throws', async () => {
    const top = mkdtempSync(join(tmpdir(), 'ocibuild-watch-'));
    onTestFinished(() => rmSync(top, { recursive: true, force: true }));
    writeFileSync(join(top, 'Dockerfile'), 'FROM scratch\nLABEL a=b\n');
    const mine = new RangeError('mine');
    const onEvent = (): void => {
      throw mine;
    };
    const cycles = watch({ context: top, root: join(top, 'store'), env: {}, onEvent });
    await expect(cycles[Symbol.asyncIterator]().next()).rejects.toBe(mine);
  });

  it('throws from the loop when nothing can be watched', async () => {
    const cycles = watch({ context: 'https://example.com/a.git', env: {} });
    await expect(cycles[Symbol.asyncIterator]().next()).rejects.toMatchObject({ code: 'USAGE_INVALID' });
  });
});
