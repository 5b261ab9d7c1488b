import { isOcibuildError, OcibuildError } from '../errors/error.ts';
import type { Digest } from '../image/types.ts';
import type { Definition } from '../llb/definition.ts';
import type { EventSink, ExecContext } from './types.ts';

/** What one step may say; every call after the end of the step is dropped. */
export interface VertexProgress extends Pick<ExecContext, 'log' | 'status'> {
  started(): void;
  cached(): void;
  completed(): void;
  failed(error: unknown): void;
  explain(changes: readonly string[]): void;
}

export interface Progress {
  /** Tells which steps are to come, for these targets. */
  planned(targets: readonly Digest[]): void;
  vertex(digest: Digest): VertexProgress;
  /** A hit: the step and everything below it counts as cached. */
  cachedWithInputs(digest: Digest): void;
}

/** Turns the life of vertices into events: each is announced once, started once, ended once. */
export function createProgress(definition: Definition, emit: EventSink, now: () => number): Progress {
  const steps = new Map<Digest, { step: VertexProgress; state: 'new' | 'started' | 'ended' }>();
  const isMerge = (digest: Digest): boolean => definition.vertices.get(digest)?.op.kind === 'merge';
  /** What a person would call a step: stacked layers are none, nor is a source that is read in passing. */
  const isStep = (digest: Digest): boolean => {
    const op = definition.vertices.get(digest)?.op;
    return op?.kind === 'source' ? op.source.type === 'image' : op?.kind !== 'merge';
  };

  function make(digest: Digest): VertexProgress {
    const known = steps.get(digest);
    if (known !== undefined) return known.step;
    const vertex: string = digest;
    const begin = (): boolean => {
      if (life.state !== 'new') return false;
      life.state = 'started';
      const name = definition.meta.get(digest)?.name ?? digest;
      const inputs = definition.vertices.get(digest)?.inputs ?? [];
      emit({ kind: 'vertex', time: now(), vertex, name, ...(inputs.length === 0 ? {} : { inputs }) });
      emit({ kind: 'started', time: now(), vertex });
      return true;
    };
    const step: VertexProgress = {
      started: () => void begin(),
      cached() {
        begin();
        // What another build has made while this one waited for it has begun already.
        if (life.state === 'ended') return;
        life.state = 'ended';
        emit({ kind: 'cached', time: now(), vertex });
        emit({ kind: 'completed', time: now(), vertex });
      },
      completed() {
        if (life.state !== 'started') return;
        life.state = 'ended';
        emit({ kind: 'completed', time: now(), vertex });
      },
      failed(error) {
        const cancelled = isOcibuildError(error) && error.category === 'cancelled';
        if (life.state === 'ended' || (cancelled && life.state === 'new')) return;
        begin();
        life.state = 'ended';
        emit({
          kind: 'completed',
          time: now(),
          vertex,
          ...(cancelled ? { cancelled } : { error: typed(error) }),
        });
      },
      log(stream, data) {
        if (life.state === 'started') emit({ kind: 'log', time: now(), vertex, stream, data });
      },
      status(id, current, total) {
        begin();
        if (life.state !== 'started') return;
        const done = total !== undefined && current >= total;
        emit({
          kind: 'status',
          time: now(),
          vertex,
          id,
          current,
          ...(total === undefined ? {} : { total }),
          ...(done ? { done } : {}),
        });
      },
      explain(changes) {
        begin();
        emit({ kind: 'explain', time: now(), vertex, changes });
      },
    };
    // A merge only stacks what its inputs gave: the step of the Dockerfile is one of those.
    const state = isMerge(digest) ? 'ended' : 'new';
    const life: { step: VertexProgress; state: 'new' | 'started' | 'ended' } = { step, state };
    steps.set(digest, life);
    return step;
  }

  function cachedWithInputs(digest: Digest): void {
    for (const input of definition.vertices.get(digest)?.inputs ?? []) {
      const source = definition.vertices.get(input)?.op;
      // A local directory is no step of the Dockerfile: it has a line of its own where it is read.
      if (source?.kind === 'source' && source.source.type === 'local') continue;
      if (isMerge(input) || (steps.get(input)?.state ?? 'new') === 'new') cachedWithInputs(input);
    }
    make(digest).cached();
  }

  function planned(targets: readonly Digest[]): void {
    const seen = new Set(targets);
    for (const digest of seen) {
      for (const input of definition.vertices.get(digest)?.inputs ?? []) seen.add(input);
    }
    emit({ kind: 'planned', time: now(), vertices: [...seen].filter(isStep) });
  }

  return { vertex: make, cachedWithInputs, planned };
}

function typed(error: unknown): OcibuildError {
  if (isOcibuildError(error)) return error;
  return new OcibuildError('INTERNAL', error instanceof Error ? error.message : String(error), {
    cause: error,
  });
}
