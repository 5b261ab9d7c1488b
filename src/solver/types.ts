import type { OcibuildError } from '../errors/error.ts';
import type { SourceFile } from '../errors/source.ts';
import type { Digest } from '../image/types.ts';
import type { LayerId } from '../layer/layer-id.ts';
import type { Vertex, VertexMeta } from '../llb/definition.ts';

/** What a vertex gives: a file system as layers, base first. JSON-safe. */
export interface Result {
  readonly layers: readonly LayerId[];
}

/** One thing that a cache key was made of; names are stable, values short. Explains a miss. */
export interface Ingredient {
  /** `op`, `input 0`, `file src/a.ts`, `arg VERSION`, … */
  readonly name: string;
  readonly value: string;
}

/** What an op contributes to its definition key. Needs nothing executed. */
export interface CacheMap {
  readonly own: readonly Ingredient[];
  /** For each input: undefined where the input's own definition key counts. Otherwise the input is not a
   * result (a local directory): only the files that this op selects from it count, and it is never solved. */
  readonly deps: readonly (((signal: AbortSignal) => Promise<readonly Ingredient[]>) | undefined)[];
}

/** The behaviour bound to an LLB op. */
export interface SolverOp {
  /** False: instant and not worth a record (sources, merges). */
  readonly cacheable: boolean;
  /** Which queue runs it: `exec` slots are `--jobs`, `io` has its own limit. */
  readonly queue: 'exec' | 'io';
  cacheMap(): CacheMap;
  /** What the op really reads of its solved inputs: with `own`, the result key. */
  resultIngredients(inputs: SolvedInputs, signal: AbortSignal): Promise<readonly Ingredient[]>;
  /** The layers that the result stands on, before the op's own. */
  base(inputs: SolvedInputs): readonly LayerId[];
  /** What changed since an earlier run, beyond what the ingredients tell. */
  explain?(inputs: SolvedInputs, previous: CacheRecord, signal: AbortSignal): Promise<readonly string[]>;
  /** Runs the op. Gives the layers it adds on `base(inputs)`. */
  exec(inputs: SolvedInputs, context: ExecContext): Promise<readonly LayerId[]>;
}

/** One for each input; undefined for an input that `CacheMap.deps` replaced. */
export type SolvedInputs = readonly (Result | undefined)[];

export interface ExecContext {
  readonly vertex: Vertex;
  readonly meta: VertexMeta;
  readonly signal: AbortSignal;
  /** Earlier runs of the step with this name, newest first. */
  readonly previous: readonly CacheRecord[];
  log(stream: 'stdout' | 'stderr', data: Uint8Array): void;
  /** Byte or file progress of a part of the step. */
  status(id: string, current: number, total?: number): void;
}

export interface CacheRecord {
  readonly key: Digest;
  readonly kind: 'definition' | 'result';
  /** definition: all layers; result: the layers the op added. */
  readonly layers: readonly LayerId[];
  /** result: what its key was made of, and the definition's; definition: the key of the result. */
  readonly ingredients: readonly Ingredient[];
  /** Vertex name, for messages. */
  readonly name: string;
}

/** Where the solver keeps what it knows. */
export interface CacheStore {
  /** A record whose layers are all still there, or undefined. */
  lookup(key: Digest): Promise<CacheRecord | undefined>;
  /** Records at once and durably enough to survive a kill; last writer wins. */
  save(record: CacheRecord): Promise<void>;
  /** Waits until no other process runs this key, then holds it. Dispose to let go. */
  lock(key: Digest, signal: AbortSignal): Promise<AsyncDisposable>;
  /** The latest results of steps with this name, newest first: material to explain a miss and to reuse. */
  previous(name: string): readonly CacheRecord[];
  /** The latest results with this very ingredient, newest first. */
  history?(ingredient: Ingredient): readonly CacheRecord[];
}

/** Times are ms since the epoch, sizes bytes. `vertex` is the digest of a vertex, or an id of an internal
 * step such as `load build definition`. */
export type ProgressEvent =
  | {
      /** Steps that the build has before it; those that no cached step stands for will be told of. */
      readonly kind: 'planned';
      readonly time: number;
      readonly vertices: readonly string[];
      readonly vertex?: undefined;
    }
  | {
      readonly kind: 'vertex';
      readonly time: number;
      readonly vertex: string;
      readonly name: string;
      /** Steps whose results it takes. */
      readonly inputs?: readonly string[];
    }
  | { readonly kind: 'started'; readonly time: number; readonly vertex: string }
  | { readonly kind: 'cached'; readonly time: number; readonly vertex: string }
  | {
      readonly kind: 'log';
      readonly time: number;
      readonly vertex: string;
      readonly stream: 'stdout' | 'stderr';
      readonly data: Uint8Array;
    }
  | {
      readonly kind: 'status';
      readonly time: number;
      readonly vertex: string;
      /** e.g. `sha256:…`, `exporting layers`. */
      readonly id: string;
      readonly current: number;
      readonly total?: number;
      readonly done?: boolean;
    }
  | {
      readonly kind: 'warning';
      readonly time: number;
      readonly vertex?: string;
      readonly message: string;
      readonly url?: string;
      /** Where a lint rule found it, and what the rule is about. */
      readonly finding?: {
        readonly detail?: string;
        readonly file: SourceFile;
        /** Whole lines, from 1. */
        readonly range: { readonly start: number; readonly end: number };
      };
    }
  | {
      /** Why a step that ran was not cached. */
      readonly kind: 'explain';
      readonly time: number;
      readonly vertex: string;
      readonly changes: readonly string[];
    }
  | {
      readonly kind: 'completed';
      readonly time: number;
      readonly vertex: string;
      readonly error?: OcibuildError;
      readonly cancelled?: boolean;
    };

/** Takes each event as it happens; it is not waited for. */
export type EventSink = (event: ProgressEvent) => void;
