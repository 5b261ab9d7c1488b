import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js';
import type { SourceRef } from '../errors/source.ts';
import type { Digest } from '../image/types.ts';
import type { Op } from './ops.ts';

/** One step of a graph. `digest` covers op and inputs, so equal work is one vertex. */
export interface Vertex {
  readonly digest: Digest;
  readonly op: Op;
  readonly inputs: readonly Digest[];
}

/** What stands beside a vertex, outside its digest. */
export interface VertexMeta {
  /** As progress shows it: `[build 2/3] RUN make`. */
  readonly name: string;
  readonly source?: SourceRef;
  /** Do not read the cache for this vertex (`--no-cache`); results are still recorded. */
  readonly ignoreCache?: boolean;
  /** Names and values that went into the op and that explain a miss: ARGs used, base image reference. */
  readonly ingredients?: Readonly<Record<string, string>>;
}

/** A graph: vertices in topological order (inputs first), and the vertices that were asked for. */
export interface Definition {
  readonly vertices: ReadonlyMap<Digest, Vertex>;
  readonly meta: ReadonlyMap<Digest, VertexMeta>;
}

export interface GraphBuilder {
  /** Adds a vertex, or finds the equal one. `ignoreCache` sticks once it was asked for. */
  add(op: Op, inputs: readonly Digest[], meta: VertexMeta): Digest;
  /** The graph so far. */
  definition(): Definition;
}

export function createGraph(): GraphBuilder {
  const vertices = new Map<Digest, Vertex>();
  const meta = new Map<Digest, VertexMeta>();
  return {
    add(op, inputs, about) {
      const digest = vertexDigest(op, inputs);
      const known = meta.get(digest);
      if (known === undefined) {
        for (const input of inputs) {
          if (!vertices.has(input)) throw new RangeError(`Cannot add a vertex before its input "${input}"`);
        }
        vertices.set(digest, { digest, op, inputs: [...inputs] });
        meta.set(digest, about);
      } else if (about.ignoreCache === true && known.ignoreCache !== true) {
        meta.set(digest, { ...known, ignoreCache: true });
      }
      return digest;
    },
    definition: () => ({ vertices, meta }),
  };
}

/** One graph out of several: what they have in common is one vertex, named by the first graph that has it. */
export function mergeDefinitions(definitions: readonly Definition[]): Definition {
  const [only] = definitions;
  if (only !== undefined && definitions.length === 1) return only;
  const graph = createGraph();
  for (const { vertices, meta } of definitions) {
    for (const { digest, op, inputs } of vertices.values()) {
      graph.add(op, inputs, meta.get(digest) ?? { name: digest });
    }
  }
  return graph.definition();
}

function vertexDigest(op: Op, inputs: readonly Digest[]): Digest {
  return digestOf({ op, inputs });
}

/** Digest of a JSON value in canonical form (keys sorted, undefined dropped). */
export function digestOf(value: unknown): Digest {
  return `sha256:${bytesToHex(sha256(utf8ToBytes(canonicalJson(value))))}`;
}

/** JSON with sorted object keys, so equal data has one text. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map((v) => canonicalJson(v ?? null)).join(',')}]`;
  if (typeof value === 'object' && value !== null) {
    const entries = Object.entries(value)
      .filter(([, v]) => v !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : 1));
    return `{${entries.map(([k, v]) => `${JSON.stringify(k)}:${canonicalJson(v)}`).join(',')}}`;
  }
  return JSON.stringify(value);
}
