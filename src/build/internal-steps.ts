import { isOcibuildError, OcibuildError } from '../errors/error.ts';
import type { EventSink } from '../solver/types.ts';

/** Reports work that is no vertex of the graph as steps of their own, such as `[internal] load .dockerignore`. */
export interface InternalSteps {
  run<T>(name: string, body: (step: InternalStep) => T | Promise<T>): Promise<T>;
}

export interface InternalStep {
  status(id: string, current: number, total?: number): void;
  /** A part that has ended, without figures. */
  done(id: string): void;
}

const PREFIX = 'internal:';
const FETCH_PREFIX = `${PREFIX}fetching `;

/** Whether the vertex of an event is such a step. */
export function isInternal(vertex: string): boolean {
  return vertex.startsWith(PREFIX);
}

/** The vertex of something that is fetched on the way, once: `fetching …`. */
export function fetchVertex(name: `fetching ${string}`): string {
  return `${PREFIX}${name}`;
}

/** Whether a build that finds everything in the store has no such step. */
export function isFetch(vertex: string): boolean {
  return vertex.startsWith(FETCH_PREFIX);
}

export function createInternalSteps(emit: EventSink, now: () => number): InternalSteps {
  const begin = (name: string): InternalStep & { end(error?: unknown): void } => {
    const vertex = `${PREFIX}${name}`;
    emit({ kind: 'vertex', time: now(), vertex, name });
    emit({ kind: 'started', time: now(), vertex });
    return {
      status(id, current, total) {
        const done = total !== undefined && current >= total;
        const size = total === undefined ? {} : { total };
        emit({ kind: 'status', time: now(), vertex, id, current, ...size, ...(done ? { done } : {}) });
      },
      done: (id) => emit({ kind: 'status', time: now(), vertex, id, current: 0, done: true }),
      end(error) {
        const cancelled = isOcibuildError(error) && error.category === 'cancelled';
        emit({
          kind: 'completed',
          time: now(),
          vertex,
          ...(error === undefined ? {} : cancelled ? { cancelled } : { error: typed(error) }),
        });
      },
    };
  };
  return {
    async run(name, body) {
      const step = begin(name);
      try {
        const value = await body(step);
        step.end();
        return value;
      } catch (error) {
        step.end(error);
        throw error;
      }
    },
  };
}

function typed(error: unknown): OcibuildError {
  if (isOcibuildError(error)) return error;
  return new OcibuildError('INTERNAL', error instanceof Error ? error.message : String(error), {
    cause: error,
  });
}
