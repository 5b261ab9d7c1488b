import { mkdirSync, statSync } from 'node:fs';
import { hostname as hostName } from 'node:os';
import { join } from 'node:path';
import { makeUpper } from '../../cache/layers/mutable-layer.ts';
import { OcibuildError } from '../../errors/error.ts';
import type { SandboxMount } from '../../executor/types.ts';
import type { Descriptor } from '../../image/types.ts';
import type { LayerId } from '../../layer/layer-id.ts';
import { errnoOf } from '../../util/atomic-fs.ts';
import { makeDirs } from '../../util/make-dirs.ts';
import { currentOwner } from '../../util/owner.ts';
import type { Engine } from '../engine.ts';
import type { ImageDetails } from '../images/stored-image.ts';
import { newContainerId, newContainerName } from './names.ts';
import { planProcess } from './plan.ts';
import { createRecord, removeRecord, writePlan, writeState } from './records.ts';
import type { Container, ContainerPlan, MountRequest, RunRequest } from './types.ts';

export interface CreateOptions {
  readonly signal: AbortSignal;
  readonly runtime?: string;
}

/** Where the container's own files lie, below its directory. */
export const CONTAINER_FILES = { upper: 'upper', work: 'work', log: 'log', network: 'network' } as const;

/**
 * Makes a container that is ready to be started: its layers are unpacked, its directories are there.
 * @throws USAGE_INVALID, CONTAINER_NAME_TAKEN, MOUNT_INVALID, LAYER_*, REGISTRY_*
 */
export async function createContainer(
  engine: Engine,
  { image, request }: { readonly image: ImageDetails; readonly request: RunRequest },
  { signal, runtime }: CreateOptions,
): Promise<Container> {
  const id = newContainerId();
  const hostname = request.hostname ?? (request.network === 'host' ? hostName() : id);
  const process = planProcess(image.config, request, hostname);
  const layers = image.layers.map(({ diffId }, i) =>
    engine.layers.addBase({ diffId, descriptor: image.manifest.layers[i] as Descriptor, origin: undefined }),
  );
  const lower = await snapshotsOf(engine, layers, signal);
  const root = engine.root.dir;
  const chance = newContainerName();
  // Of a few thousand names two are soon the same; with an id behind it there is no second one.
  const names =
    request.name === undefined ? ([chance, `${chance}_${id}`] as const) : ([request.name] as const);
  const { dir, name } = createRecord(root, { id, names });
  const { args: _, entrypoint: __, publishAll: ___, expose: ____, ...rest } = request;
  try {
    const { upper, work } = CONTAINER_FILES;
    makeUpper(join(dir, upper), lower);
    mkdirSync(join(dir, work));
    const plan: ContainerPlan = {
      ...rest,
      ...process,
      version: 1,
      ...{ id, name, layers, lower },
      created: new Date().toISOString(),
      image: { name: image.name, digest: image.descriptor.digest },
      hostname,
      mounts: process.mounts.map((mount, i) => sandboxMount(mount, { root, dir, i })),
      ...(runtime === undefined ? {} : { runtime }),
      creator: currentOwner(),
    };
    writePlan(dir, plan);
    writeState(dir, { status: 'creating' });
    return { plan, dir, state: { status: 'creating' } };
  } catch (error) {
    removeRecord(root, { dir, plan: { name, id } });
    throw error;
  }
}

async function snapshotsOf(
  { layers }: Engine,
  ids: readonly LayerId[],
  signal: AbortSignal,
): Promise<readonly string[]> {
  try {
    return await Promise.all(ids.map((id) => layers.snapshot(id, signal)));
  } catch (error) {
    // The others still write to the store.
    await layers.settled();
    throw error;
  }
}

function sandboxMount(
  mount: MountRequest,
  { root, dir, i }: { readonly root: string; readonly dir: string; readonly i: number },
): SandboxMount {
  const { target, readonly } = mount;
  switch (mount.type) {
    case 'tmpfs':
      return { type: 'tmpfs', target, readonly, options: mount.options };
    case 'bind':
      if (mount.create) makeDirectory(mount.source, target);
      return { type: 'bind', target, readonly, source: mount.source };
    case 'volume': {
      const source =
        mount.name === undefined ? join(dir, 'volumes', String(i)) : join(root, 'volumes', mount.name);
      makeDirectory(source, target);
      return { type: 'bind', target, readonly, source, copyUp: true };
    }
  }
}

function makeDirectory(path: string, target: string): void {
  if (statSync(path, { throwIfNoEntry: false }) !== undefined) return;
  try {
    makeDirs(path);
  } catch (cause) {
    throw new OcibuildError(
      'MOUNT_INVALID',
      `Cannot make "${path}" to mount it on "${target}": ${errnoOf(cause) ?? 'unknown'}`,
      { cause, details: { source: path, target } },
    );
  }
}
