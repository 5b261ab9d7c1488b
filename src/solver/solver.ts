import PQueue from 'p-queue';
import { cancelledError, OcibuildError } from '../errors/error.ts';
import { withSource } from '../errors/source.ts';
import type { Digest } from '../image/types.ts';
import type { LayerId } from '../layer/layer-id.ts';
import { type Definition, digestOf, type Vertex, type VertexMeta } from '../llb/definition.ts';
import { beside, createMissExplainer } from './miss.ts';
import { createProgress, type VertexProgress } from './progress.ts';
import type {
  CacheStore,
  EventSink,
  ExecContext,
  Ingredient,
  Result,
  SolvedInputs,
  SolverOp,
} from './types.ts';

export interface SolverDeps {
  readonly cache: CacheStore;
  /** Binds an op to its behaviour; called once for each vertex. */
  readonly bind: (vertex: Vertex, meta: VertexMeta) => SolverOp;
  readonly emit: EventSink;
  readonly now: () => number;
}

export interface SolverOptions {
  /** RUN steps at a time. */
  readonly jobs: number;
  /** Say why a step that ran was not cached. */
  readonly explain: boolean;
  /** Names the Dockerfile and context that are built: a step is compared with the last builds of those. */
  readonly scope?: string;
  /** Whether an earlier build of those had a step of this name done, of which no record need be left. */
  readonly wasBuilt?: (name: string) => boolean;
  /** Version of everything that keys and layers depend on: another one shares no record. */
  readonly salt: string;
  /** A vertex has its result: found or made. */
  readonly onResult?: (vertex: Digest, result: Result) => void;
}

export interface Solver {
  /**
   * Gives the results of vertices; runs only what no record has, and what several need once. The first failure
   * cancels what still runs and is thrown after all of it has stopped; what was finished stays recorded.
   */
  solve(targets: readonly Digest[], signal: AbortSignal): Promise<readonly Result[]>;
  /**
   * Definition keys of all steps below the targets that can have a record, also those that a cached step stood for.
   * Steps whose key cannot be known, because a file is missing, are left out.
   */
  keys(targets: readonly Digest[], signal: AbortSignal): Promise<readonly Digest[]>;
}

/** File and network work waits on disks, not on cores. */
const IO_SLOTS = 4;

const WAITS = 'waiting for another build that runs this step';
/** Most steps are shorter; a build that seems to do nothing is to say why. */
const WAIT_TOLD_MS = 500;

export function createSolver(definition: Definition, deps: SolverDeps, options: SolverOptions): Solver {
  const { cache, emit, now } = deps;
  const queues = {
    exec: new PQueue({ concurrency: options.jobs }),
    io: new PQueue({ concurrency: IO_SLOTS }),
  };
  const ops = new Map<Digest, SolverOp>();
  const results = new Map<Digest, Promise<Result>>();
  const definitionKeys = new Map<Digest, Promise<DefinitionKey>>();
  const anew = new Map<Digest, boolean>();
  const progress = createProgress(definition, emit, now);
  const misses = createMissExplainer(definition, {
    ...{ cache, scope: options.scope },
    ...(options.wasBuilt === undefined ? {} : { wasBuilt: options.wasBuilt }),
  });
  /** Later failures are only consequences of the first. */
  let firstFailure: { readonly error: unknown } | undefined;

  function opOf(digest: Digest): SolverOp {
    let op = ops.get(digest);
    if (op === undefined) {
      const { vertex, meta } = vertexOf(definition, digest);
      op = deps.bind(vertex, meta);
      ops.set(digest, op);
    }
    return op;
  }

  function definitionKey(
    digest: Digest,
    signal: AbortSignal,
    { known, guard }: KeySearch = { known: definitionKeys, guard: failing },
  ): Promise<DefinitionKey> {
    return memo(known, digest, async () => {
      const { vertex, meta } = vertexOf(definition, digest);
      const step = progress.vertex(digest);
      const { own, deps: replaced } = await guard(step, meta, async () => opOf(digest).cacheMap());
      const inputs = await Promise.all(
        vertex.inputs.map(async (input, i): Promise<readonly Ingredient[]> => {
          const selected = replaced[i];
          // Each step answers for its own part: the key of a later step is asked for first.
          if (selected !== undefined) return guard(step, meta, () => selected(signal));
          return [{ name: `input ${i}`, value: (await definitionKey(input, signal, { known, guard })).key }];
        }),
      );
      const ingredients = [...own, ...inputs.flat()];
      const about = [
        ...Object.entries(meta.ingredients ?? {}).map(([name, value]) => ({ name, value })),
        ...beside(definition, vertex, options.scope),
      ];
      return { key: keyOf('definition', options.salt, ingredients), ingredients: [...about, ...ingredients] };
    });
  }

  const solveVertex = (digest: Digest, signal: AbortSignal): Promise<Result> =>
    memo(results, digest, async () => {
      const result = await findOrRun(digest, signal);
      options.onResult?.(digest, result);
      return result;
    });

  async function findOrRun(digest: Digest, signal: AbortSignal): Promise<Result> {
    const { vertex, meta } = vertexOf(definition, digest);
    const op = opOf(digest);
    const skipCache = meta.ignoreCache === true;
    const step = progress.vertex(digest);
    if (!op.cacheable) {
      const inputs = await Promise.all(vertex.inputs.map((input) => solveVertex(input, signal)));
      return {
        layers: [
          ...op.base(inputs),
          ...(await execute(op, inputs, contextOf(vertex, meta, step, signal), step)),
        ],
      };
    }
    const byDefinition = await definitionKey(digest, signal);
    if (!anewFrom(digest)) {
      const hit = await cache.lookup(byDefinition.key);
      if (hit !== undefined) {
        progress.cachedWithInputs(digest);
        return { layers: hit.layers };
      }
    }
    const replaced = op.cacheMap().deps;
    const inputs: SolvedInputs = await Promise.all(
      vertex.inputs.map((input, i) => (replaced[i] === undefined ? solveVertex(input, signal) : undefined)),
    );
    const read = await failing(step, meta, () => op.resultIngredients(inputs, signal));
    const ingredients = [...op.cacheMap().own, ...read];
    const key = keyOf('result', options.salt, ingredients);
    const finish = async (added: readonly LayerId[], record: boolean): Promise<Result> => {
      const layers = [...op.base(inputs), ...added];
      const name = meta.name;
      const explained = [...byDefinition.ingredients, ...read];
      if (record) await cache.save({ key, kind: 'result', layers: added, ingredients: explained, name });
      const result = { name: RESULT_KEY, value: key };
      await cache.save({ key: byDefinition.key, kind: 'definition', layers, ingredients: [result], name });
      return { layers };
    };
    const findResult = async (): Promise<Result | undefined> => {
      const hit = skipCache ? undefined : await cache.lookup(key);
      if (hit === undefined) return undefined;
      step.cached();
      return finish(hit.layers, false);
    };
    const found = await findResult();
    if (found !== undefined) return found;
    // The lock is taken before a slot: a slot is never held while waiting for another process, so two processes
    // cannot wait for each other.
    await using _lock = await failing(step, meta, () => tellingOfWait(step, () => cache.lock(key, signal)));
    const other = await findResult();
    if (other !== undefined) return other;
    if (options.explain) {
      const changes = await misses.explain({
        ...{ vertex, meta, ingredients: [...byDefinition.ingredients, ...read] },
        more: async (last) => (await op.explain?.(inputs, last, signal)) ?? [],
      });
      step.explain(changes);
    }
    return finish(await execute(op, inputs, contextOf(vertex, meta, step, signal), step), true);
  }

  /** Whether the step or one below it is to run whatever is cached: a hit above would answer for it unseen. */
  function anewFrom(digest: Digest): boolean {
    const known = anew.get(digest);
    if (known !== undefined) return known;
    const { vertex, meta } = vertexOf(definition, digest);
    const answer = meta.ignoreCache === true || vertex.inputs.some(anewFrom);
    anew.set(digest, answer);
    return answer;
  }

  function contextOf(
    vertex: Vertex,
    meta: VertexMeta,
    step: VertexProgress,
    signal: AbortSignal,
  ): ExecContext {
    const previous = () => cache.previous(meta.name);
    return {
      vertex,
      meta,
      signal,
      get previous() {
        return previous();
      },
      log: step.log,
      status: step.status,
    };
  }

  async function execute(
    op: SolverOp,
    inputs: SolvedInputs,
    context: ExecContext,
    step: VertexProgress,
  ): Promise<readonly LayerId[]> {
    return failing(step, context.meta, async () => {
      const run = async (): Promise<readonly LayerId[]> => {
        if (context.signal.aborted) throw cancelledError(context.signal);
        step.started();
        const layers = await op.exec(inputs, context);
        step.completed();
        return layers;
      };
      return op.cacheable ? queues[op.queue].add(run) : run();
    });
  }

  return {
    async solve(targets, signal) {
      progress.planned(targets);
      const failure = new AbortController();
      const both = AbortSignal.any([signal, failure.signal]);
      try {
        return await Promise.all(targets.map((target) => solveVertex(target, both)));
      } catch (error) {
        const first = firstFailure === undefined ? error : firstFailure.error;
        failure.abort(new OcibuildError('CANCELLED', 'Cannot finish the step: another step failed'));
        await Promise.allSettled([...results.values(), ...definitionKeys.values()]);
        throw signal.aborted ? cancelledError(signal) : first;
      }
    },
    async keys(targets, signal) {
      const steps = new Set<Digest>();
      const visit = (digest: Digest): void => {
        if (steps.has(digest)) return;
        steps.add(digest);
        const { deps: replaced } = opOf(digest).cacheMap();
        const { vertex } = vertexOf(definition, digest);
        for (const [i, input] of vertex.inputs.entries()) if (replaced[i] === undefined) visit(input);
      };
      for (const target of targets) visit(target);
      // What a failure has cut short is asked for again; nobody is told twice why it fails.
      const search: KeySearch = {
        known: firstFailure === undefined ? definitionKeys : new Map(),
        guard: (_step, _meta, run) => run(),
      };
      const keys = await Promise.all(
        [...steps]
          .filter((digest) => opOf(digest).cacheable)
          .map((digest) => definitionKey(digest, signal, search).catch(() => undefined)),
      );
      if (signal.aborted) throw cancelledError(signal);
      return keys.flatMap((found) => found?.key ?? []);
    },
  };

  /** Adds the place to a failure and ends the step in the progress. */
  async function failing<T>(step: VertexProgress, meta: VertexMeta, run: () => Promise<T>): Promise<T> {
    try {
      return await run();
    } catch (error) {
      withSource(error, meta.source);
      firstFailure ??= { error };
      step.failed(error);
      throw error;
    }
  }
}

async function tellingOfWait<T>(step: VertexProgress, wait: () => Promise<T>): Promise<T> {
  let told = false;
  const timer = setTimeout(() => {
    told = true;
    step.status(WAITS, 0);
  }, WAIT_TOLD_MS);
  try {
    return await wait();
  } finally {
    clearTimeout(timer);
    if (told) step.status(WAITS, 0, 0);
  }
}

/** Ingredient of a definition record: the key of the result that it came from. */
export const RESULT_KEY: string = 'result';

interface KeySearch {
  readonly known: Map<Digest, Promise<DefinitionKey>>;
  readonly guard: <T>(step: VertexProgress, meta: VertexMeta, run: () => Promise<T>) => Promise<T>;
}

interface DefinitionKey {
  readonly key: Digest;
  readonly ingredients: readonly Ingredient[];
}

function keyOf(kind: string, salt: string, ingredients: readonly Ingredient[]): Digest {
  return digestOf([kind, salt, ingredients.map(({ name, value }) => [name, value])]);
}

function vertexOf(definition: Definition, digest: Digest): { vertex: Vertex; meta: VertexMeta } {
  const vertex = definition.vertices.get(digest);
  if (vertex === undefined)
    throw new OcibuildError('INTERNAL', `Cannot solve "${digest}": it is not in the graph`);
  return { vertex, meta: definition.meta.get(digest) ?? { name: digest } };
}

/** Gives the promise of a key, made once. A rejection nobody waits for yet must not end the process. */
function memo<K, V>(map: Map<K, Promise<V>>, key: K, make: () => Promise<V>): Promise<V> {
  const known = map.get(key);
  if (known !== undefined) return known;
  const promise = make();
  promise.catch(() => undefined);
  map.set(key, promise);
  return promise;
}
