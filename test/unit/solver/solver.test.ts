import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { OcibuildError } from '../../../src/errors/error.ts';
import type { Digest } from '../../../src/image/types.ts';
import { createGraph, type Definition, type Vertex } from '../../../src/llb/definition.ts';
import type { ExecOp } from '../../../src/llb/ops.ts';
import { bindMerge } from '../../../src/solver/ops/merge.ts';
import { createSolver } from '../../../src/solver/solver.ts';
import type {
  CacheRecord,
  CacheStore,
  ExecContext,
  ProgressEvent,
  Result,
  SolvedInputs,
  SolverOp,
} from '../../../src/solver/types.ts';
import { runs } from '../../support/runs.ts';

/** A graph of named steps; a step's op is only its name. */
function graphOf(steps: Readonly<Record<string, readonly string[]>>, ignore: readonly string[] = []) {
  const graph = createGraph();
  const digests = new Map<string, Digest>();
  for (const [name, inputs] of Object.entries(steps)) {
    const op = { kind: 'exec', args: [name] } as unknown as ExecOp;
    const below = inputs.map((input) => digests.get(input) as Digest);
    digests.set(name, graph.add(op, below, { name, ignoreCache: ignore.includes(name) }));
  }
  return { definition: graph.definition(), digest: (name: string) => digests.get(name) as Digest };
}

interface FakeOptions {
  /** What a step outputs; equal outputs are equal content. Default: its name. */
  readonly output?: Readonly<Record<string, string>>;
  readonly fail?: string;
  readonly run?: (name: string, context: ExecContext) => Promise<void>;
}

function memoryCache() {
  const records = new Map<Digest, CacheRecord>();
  const lookups: Digest[] = [];
  const held = new Set<Digest>();
  const cache: CacheStore = {
    async lookup(key) {
      lookups.push(key);
      return records.get(key);
    },
    async save(record) {
      records.set(record.key, record);
    },
    async lock(key) {
      while (held.has(key)) await sleep(1);
      held.add(key);
      return {
        async [Symbol.asyncDispose]() {
          held.delete(key);
        },
      };
    },
    previous: (name) => [...records.values()].filter((r) => r.name === name && r.kind === 'result').reverse(),
  };
  return { cache, records, lookups, held };
}

function solve(
  definition: Definition,
  target: Digest | readonly Digest[],
  memory: ReturnType<typeof memoryCache>,
  options: FakeOptions & { signal?: AbortSignal; jobs?: number; explain?: boolean } = {},
) {
  const ran: string[] = [];
  const events: ProgressEvent[] = [];
  const bind = (vertex: Vertex): SolverOp => {
    if (vertex.op.kind === 'merge') return bindMerge(vertex.op);
    const name = (vertex.op as ExecOp).args[0] ?? '';
    const base = (inputs: SolvedInputs) => inputs[0]?.layers ?? [];
    return {
      cacheable: true,
      queue: 'exec',
      cacheMap: () => ({ own: [{ name: 'op', value: name }], deps: [] }),
      resultIngredients: async (inputs) =>
        inputs.map((input, i) => ({ name: `content ${i}`, value: input?.layers.join(' ') ?? '' })),
      base,
      async exec(_, context) {
        ran.push(name);
        await options.run?.(name, context);
        if (options.fail === name) throw new OcibuildError('RUN_EXIT_NONZERO', `Cannot finish ${name}`);
        return [options.output?.[name] ?? name];
      },
    };
  };
  const solver = createSolver(
    definition,
    { cache: memory.cache, bind, emit: (event) => events.push(event), now: () => 0 },
    { jobs: options.jobs ?? 4, explain: options.explain ?? false, salt: 'test' },
  );
  const all = solver.solve([target].flat(), options.signal ?? new AbortController().signal);
  const result = all.then(([first]) => first as Result);
  // A test looks at one of the two.
  for (const each of [all, result]) each.catch(() => undefined);
  const keys = () => solver.keys([target].flat(), new AbortController().signal);
  return { result, all, ran, events, keys };
}

describe('createSolver()', () => {
  const chain = { a: [], b: ['a'], c: ['b'] };

  it('keys() names every step also when the last one was cached, each record with its result', async () => {
    const { definition, digest } = graphOf(chain);
    const memory = memoryCache();
    await solve(definition, digest('c'), memory).result;
    const again = solve(definition, digest('c'), memory);
    await again.result;
    expect(again.ran).toEqual([]);
    const records = (await again.keys()).map((key) => memory.records.get(key));
    expect(records.map((record) => record?.name).sort()).toEqual(['a', 'b', 'c']);
    for (const record of records) {
      const result = record?.ingredients.find(({ name }) => name === 'result')?.value as Digest;
      expect(memory.records.get(result)).toMatchObject({ kind: 'result', name: record?.name });
    }
  });

  it('keys() names the steps that were finished when another one has failed', async () => {
    const { definition, digest } = graphOf({ ...chain, d: ['a'], e: ['c', 'd'] });
    const memory = memoryCache();
    const failing = solve(definition, digest('e'), memory, { fail: 'c', jobs: 1 });
    await expect(failing.result).rejects.toMatchObject({ code: 'RUN_EXIT_NONZERO' });
    const finished = (await failing.keys()).flatMap((key) => memory.records.get(key)?.name ?? []);
    expect(finished).toEqual(expect.arrayContaining(['a', 'b']));
    expect(finished).not.toContain('c');
  });

  it('shows no step of its own for a merge, whether its inputs run or are cached', async () => {
    const graph = createGraph();
    const step = (name: string): Digest =>
      graph.add({ kind: 'exec', args: [name] } as unknown as ExecOp, [], { name });
    const merged = graph.add({ kind: 'merge' }, [step('low'), step('high')], { name: 'high' });
    const memory = memoryCache();
    const shown = async (): Promise<string[]> => {
      const { result, events } = solve(graph.definition(), merged, memory);
      await result;
      return events.flatMap((event) => (event.kind === 'vertex' ? [event.name] : [])).sort();
    };
    expect(await shown()).toEqual(['high', 'low']);
    expect(await shown()).toEqual(['high', 'low']);
  });

  it('runs every step once, inputs first, and stacks their layers', async () => {
    const { definition, digest } = graphOf({ a: [], b: ['a'], c: ['a'], d: ['b', 'c'] });
    const { result, ran } = solve(definition, digest('d'), memoryCache());
    expect((await result).layers).toEqual(['a', 'b', 'd']);
    expect([...ran].sort()).toEqual(['a', 'b', 'c', 'd']);
    expect(ran[0]).toBe('a');
    expect(ran[3]).toBe('d');
  });

  it('solves several targets at once, what they share once', async () => {
    const { definition, digest } = graphOf({ a: [], b: ['a'], c: ['a'] });
    const { all, ran } = solve(definition, [digest('c'), digest('b'), digest('a')], memoryCache());
    expect((await all).map(({ layers }) => layers)).toEqual([['a', 'c'], ['a', 'b'], ['a']]);
    expect([...ran].sort()).toEqual(['a', 'b', 'c']);
  });

  it('cancels the other targets when one fails, and throws its failure', async () => {
    const { definition, digest } = graphOf({ slow: [], bad: [], after: ['slow'] });
    let isCancelled = false;
    const { all, ran } = solve(definition, [digest('after'), digest('bad')], memoryCache(), {
      fail: 'bad',
      run: async (name, { signal }) => {
        if (name !== 'slow') return;
        await sleep(5_000, undefined, { signal }).catch(() => {
          isCancelled = true;
        });
        throw new OcibuildError('CANCELLED', 'Cannot finish slow');
      },
    });
    await expect(all).rejects.toMatchObject({ code: 'RUN_EXIT_NONZERO' });
    expect([isCancelled, ran.includes('after')]).toEqual([true, false]);
  });

  it('asks the cache once for the target when everything is cached', async () => {
    const memory = memoryCache();
    const { definition, digest } = graphOf(chain);
    await solve(definition, digest('c'), memory).result;
    memory.lookups.length = 0;
    const again = solve(definition, digest('c'), memory);
    expect((await again.result).layers).toEqual(['a', 'b', 'c']);
    expect(again.ran).toEqual([]);
    expect(memory.lookups).toHaveLength(1);
    expect(again.events.filter((event) => event.kind === 'cached')).toHaveLength(3);
  });

  it('stops at a step whose output did not change', async () => {
    const memory = memoryCache();
    const first = graphOf({ a: [], b: ['a'], c: ['b'] });
    await solve(first.definition, first.digest('c'), memory, { output: { a: 'same' } }).result;
    const second = graphOf({ a2: [], b: ['a2'], c: ['b'] });
    const { result, ran } = solve(second.definition, second.digest('c'), memory, { output: { a2: 'same' } });
    expect((await result).layers).toEqual(['same', 'b', 'c']);
    expect(ran).toEqual(['a2']);
    // The hit is known by the new definition too.
    const third = solve(second.definition, second.digest('c'), memory);
    await third.result;
    expect(third.ran).toEqual([]);
  });

  it('does not read the cache for steps that ignore it, but records them', async () => {
    const memory = memoryCache();
    const { definition, digest } = graphOf(chain);
    await solve(definition, digest('c'), memory).result;
    const fresh = graphOf(chain, ['a', 'b', 'c']);
    const { result, ran } = solve(fresh.definition, fresh.digest('c'), memory, { output: { b: 'b2' } });
    expect((await result).layers).toEqual(['a', 'b2', 'c']);
    expect(ran).toEqual(['a', 'b', 'c']);
    expect((await solve(definition, digest('c'), memory).result).layers).toEqual(['a', 'b2', 'c']);
  });

  it('runs a step that ignores the cache below one that does not', async () => {
    const memory = memoryCache();
    const first = graphOf(chain);
    await solve(first.definition, first.digest('c'), memory).result;
    const { definition, digest } = graphOf(chain, ['a']);
    const same = solve(definition, digest('c'), memory);
    await same.result;
    expect(same.ran).toEqual(['a']);
    const changed = solve(definition, digest('c'), memory, { output: { a: 'other' } });
    expect((await changed.result).layers).toEqual(['other', 'b', 'c']);
    expect(changed.ran).toEqual(['a', 'b', 'c']);
  });

  it('keeps finished steps and records no failed one', async () => {
    const memory = memoryCache();
    const { definition, digest } = graphOf(chain);
    const failed = solve(definition, digest('c'), memory, { fail: 'b' });
    await expect(failed.result).rejects.toMatchObject({ code: 'RUN_EXIT_NONZERO' });
    expect(memory.held.size).toBe(0);
    const again = solve(definition, digest('c'), memory);
    await again.result;
    expect(again.ran).toEqual(['b', 'c']);
  });

  it('cancels other steps after a failure, waits for them and throws the failure', async () => {
    const { definition, digest } = graphOf({ slow: [], bad: [], end: ['slow', 'bad'] });
    let stopped = false;
    const { result } = solve(definition, digest('end'), memoryCache(), {
      fail: 'bad',
      async run(name, { signal }) {
        if (name !== 'slow') return;
        await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
        await sleep(20);
        stopped = true;
        throw new OcibuildError('CANCELLED', 'stopped');
      },
    });
    await expect(result).rejects.toMatchObject({ message: 'Cannot finish bad' });
    expect(stopped).toBe(true);
  });

  it('rejects with the reason when the caller cancels', async () => {
    const { definition, digest } = graphOf(chain);
    const controller = new AbortController();
    const { result, ran } = solve(definition, digest('c'), memoryCache(), {
      signal: controller.signal,
      async run(name) {
        if (name === 'b') controller.abort();
      },
    });
    await expect(result).rejects.toMatchObject({ code: 'CANCELLED' });
    expect(ran).toEqual(['a', 'b']);
  });

  it('runs a step once when two builds need it at the same time', async () => {
    const memory = memoryCache();
    const { definition, digest } = graphOf(chain);
    const slow = { run: () => sleep(5) };
    const one = solve(definition, digest('c'), memory, slow);
    const two = solve(definition, digest('c'), memory, slow);
    await Promise.all([one.result, two.result]);
    expect([...one.ran, ...two.ran].sort()).toEqual(['a', 'b', 'c']);
  });

  it('tells that a step waits for another build, and that this one has made it', async () => {
    const { definition, digest } = graphOf({ a: [] });
    const memory = memoryCache();
    const { promise: isTold, resolve: goOn } = Promise.withResolvers<void>();
    const first = solve(definition, digest('a'), memory, { run: () => isTold });
    await expect.poll(() => memory.held.size, { timeout: 10_000 }).toBe(1);
    const second = solve(definition, digest('a'), memory);
    const waits = { kind: 'status', id: 'waiting for another build that runs this step' };
    await expect
      .poll(() => second.events, { timeout: 10_000 })
      .toContainEqual(expect.objectContaining({ ...waits, current: 0 }));
    goOn();
    await Promise.all([first.result, second.result]);
    expect([first.ran, second.ran]).toEqual([['a'], []]);
    expect(second.events.slice(-3)).toEqual([
      expect.objectContaining({ ...waits, done: true }),
      expect.objectContaining({ kind: 'cached' }),
      expect.objectContaining({ kind: 'completed' }),
    ]);
  });

  it('never runs more steps at a time than it has slots', async () => {
    const names = Array.from({ length: 12 }, (_, i) => `s${i}`);
    const { definition, digest } = graphOf({
      ...Object.fromEntries(names.map((name) => [name, []])),
      end: names,
    });
    let running = 0;
    let most = 0;
    await solve(definition, digest('end'), memoryCache(), {
      jobs: 3,
      async run() {
        most = Math.max(most, ++running);
        await sleep(2);
        running--;
      },
    }).result;
    expect(most).toBe(3);
  });

  it('says what changed when a step runs again', async () => {
    const memory = memoryCache();
    const { definition, digest } = graphOf(chain);
    await solve(definition, digest('c'), memory, { explain: true }).result;
    const { events, result } = solve(definition, digest('c'), memoryCache(), { explain: true });
    await result;
    expect(events).toContainEqual(
      expect.objectContaining({ kind: 'explain', changes: ['first build of this step'] }),
    );
  });

  it('announces, starts and ends each step exactly once, whatever the graph', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(fc.nat(20), { maxLength: 3 }), { minLength: 1, maxLength: 20 }),
        fc.option(fc.nat(19), { nil: undefined }),
        async (shape, failing) => {
          const steps = Object.fromEntries(
            shape.map((inputs, i) => [
              `s${i}`,
              [...new Set(inputs.filter((j) => j < i).map((j) => `s${j}`))],
            ]),
          );
          const { definition, digest } = graphOf(steps);
          const memory = memoryCache();
          const { result, ran, events } = solve(definition, digest(`s${shape.length - 1}`), memory, {
            jobs: 2,
            ...(failing === undefined ? {} : { fail: `s${failing}` }),
          });
          await result.catch(() => undefined);
          expect(new Set(ran).size).toBe(ran.length);
          expect(memory.held.size).toBe(0);
          for (const kind of ['vertex', 'started', 'completed'] as const) {
            const of = events.flatMap((event) => (event.kind === kind ? [event.vertex] : []));
            expect(new Set(of).size).toBe(of.length);
          }
          const started = events.filter((event) => event.kind === 'started').length;
          expect(events.filter((event) => event.kind === 'completed').length).toBe(started);
        },
      ),
      runs(60),
    );
  });
});
