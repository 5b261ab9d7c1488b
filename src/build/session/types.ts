import type { EventSink } from '../../solver/types.ts';
import type { RemoteMemory } from '../../source/types.ts';
import type { Engine, EngineOptions } from '../engine.ts';
import type { ContextMemory, LocalTree } from '../inputs/local-files.ts';
import type { BuildOptions, BuildResult } from '../options.ts';

/** What a build reads of this machine, as far as it got. */
export interface BuildInputs {
  /** Texts that decide the graph (Dockerfiles, ignore files, lock file), whether they are there or not. Absolute. */
  readonly files: readonly string[];
  /** What steps select of directories; undefined: the build failed before that was known. */
  readonly trees: readonly LocalTree[] | undefined;
}

/** What a build leaves to the next one of its session. */
export interface Held {
  readonly contexts: ContextMemory;
  readonly remotes: RemoteMemory;
  /** The store, opened once. */
  open(options: EngineOptions): Promise<Engine>;
  /** Told as soon as something is known; the list of files may still grow. */
  onFiles(files: readonly string[]): void;
  onTrees(trees: readonly LocalTree[]): void;
}

export interface SessionBuildOptions {
  readonly signal: AbortSignal;
  readonly onEvent?: EventSink;
  /** Called once the build knows what it reads, before it reads it. */
  readonly onInputs?: (inputs: BuildInputs) => void;
}

/** Builds of the same options, one after the other, each of which knows what the one before saw. */
export interface BuildSession extends AsyncDisposable {
  /**
   * @throws OcibuildError; CANCELLED after everything has stopped. The session stays usable.
   */
  build(options: SessionBuildOptions): Promise<BuildResult>;
  /**
   * The next builds are those of other options, as if the session had begun with them.
   * @throws USAGE_INVALID, and stays as it was
   */
  use(options: BuildOptions): Promise<void>;
  /** Absolute paths that changed since the last build; undefined: anything may have. */
  note(paths: Iterable<string> | undefined): void;
  /** Whether there may have been something at a path that a build read; true where that is not known. */
  saw(path: string): boolean;
  /** Of the last build. */
  inputs(): BuildInputs;
  /** Looks at everything that was read, or only at texts and whether contexts are there: paths that have changed and were
   * not noted. */
  differences(options?: { readonly textsOnly?: boolean }): readonly string[];
}
