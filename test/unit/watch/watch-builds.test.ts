import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { BuildResult } from '../../../src/build/options.ts';
import type { BuildSession, SessionBuildOptions } from '../../../src/build/session/types.ts';
import { OcibuildError } from '../../../src/errors/error.ts';
import type { FileWatcherEvents } from '../../../src/watch/file-watcher.ts';
import type { WatchCycle, WatchNotice } from '../../../src/watch/types.ts';
import { watchBuilds } from '../../../src/watch/watch-builds.ts';

const RESULT = { cachedSteps: 0, totalSteps: 1, names: [] } as unknown as BuildResult;
const TREES = [{ dir: '/p', select: [''], rules: [] }];

/** A watch on builds that only wait. */
function start(build: (options: SessionBuildOptions, number: number) => Promise<BuildResult>) {
  const ending = new AbortController();
  const cycles: WatchCycle[] = [];
  const notices: WatchNotice[] = [];
  const noted: (readonly string[] | undefined)[] = [];
  const missed: string[] = [];
  const settings: boolean[] = [];
  const unheard: boolean[] = [];
  let events: FileWatcherEvents | undefined;
  let builds = 0;
  let rests = 0;
  const session: BuildSession = {
    async build(options) {
      builds++;
      options.onInputs?.(session.inputs());
      return build(options, builds);
    },
    note: (paths) => void noted.push(paths === undefined ? undefined : [...paths]),
    inputs: () => ({ files: ['/p/Dockerfile'], trees: TREES }),
    differences: () => missed.splice(0),
    use: async () => undefined,
    saw: (path) => !path.endsWith('~'),
    async [Symbol.asyncDispose]() {},
  };
  const run = watchBuilds(session, {
    signal: ending.signal,
    onBuild: async () => () => undefined,
    async onEnd(cycle) {
      if (cycle !== undefined) cycles.push(cycle);
    },
    onNotice: (notice) => void notices.push(notice),
    onRest: () => void rests++,
    settings: {
      path: '/c/config.json',
      differs: () => unheard.pop() ?? false,
      apply: async () => settings.pop() ?? false,
    },
    openWatcher(_plan, given) {
      events = given;
      return { ready: Promise.resolve(), close: async () => undefined };
    },
  });
  onTestFinished(async () => {
    ending.abort();
    await run.catch(() => undefined);
  });
  const until = async (isSo: () => boolean): Promise<void> => {
    while (!isSo()) await sleep(5);
  };
  return {
    ...{ cycles, notices, noted, missed, settings, unheard, until, ending, run },
    change: (path: string) => events?.onChange(path),
    fail: (error: Error) => events?.onError(error),
    overflow: () => events?.onOverflow(),
    builds: () => builds,
    rests: () => rests,
  };
}

/** As a build that stops when it is told to. */
function untilAborted(signal: AbortSignal): Promise<BuildResult> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(new OcibuildError('CANCELLED', 'Cannot finish')));
  });
}

describe('watchBuilds()', () => {
  it('builds again when something has changed, and tells what', async () => {
    const watch = start(async () => RESULT);
    await watch.until(() => watch.cycles.length === 1);
    watch.change('/p/a');
    watch.change('/p/b');
    await watch.until(() => watch.cycles.length === 2);
    expect(watch.cycles[1]).toMatchObject({ number: 2, changed: ['/p/a', '/p/b'], result: RESULT });
    expect(watch.noted).toEqual([['/p/a', '/p/b']]);
  });

  it('tells of the wait behind a build once when nothing changes', async () => {
    const watch = start(async () => RESULT);
    await watch.until(() => watch.rests() === 1);
    watch.change('/p/a');
    await watch.until(() => watch.cycles.length === 2);
    expect(watch.rests()).toBe(1);
    await watch.until(() => watch.rests() === 2);
  });

  it('gives up a stale build, and finishes one after three', async () => {
    const watch = start(({ signal }, number) =>
      number <= 3 ? untilAborted(signal) : sleep(150).then(() => RESULT),
    );
    for (let i = 1; i <= 3; i++) {
      await watch.until(() => watch.builds() === i);
      watch.change(`/p/${i}`);
    }
    await watch.until(() => watch.builds() === 4);
    watch.change('/p/4');
    await watch.until(() => watch.cycles.length === 1);
    expect(watch.cycles[0]?.changed).toEqual(['/p/1', '/p/2', '/p/3']);
    await watch.until(() => watch.cycles.length === 2);
    expect(watch.cycles[1]?.changed).toEqual(['/p/4']);
    expect(watch.notices.filter(({ kind }) => kind === 'stale')).toHaveLength(3);
  });

  it('gives up a build when something was saved before it was listened to', async () => {
    const watch = start(({ signal }, number) =>
      number === 1 ? untilAborted(signal) : Promise.resolve(RESULT),
    );
    watch.missed.push('/p/Dockerfile');
    await watch.until(() => watch.cycles.length === 1);
    expect(watch.builds()).toBe(2);
    expect(watch.cycles[0]?.changed).toEqual(['/p/Dockerfile']);
  });

  it('does not build for a file that only stood there for a moment', async () => {
    const watch = start(async () => RESULT);
    await watch.until(() => watch.cycles.length === 1);
    watch.change('/p/a~');
    await watch.until(() => watch.noted.length === 1);
    watch.change('/p/a~');
    watch.change('/p/a');
    await watch.until(() => watch.cycles.length === 2);
    expect(watch.cycles[1]?.changed).toEqual(['/p/a']);
  });

  it('builds for the file of its options only when that gave other options', async () => {
    const watch = start(async () => RESULT);
    await watch.until(() => watch.cycles.length === 1);
    watch.settings.push(true, false);
    watch.change('/c/config.json');
    await watch.until(() => watch.settings.length === 1);
    watch.change('/p/a');
    await watch.until(() => watch.cycles.length === 2);
    expect(watch.cycles[1]?.changed).toEqual(['/p/a']);
    watch.change('/c/config.json');
    await watch.until(() => watch.cycles.length === 3);
    expect(watch.cycles[2]?.changed).toEqual(['/c/config.json']);
  });

  it('finds that the file of its options has changed when that was not heard', async () => {
    const watch = start(async () => RESULT);
    watch.settings.push(true);
    watch.unheard.push(true);
    await watch.until(() => watch.cycles.length === 2);
    expect(watch.cycles[1]?.changed).toEqual(['/c/config.json']);
  });

  it('starts a build anew with the options that its file says by then', async () => {
    const watch = start(async ({ signal }, number) => {
      if (number === 1) await new Promise((_, reject) => signal.addEventListener('abort', reject));
      return RESULT;
    });
    await watch.until(() => watch.builds() === 1);
    watch.settings.push(true);
    watch.change('/c/config.json');
    await watch.until(() => watch.cycles.length === 1);
    expect(watch.settings).toEqual([]);
    expect(watch.cycles[0]?.changed).toEqual(['/c/config.json']);
  });

  it('tries again when a file was written while it was read, but not for ever', async () => {
    const torn = new OcibuildError('CONTEXT_CHANGED', 'Cannot use');
    const watch = start(async () => {
      throw torn;
    });
    await watch.until(() => watch.cycles.length === 1);
    expect(watch.builds()).toBe(7);
    expect(watch.cycles[0]?.error).toBe(torn);
  });

  it('goes on when a build fails, but not when the first has nothing to read', async () => {
    const failure = new OcibuildError('DOCKERFILE_SYNTAX', 'Cannot read');
    const watch = start(async (_, number) => {
      if (number === 1) throw failure;
      return RESULT;
    });
    await watch.until(() => watch.cycles.length === 1);
    expect(watch.cycles[0]?.error).toBe(failure);
    watch.change('/p/Dockerfile');
    await watch.until(() => watch.cycles.length === 2);
    const none = start(async () => {
      throw new OcibuildError('CONTEXT_NOT_FOUND', 'Cannot use');
    });
    await expect(none.run).rejects.toMatchObject({ code: 'CONTEXT_NOT_FOUND' });
  });

  it('finds what was not heard', async () => {
    const watch = start(async () => RESULT);
    await watch.until(() => watch.cycles.length === 1);
    watch.missed.push('/p/unheard');
    await watch.until(() => watch.cycles.length === 2);
    expect(watch.cycles[1]?.changed).toEqual(['/p/unheard']);
    expect(watch.noted).toContain(undefined);
  });

  it('finds what was lost at rest when more happened at once than the system keeps', async () => {
    const watch = start(async () => RESULT);
    await watch.until(() => watch.rests() === 1);
    watch.missed.push('/p/lost');
    watch.overflow();
    await watch.until(() => watch.cycles.length === 2);
    expect(watch.cycles[1]?.changed).toEqual(['/p/lost']);
  });

  it('finds what was not heard after a build that failed', async () => {
    const watch = start(async (_, number) => {
      if (number === 1) throw new OcibuildError('DOCKERFILE_SYNTAX', 'Cannot read');
      return RESULT;
    });
    await watch.until(() => watch.cycles.length === 1);
    watch.missed.push('/p/unheard');
    await watch.until(() => watch.cycles.length === 2);
    expect(watch.cycles[1]?.changed).toEqual(['/p/unheard']);
  });

  it('looks for changes every now and then when it cannot listen', async () => {
    const watch = start(async () => RESULT);
    await watch.until(() => watch.cycles.length === 1);
    watch.fail(Object.assign(new Error('no space'), { code: 'ENOSPC' }));
    watch.fail(new Error('once more'));
    expect(watch.notices.filter(({ kind }) => kind === 'polling')).toHaveLength(1);
    await sleep(900);
    watch.missed.push('/p/a');
    await watch.until(() => watch.cycles.length === 2);
  });
});
