import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { isAlive } from '../../util/owner.ts';
import { CONTAINER_FILES } from './create.ts';
import { listContainers, removeRecord, removeUnplanned, writeState } from './records.ts';
import type { Container } from './types.ts';

/**
 * Ends what is left of containers whose monitor was killed: their processes, their networks, and with `--rm` their
 * files. Bundles and cgroups go when the store is opened next, as those of RUN steps do.
 */
export async function sweepDeadContainers(root: string): Promise<void> {
  for (const container of listContainers(root)) {
    if (isLeft(container)) await sweep(root, container);
  }
  try {
    removeUnplanned(root);
  } catch {
    // As below.
  }
}

/** A monitor that could still write has written when the container ended, and removed what was to be removed. */
function isLeft({ plan, state }: Container): boolean {
  if (state.status !== 'stopped') return false;
  return state.finished === undefined || (plan.remove && !isAlive(state.monitor ?? plan.creator));
}

async function sweep(root: string, { plan, dir, state }: Container): Promise<void> {
  const { reach, ...rest } = state;
  try {
    if (reach !== undefined && isAlive({ pid: reach.pid, startTime: reach.pidStart }))
      process.kill(reach.pid, 'SIGKILL');
  } catch {
    // It died meanwhile, or it is in a user namespace that we have no power over: its reaper has.
  }
  const network = join(dir, CONTAINER_FILES.network);
  try {
    if (existsSync(network)) {
      const { sweepContainerNetwork } = await import('../../executor/container-network.ts');
      await sweepContainerNetwork(network);
    }
    writeState(dir, { ...rest, status: 'stopped', finished: new Date().toISOString() });
    if (plan.remove) removeRecord(root, { plan, dir });
  } catch {
    // Files of mapped owners go from inside a user namespace only: with the next `run` or `rm`.
  }
}
