import type { Digest } from '../image/types.ts';
import type { Definition, Vertex, VertexMeta } from '../llb/definition.ts';
import { parseStepName } from '../llb/step-name.ts';
import { BASE_IMAGE, compareIngredients, ROOT_IMAGE, SCOPE } from './explain.ts';
import type { CacheRecord, CacheStore, Ingredient } from './types.ts';

/** A step that is about to run. */
export interface MissedStep {
  readonly vertex: Vertex;
  readonly meta: VertexMeta;
  /** All that its keys were made of, and what explains them. */
  readonly ingredients: readonly Ingredient[];
  /** What its op knows beyond the ingredients, such as the names of files. */
  readonly more: (previous: CacheRecord) => Promise<readonly string[]>;
}

export interface MissExplainer {
  /** Why the step was not cached, one reason a line. Steps are asked about after those that they build on. */
  explain(step: MissedStep): Promise<readonly string[]>;
}

export interface MissContext {
  readonly cache: Pick<CacheStore, 'previous' | 'history'>;
  readonly scope: string | undefined;
  /** Whether an earlier build had a step of this name done, of which no record need be left. */
  readonly wasBuilt?: (name: string) => boolean;
}

const NO_CACHE = 'the cache was not asked (--no-cache)';
const FIRST = 'first build of this step';
const PRUNED = 'its earlier result was pruned from the store';

/**
 * Compares steps with the last builds of the same Dockerfile and context.
 * @param scope names those; without it, or without such records, a step is compared with the last of its name
 */
export function createMissExplainer(
  definition: Definition,
  { cache, scope, wasBuilt = () => false }: MissContext,
): MissExplainer {
  const reasons = new Map<
    Digest,
    { readonly changes: readonly string[]; readonly causes: readonly string[] }
  >();
  const names = new Set([...definition.meta.values()].map(({ name }) => placeless(name)));
  let history: readonly CacheRecord[] | undefined;

  const wasPruned = (name: string): boolean => wasBuilt(name) && cache.previous(name).length === 0;

  /** The run of this step that is nearest to this one. */
  function lastRun({ meta: { name }, ingredients }: MissedStep): CacheRecord | undefined {
    if (scope === undefined || cache.history === undefined) return cache.previous(name)[0];
    history ??= cache.history({ name: SCOPE, value: scope });
    const same = nearest(
      history.filter((record) => record.name === name),
      ingredients,
    );
    if (same !== undefined) return same;
    const wanted = placeless(name);
    const moved = history.find((record) => placeless(record.name) === wanted);
    if (moved !== undefined) return moved;
    if (wasPruned(name)) return undefined;
    const { stage, platform, step, text } = parseStepName(name);
    if (step === undefined) return elsewhere(name, ingredients);
    const here = history.find((record) => {
      const other = parseStepName(record.name);
      return other.stage === stage && other.platform === platform && other.step === step;
    });
    if (here === undefined) return elsewhere(name, ingredients);
    if (wordOf(parseStepName(here.name).text) !== wordOf(text)) return undefined;
    // Another instruction stood here, or this one with other values; unless it has only moved.
    return names.has(placeless(here.name)) ? undefined : here;
  }

  /** A step that was cached in each build of this context may have run in another one, such as a second checkout. */
  function elsewhere(name: string, ingredients: readonly Ingredient[]): CacheRecord | undefined {
    if (!wasBuilt(name)) return undefined;
    return cache
      .previous(name)
      .find((record) => compareIngredients(record.ingredients, ingredients).changes.length === 0);
  }

  /** Why inputs are not what they were: what this build ran again, in them or below those that were found again. */
  function causesOf(inputs: readonly Digest[]): Set<string> {
    const causes = new Set<string>();
    const below = new Set(inputs);
    for (const digest of below) {
      const own = reasons.get(digest)?.causes;
      for (const cause of own ?? []) causes.add(cause);
      if (own === undefined)
        for (const input of definition.vertices.get(digest)?.inputs ?? []) below.add(input);
    }
    return causes;
  }

  /** Of an input that changed in an earlier build. */
  function oldCausesOf(digest: Digest): readonly string[] {
    const { op, inputs = [] } = definition.vertices.get(digest) ?? {};
    if (op?.kind === 'merge') return inputs.flatMap(oldCausesOf);
    return op?.kind === 'source' ? [] : [`${definition.meta.get(digest)?.name ?? digest} changed`];
  }

  function ranAgain(digest: Digest): boolean {
    const { op, inputs = [] } = definition.vertices.get(digest) ?? {};
    return op?.kind === 'merge' ? inputs.some(ranAgain) : reasons.has(digest);
  }

  /** An internal step has no line that a user knows: what changed in it changed in the steps that use it. */
  function ofInternal(digest: Digest): readonly string[] {
    const isInternal = definition.meta.get(digest)?.name.startsWith('[internal]') === true;
    return isInternal ? (reasons.get(digest)?.changes ?? []) : [];
  }

  async function changesOf(
    step: MissedStep,
  ): Promise<{ changes: readonly string[]; causes: readonly string[] }> {
    const { vertex, meta, ingredients } = step;
    const caused = (how: string): readonly string[] => [`${meta.name} ${how}`];
    if (meta.ignoreCache === true) return { changes: [NO_CACHE], causes: caused('ran anew (--no-cache)') };
    const last = lastRun(step);
    if (last === undefined) {
      return wasPruned(meta.name)
        ? { changes: [PRUNED], causes: caused('was built again') }
        : { changes: [FIRST], causes: caused('is new') };
    }
    const miss = compareIngredients(last.ingredients, ingredients);
    const named = await step.more(last);
    // Where no definition differs, one of the steps below gave another result when it ran again.
    const again = miss.byOthers && miss.inputs.length === 0 ? vertex.inputs.filter(ranAgain) : [];
    const inputs = [...again, ...miss.inputs.flatMap((index) => vertex.inputs[index] ?? [])];
    const files = [...named, ...inputs.flatMap(ofInternal)];
    const others = inputs.filter((input) => ofInternal(input).length === 0);
    const causes = causesOf(others);
    const root = causes.size === 0 && others.length > 0 ? miss.root : [];
    const changes = [...new Set([...miss.changes, ...root, ...(files.length === 0 ? miss.files : files)])];
    const images = changes.filter((change) => change.startsWith(BASE_IMAGE));
    const isOwn = changes.length > images.length;
    if (causes.size + changes.length === 0)
      for (const cause of others.flatMap(oldCausesOf)) causes.add(cause);
    const because = [...causes].map((cause) => `because ${cause}`);
    if (changes.length + because.length === 0) {
      return miss.byOthers
        ? { changes: ['a step that it builds on was built again'], causes: caused('was built again') }
        : { changes: [PRUNED], causes: caused('was built again') };
    }
    return {
      changes: [...changes, ...because],
      causes: isOwn ? caused('changed') : images.length > 0 ? images : [...causes],
    };
  }

  return {
    async explain(step) {
      const found = await changesOf(step);
      reasons.set(step.vertex.digest, found);
      return found.changes;
    },
  };
}

/** What stands beside the keys of a step's record: where it was built, and the images that it stands on. */
export function beside(
  definition: Definition,
  { op, inputs }: Vertex,
  scope: string | undefined,
): readonly Ingredient[] {
  const base = op.kind === 'exec' ? op.rootfs : op.kind === 'file' ? op.base : -1;
  const images = inputs.flatMap((input, index) =>
    imagesOf(definition, input).map((value, i): Ingredient => {
      const name = index === base ? BASE_IMAGE : `image ${index}`;
      return { name: i === 0 ? name : `${name} ${i}`, value };
    }),
  );
  const root = images.some(({ name }) => name === BASE_IMAGE)
    ? undefined
    : rootImage(definition, inputs[base]);
  return [
    ...(scope === undefined ? [] : [{ name: SCOPE, value: scope }]),
    ...images,
    ...(root === undefined ? [] : [{ name: ROOT_IMAGE, value: root }]),
  ];
}

function rootImage(definition: Definition, top: Digest | undefined): string | undefined {
  for (let digest = top; digest !== undefined; ) {
    const { op, inputs = [] } = definition.vertices.get(digest) ?? {};
    if (op?.kind === 'source') return imagesOf(definition, digest)[0];
    digest = inputs[op?.kind === 'exec' ? op.rootfs : op?.kind === 'file' ? op.base : 0];
  }
  return undefined;
}

function imagesOf(definition: Definition, digest: Digest): readonly string[] {
  const { op, inputs = [] } = definition.vertices.get(digest) ?? {};
  if (op?.kind === 'merge') return inputs.flatMap((input) => imagesOf(definition, input));
  if (op?.kind !== 'source' || op.source.type !== 'image') return [];
  const name = definition.meta.get(digest)?.ingredients?.image ?? 'image';
  return [`${name.split('@')[0]}@${op.source.manifest}`];
}

/** The record with the fewest other values, the newest of several: how many files differ, it does not know. */
function nearest(
  records: readonly CacheRecord[],
  ingredients: readonly Ingredient[],
): CacheRecord | undefined {
  const distances = records.map(
    (record) => compareIngredients(record.ingredients, ingredients).changes.length,
  );
  return records[distances.indexOf(Math.min(...distances))];
}

/** A name without its place: a line more above, and every step of the stage has another number. */
function placeless(name: string): string {
  const { stage = '', platform = '', text } = parseStepName(name);
  return `${platform} ${stage} ${text}`;
}

function wordOf(text: string): string | undefined {
  return text.split(/\s/, 1)[0];
}
