import { existsSync, lstatSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { OcibuildError } from '../../errors/error.ts';
import type { RemoteMemory } from '../../source/types.ts';
import { type Engine, type EngineOptions, openEngine } from '../engine.ts';
import { DOCKERFILES } from '../inputs/definition-files.ts';
import type { LocalTree } from '../inputs/local-files.ts';
import { type NormalOptions, normaliseOptions } from '../normalise.ts';
import type { BuildOptions } from '../options.ts';
import { runBuild } from '../run-build.ts';
import { createSessionContexts } from './context-memory.ts';
import type { BuildInputs, BuildSession } from './types.ts';

/**
 * Keeps between builds of the same options what costs time: the open store, trees of base images, what was seen of
 * contexts.
 * @throws USAGE_INVALID where the context is no directory: what comes from elsewhere cannot be watched
 */
export function createBuildSession(options: BuildOptions): BuildSession {
  let normal = watchable(options);
  const contexts = createSessionContexts();
  const store = createHeldEngine();
  let files: readonly string[] = [];
  let trees: readonly LocalTree[] | undefined;
  let rows = new Map<string, string>();
  /** Of the contexts: whether they were there. */
  let places = new Map<string, string>();
  let remotes = emptyMemory();
  const differing = (known: ReadonlyMap<string, string>, now: (path: string) => string): string[] =>
    [...known].filter(([path, row]) => now(path) !== row).map(([path]) => path);
  const editedTexts = (): string[] => differing(rows, rowOf);

  const inputs = (): BuildInputs => ({
    files: [...new Set([...files, ...namedFiles(normal)])],
    trees,
  });

  return {
    async build({ signal, onEvent = () => undefined, onInputs }) {
      // Whoever edits a Dockerfile may want what its addresses have now; whoever saves a file wants no network.
      if (editedTexts().length > 0) remotes = emptyMemory();
      files = [];
      contexts.begin();
      rows = new Map(inputs().files.map((path) => [path, rowOf(path)]));
      places = new Map(contextPlaces(normal).map((dir) => [dir, placeOf(dir)]));
      const held = {
        contexts,
        remotes,
        open: store.open,
        onFiles(looked: readonly string[]) {
          files = looked;
        },
        onTrees(found: readonly LocalTree[]) {
          trees = found;
          for (const path of inputs().files) if (!rows.has(path)) rows.set(path, rowOf(path));
          onInputs?.(inputs());
        },
      };
      try {
        const { result } = await runBuild(normal, { emit: onEvent, signal, held });
        contexts.trim();
        return result;
      } catch (error) {
        if (!signal.aborted) {
          // What failed may have been what is remembered.
          contexts.note(undefined);
          await store.close();
        }
        throw error;
      } finally {
        await store.rest();
      }
    },
    async use(other) {
      normal = watchable(other);
      contexts.note(undefined);
      remotes = emptyMemory();
      await store.close();
    },
    note: contexts.note,
    saw: (path) => rows.get(path) !== '' && (rows.has(path) || contexts.saw(path)),
    inputs,
    differences({ textsOnly = false } = {}) {
      const texts = editedTexts();
      return textsOnly ? [...texts, ...differing(places, placeOf)] : [...texts, ...contexts.differences()];
    },
    [Symbol.asyncDispose]: store.close,
  };
}

function emptyMemory(): RemoteMemory {
  return { downloads: new Set(), commits: new Map() };
}

function watchable(options: BuildOptions): NormalOptions {
  const normal = normaliseOptions(options);
  const { context, dockerfile, outputs } = normal;
  if (context.type !== 'directory') {
    throw new OcibuildError(
      'USAGE_INVALID',
      'Cannot watch a context that is not a directory of this machine',
    );
  }
  if (dockerfile !== undefined && /^https?:\/\//.test(dockerfile)) {
    throw new OcibuildError('USAGE_INVALID', `Cannot watch the Dockerfile "${dockerfile}": it is not a file`);
  }
  if (outputs.some((output) => 'dest' in output && output.dest === '-')) {
    throw new OcibuildError('USAGE_INVALID', 'Cannot watch and write an output to stdout: name a file');
  }
  return normal;
}

/** Texts that a build would read if they were there. */
function namedFiles({ contextDir, contextDirs, cwd, dockerfile, dockerfileText }: NormalOptions): string[] {
  const dockerfiles =
    dockerfileText !== undefined
      ? []
      : dockerfile === undefined
        ? DOCKERFILES.map((name) => join(contextDir, name))
        : [resolve(cwd, dockerfile)];
  return [
    ...dockerfiles,
    ...contextPlaces({ contextDir, contextDirs }).map((dir) => join(dir, '.dockerignore')),
  ];
}

function contextPlaces({
  contextDir,
  contextDirs,
}: Pick<NormalOptions, 'contextDir' | 'contextDirs'>): string[] {
  return [contextDir, ...Object.values(contextDirs)];
}

function placeOf(dir: string): string {
  return existsSync(dir) ? 'there' : '';
}

function inodeOf(dir: string): number | undefined {
  return lstatSync(dir, { throwIfNoEntry: false })?.ino;
}

function rowOf(path: string): string {
  try {
    const { mtimeMs, ctimeMs, size, ino } = lstatSync(path);
    return [mtimeMs, ctimeMs, size, ino].join(' ');
  } catch {
    return '';
  }
}

/** One store for all builds of a session; what it reports goes to the build that runs. */
function createHeldEngine() {
  let engine: Engine | undefined;
  let inode: number | undefined;
  let current: EngineOptions | undefined;
  const close = async (): Promise<void> => {
    const closing = engine;
    engine = undefined;
    await closing?.[Symbol.asyncDispose]();
  };
  return {
    async open(options: EngineOptions): Promise<Engine> {
      current = options;
      // Whoever removes the store of a watch gets a new one.
      if (engine !== undefined && inodeOf(engine.root.dir) !== inode) await close().catch(() => undefined);
      engine ??= await openEngine({
        ...options,
        // The store outlives this build.
        signal: new AbortController().signal,
        onFetch: (...args) => current?.onFetch?.(...args),
        onLost: (...args) => current?.onLost?.(...args),
        onDevicesLeftOut: (...args) => current?.onDevicesLeftOut?.(...args),
        onWarning: (...args) => current?.onWarning?.(...args),
      });
      inode = inodeOf(engine.root.dir);
      return engine;
    },
    /** Between builds: nothing is kept that only the last one needed. */
    async rest(): Promise<void> {
      current = undefined;
      engine?.layers.forgetTrees();
      // What stays in the store between builds is for the pruner to say.
      engine?.lease.end();
      await engine?.root.emptyTrash();
    },
    close,
  };
}
