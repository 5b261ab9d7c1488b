import type { Descriptor, Digest } from '../../image/types.ts';
import type { EventSink } from '../../solver/types.ts';
import { fetchVertex } from '../internal-steps.ts';

/** Shows layers that belong to no base image, which is those of shared caches, as parts of one step. It begins anew
 * whenever something is fetched after all had come. */
export function createOtherFetches(
  emit: EventSink,
  now: () => number,
): (descriptor: Descriptor, bytes: number) => void {
  const name = 'fetching cached layers';
  const vertex = fetchVertex(name);
  const open = new Set<Digest>();
  let isKnown = false;
  return ({ digest, size: total }, current) => {
    const done = current >= total;
    if (!isKnown) emit({ kind: 'vertex', time: now(), vertex, name });
    if (open.size === 0) emit({ kind: 'started', time: now(), vertex });
    isKnown = true;
    open.add(digest);
    emit({ kind: 'status', time: now(), vertex, id: digest, current, total, ...(done ? { done } : {}) });
    if (done) open.delete(digest);
    if (open.size === 0) emit({ kind: 'completed', time: now(), vertex });
  };
}
