import { lstatSync } from 'node:fs';
import { isInternal } from '../build/internal-steps.ts';
import type { BuildResult } from '../build/options.ts';
import type { BuildSession } from '../build/session/types.ts';
import { isOcibuildError, OcibuildError } from '../errors/error.ts';
import type { EventSink } from '../solver/types.ts';
import { type ChangeCollector, createChangeCollector } from './change-collector.ts';
import { createListener, type Listener, type ListenerOptions } from './listener.ts';
import type { WatchCycle, WatchNotice } from './types.ts';

export interface WatchHooks {
  /** Ends the watch, cleanly. */
  readonly signal: AbortSignal;
  /** A build begins; gives what takes its events. */
  onBuild(changed: readonly string[]): Promise<EventSink>;
  /** It has ended, but for one that was given up: then there is no cycle. */
  onEnd(cycle: WatchCycle | undefined): Promise<void>;
  onNotice(notice: WatchNotice): void;
  /** A build is over, and what may be a long wait begins. */
  onRest?(): void;
  /** Deals with changes that need no build, and gives those that do. */
  takeOver?(changed: readonly string[]): Promise<readonly string[]>;
  /** Directories that are watched whatever the build reads. */
  readonly more?: readonly string[];
  /** The file that the options came from. */
  readonly settings?: Settings | undefined;
  /** What the build writes, also where it reads. */
  written?(): readonly string[];
  readonly openWatcher?: ListenerOptions['open'];
}

interface Settings {
  readonly path: string;
  /** Whether it says something else than when it was read last. */
  differs(): boolean;
  /** Reads it again; tells whether the session has other options for that. */
  apply(): Promise<boolean>;
}

/** An editor writes, renames and sets times within a few ms; a checkout never pauses for so long. */
const QUIET_MS = 50;
const MAX_WAIT_MS = 1000;
/** After so many builds in a row that were given up, the next one is finished: saves may go on for ever. */
const MAX_GIVEN_UP = 3;
/** And one that read a file while it was written cannot be finished: it is tried again, a few times more. */
const MAX_TORN = 6;
/** Of more paths than these nobody reads the names. */
const MAX_LOOKED_UP = 100;
/** When what was heard is compared with what is there, after a build. */
const COMPARE_AFTER_MS = 700;
/** Where nothing can be heard: no more than a twentieth of a core. */
const POLL_MS = 1000;
const POLL_SHARE = 20;

/**
 * Builds, and builds again when what was read has changed, until the signal ends it. Events of the file system are
 * only the trigger: after each build everything is looked at once more, so what was not heard is found.
 * @throws what stops the first build before it has read anything: a wrong directory, wrong options
 */
export async function watchBuilds(session: BuildSession, hooks: WatchHooks): Promise<void> {
  const { signal } = hooks;
  const changes = createChangeCollector({ quietMs: QUIET_MS, maxWaitMs: MAX_WAIT_MS });
  const poll = { everyMs: POLL_MS };
  const listener = createListener({
    more: hooks.more ?? [],
    aside: hooks.settings === undefined ? [] : [hooks.settings.path],
    written: () => hooks.written?.() ?? [],
    ...(hooks.openWatcher === undefined ? {} : { open: hooks.openWatcher }),
    onChange: changes.add,
    onOverflow: () => parts.lookAgain(),
    onError: (error) => hooks.onNotice({ kind: 'polling', error, everyMs: poll.everyMs }),
  });
  // Nothing else holds the process while nothing can be listened to.
  const alive = setInterval(() => undefined, 2 ** 30);
  const parts: Parts = { session, hooks, changes, listener, poll, lookAgain: () => undefined };
  try {
    let changed: readonly string[] = [];
    let givenUp = 0;
    for (let number = 1; !signal.aborted; ) {
      const outcome = await buildOnce(parts, changed, givenUp);
      if (signal.aborted) {
        await hooks.onEnd(undefined);
        return;
      }
      if (outcome.isStale) {
        await hooks.onEnd(undefined);
        // A file that was torn may be ahead of its event.
        await settledOrTime(changes, signal, 2 * QUIET_MS);
        // Whatever goes on may go on for a while.
        if (changes.size > 0) await changes.settled(signal, QUIET_MS * 2 ** (givenUp + 1));
        const more = await takeChanges(parts);
        if (more.length > 0) hooks.onNotice({ kind: 'stale', changed: more });
        changed = [...new Set([...changed, ...more])];
        givenUp++;
        continue;
      }
      const { error } = outcome;
      if (number === 1 && isOcibuildError(error) && ENDS_AT_ONCE.has(error.code)) throw error;
      givenUp = 0;
      await hooks.onEnd({ number: number++, changed, ...outcome });
      listener.follow(session.inputs());
      changed = await nextChanges(parts, error !== undefined);
    }
  } finally {
    clearInterval(alive);
    await listener.close();
  }
}

/** A wait for a save would not help. */
const ENDS_AT_ONCE: ReadonlySet<string> = new Set([
  'CONTEXT_NOT_FOUND',
  'USAGE_INVALID',
  'USAGE_UNSUPPORTED',
  'STORE_INVALID',
  'STORE_NOT_WRITABLE',
  'ROOTLESS_UNAVAILABLE',
]);

interface Parts {
  readonly session: BuildSession;
  readonly hooks: WatchHooks;
  readonly changes: ChangeCollector;
  readonly listener: Listener;
  readonly poll: { everyMs: number };
  /** Ends a wait for changes: some may not have been heard. */
  lookAgain: () => void;
}

interface Outcome {
  readonly result?: BuildResult;
  readonly error?: unknown;
  readonly rebuilt: readonly string[];
  readonly ms: number;
  /** It was ended because what it read has changed. */
  readonly isStale: boolean;
}

async function buildOnce(parts: Parts, changed: readonly string[], givenUp: number): Promise<Outcome> {
  const { session, hooks, changes, listener } = parts;
  const stale = new AbortController();
  const ended = new AbortController();
  const signal = AbortSignal.any([hooks.signal, stale.signal]);
  if (givenUp < MAX_GIVEN_UP) {
    void changes.begun(AbortSignal.any([signal, ended.signal])).then(() => {
      if (changes.size === 0 || ended.signal.aborted) return;
      stale.abort(new OcibuildError('CANCELLED', 'Cannot finish the build: what it reads has changed'));
    });
  }
  const steps = createStepLog();
  const sink = await hooks.onBuild(changed);
  const startedMs = performance.now();
  /** What was saved before everything was listened to is found now: the build may take long. */
  const compareOnceReady = async (): Promise<void> => {
    if ((await listener.ready()) && !ended.signal.aborted) compare(parts, false);
  };
  const done = (): Pick<Outcome, 'rebuilt' | 'ms'> => ({
    rebuilt: steps.rebuilt(),
    ms: performance.now() - startedMs,
  });
  try {
    const result = await session.build({
      signal,
      onEvent(event) {
        steps.take(event);
        sink(event);
      },
      onInputs(inputs) {
        if (listener.follow(inputs)) void compareOnceReady();
      },
    });
    return { result, ...done(), isStale: false };
  } catch (error) {
    // A file that changed while it was read: its event comes, or was heard already.
    const isTorn = isOcibuildError(error) && error.code === 'CONTEXT_CHANGED' && givenUp < MAX_TORN;
    return { error, ...done(), isStale: stale.signal.aborted || isTorn };
  } finally {
    ended.abort();
  }
}

/** Which steps of a build ran. */
function createStepLog(): { take: EventSink; rebuilt(): readonly string[] } {
  const names = new Map<string, string>();
  const cached = new Set<string>();
  const completed = new Set<string>();
  return {
    take(event) {
      const isStep =
        event.kind === 'vertex' && !isInternal(event.vertex) && !event.name.startsWith('[internal]');
      if (isStep) names.set(event.vertex, event.name);
      else if (event.kind === 'cached') cached.add(event.vertex);
      else if (event.kind === 'completed') completed.add(event.vertex);
    },
    rebuilt: () =>
      [...names].flatMap(([vertex, name]) => (completed.has(vertex) && !cached.has(vertex) ? [name] : [])),
  };
}

/** Waits for a change that needs a build; gives none when the watch ends. */
async function nextChanges(parts: Parts, failed: boolean): Promise<readonly string[]> {
  const { session, hooks, changes, listener } = parts;
  const { trees = [], files } = session.inputs();
  const places = trees.length > 0 ? trees.map(({ dir }) => dir) : files.slice(0, 1);
  hooks.onNotice({ kind: 'waiting', places: [...new Set([...places, ...(hooks.more ?? [])])] });
  let compareInMs: number | undefined = COMPARE_AFTER_MS;
  let isSure = false;
  let overflow = new AbortController();
  parts.lookAgain = () => overflow.abort();
  for (;;) {
    await settledOrTime(changes, AbortSignal.any([hooks.signal, overflow.signal]), compareInMs);
    if (hooks.signal.aborted) return [];
    if (overflow.signal.aborted) {
      overflow = new AbortController();
      isSure = false;
      // What was heard goes into the same build.
      await settledOrTime(changes, hooks.signal, COMPARE_AFTER_MS);
    }
    if (changes.size === 0) {
      const isReady = await Promise.race([listener.ready(), changes.settled(hooks.signal)]);
      if (changes.size === 0) compare(parts, isSure);
      if (changes.size === 0 && compareInMs === COMPARE_AFTER_MS) hooks.onRest?.();
      isSure = isReady === true && listener.hears();
      // What a failed build missed may not be there to be listened to: its texts are looked at, which costs nothing.
      compareInMs = isSure && !failed ? undefined : parts.poll.everyMs;
      if (changes.size === 0) continue;
    }
    await changes.settled(hooks.signal);
    const taken = await takeChanges(parts);
    const left = taken.length === 0 ? [] : ((await hooks.takeOver?.(taken)) ?? taken);
    if (left.length > 0 || hooks.signal.aborted) return left;
    compareInMs = COMPARE_AFTER_MS;
    isSure = false;
  }
}

/** What has changed, without files that only stood there for a moment, as editors make them for a save. */
async function takeChanges({ session, changes, hooks, listener }: Parts): Promise<readonly string[]> {
  const { more = [], settings } = hooks;
  const heard = changes.take();
  const isOther = settings !== undefined && heard.includes(settings.path) && (await settings.apply());
  const taken = heard.filter(
    (path) => path !== settings?.path || isOther || listener.plan()?.reads(path) === true,
  );
  const isSynced = (path: string): boolean => more.some((dir) => path === dir || path.startsWith(`${dir}/`));
  const real =
    taken.length > MAX_LOOKED_UP
      ? taken
      : taken.filter((path) => isSynced(path) || mayExist(path) || session.saw(path));
  session.note(taken);
  return real;
}

function mayExist(path: string): boolean {
  try {
    return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
  } catch {
    return true;
  }
}

/** Looks for what was not heard. */
function compare({ session, changes, listener, poll, hooks }: Parts, textsOnly: boolean): void {
  if (hooks.signal.aborted) return;
  const startedMs = performance.now();
  let found: readonly string[];
  try {
    found = session.differences({ textsOnly });
  } catch {
    // The directory is gone, or cannot be read: the build says so.
    session.note(undefined);
    found = session.inputs().trees?.map(({ dir }) => dir) ?? [];
  }
  if (hooks.settings?.differs()) changes.add(hooks.settings.path);
  poll.everyMs = Math.max(POLL_MS, POLL_SHARE * (performance.now() - startedMs));
  const plan = listener.plan();
  const missed = textsOnly ? found : found.filter((path) => plan?.reads(path) !== false);
  if (missed.length === 0) return;
  for (const path of missed) changes.add(path);
  session.note(undefined);
  // Whoever missed something may have lost track of directories too.
  if (listener.hears()) listener.follow(session.inputs(), true);
}

async function settledOrTime(
  changes: ChangeCollector,
  signal: AbortSignal,
  ms: number | undefined,
): Promise<void> {
  if (ms === undefined) return changes.settled(signal);
  const over = new AbortController();
  const timer = setTimeout(() => over.abort(), ms);
  await changes.settled(AbortSignal.any([signal, over.signal])).finally(() => clearTimeout(timer));
}
