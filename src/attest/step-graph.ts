import { redactCredentials } from '../errors/redact.ts';
import type { Descriptor, Digest } from '../image/types.ts';
import type { Definition, Vertex } from '../llb/definition.ts';
import type { BuildFacts } from './types.ts';

/** The steps of a build as plain data, with names that the rest of the provenance refers to them by. */
export interface StepGraph {
  /** Inputs before what needs them. */
  readonly steps: readonly StepRecord[];
  readonly ids: ReadonlyMap<Digest, string>;
}

export interface StepRecord {
  readonly id: string;
  readonly name: string;
  readonly op: unknown;
  /** `step0:0`: the only output of that step. */
  readonly inputs?: readonly string[];
}

/** The steps that a vertex stands on, and itself. Credentials in URLs are masked wherever they stand. */
export function stepGraph(definition: Definition, target: Digest | undefined): StepGraph {
  const vertices = reachable(definition, target);
  const ids = new Map(vertices.map(({ digest }, i) => [digest, `step${i}`]));
  const steps = vertices.map(({ digest, op, inputs }, i): StepRecord => {
    const name = definition.meta.get(digest)?.name ?? digest;
    const named = inputs.map((input) => `${ids.get(input)}:0`);
    return {
      id: `step${i}`,
      name: redactCredentials(name),
      op: maskAll(op),
      ...(named.length === 0 ? {} : { inputs: named }),
    };
  });
  return { steps, ids };
}

/** What a vertex is made from, in topological order. */
export function reachable({ vertices }: Definition, target: Digest | undefined): Vertex[] {
  const found = new Set<Digest>();
  const open = target === undefined ? [] : [target];
  for (let digest = open.pop(); digest !== undefined; digest = open.pop()) {
    if (found.has(digest)) continue;
    found.add(digest);
    open.push(...(vertices.get(digest)?.inputs ?? []));
  }
  return [...vertices.values()].filter(({ digest }) => found.has(digest));
}

/** Which lines each step was written on, and the files that they are lines of. */
export function sourceMap({ definition, sources }: BuildFacts, { ids }: StepGraph): Record<string, unknown> {
  const locations = [...ids].map(([digest, id]) => {
    const source = definition.meta.get(digest)?.source;
    if (source === undefined) return [id, {}];
    const sourceIndex = sources.findIndex(({ name }) => name === source.file.name);
    const ranges = source.ranges.map(({ start, end }) => ({
      start: { line: start.line },
      end: { line: end.line },
    }));
    return [id, { locations: [{ ...(sourceIndex > 0 ? { sourceIndex } : {}), ranges }] }];
  });
  return {
    locations: Object.fromEntries(locations),
    infos: sources.map(({ name, text }) => ({
      filename: name,
      language: 'Dockerfile',
      data: Buffer.from(redactCredentials(text)).toString('base64'),
    })),
  };
}

/** `step2:0` → the layers that stand after that step. */
export function layerMap({ layers }: BuildFacts, { ids }: StepGraph): Record<string, Descriptor[][]> {
  return Object.fromEntries(
    [...layers].flatMap(([digest, chain]) => {
      const id = ids.get(digest);
      const plain = chain.map(({ mediaType, digest: layer, size }) => ({ mediaType, digest: layer, size }));
      return id === undefined ? [] : [[`${id}:0`, [plain]]];
    }),
  );
}

/** Masks credentials in every text of a JSON value. */
export function maskAll(value: unknown): unknown {
  if (typeof value === 'string') return redactCredentials(value);
  if (Array.isArray(value)) return value.map(maskAll);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, maskAll(each)]));
}
