import { randomBytes } from 'node:crypto';
import { chmodSync, chownSync, mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { EMPTY_LAYER, type LayerId } from '../../layer/layer-id.ts';
import type { MutableLayer, StoreRoot } from '../types.ts';

export interface MutableLayerDeps {
  readonly root: StoreRoot;
  /** Puts a finished directory into place as the snapshot of a layer. */
  readonly adopt: (dir: string, id: LayerId) => string;
}

/** A fresh upper and work directory for a RUN on top of `lower` (base first). */
export function createMutableLayer(
  lower: readonly string[],
  { root, adopt }: MutableLayerDeps,
): MutableLayer {
  const dir = root.tempPath();
  const [upper, work] = [join(dir, 'fs'), join(dir, 'work')];
  mkdirSync(dir, { mode: 0o700 });
  makeUpper(upper, lower);
  mkdirSync(work);
  return {
    upper,
    work,
    async commit() {
      if (readdirSync(upper).length === 0) {
        rmSync(dir, { recursive: true });
        return EMPTY_LAYER;
      }
      // `volatile` leaves a mark in the work directory: this upper is only ever a lower from now on.
      rmSync(work, { recursive: true });
      const id: LayerId = `run-${randomBytes(20).toString('hex')}`;
      adopt(dir, id);
      return id;
    },
    async discard() {
      root.discard(dir);
    },
  };
}

/** Makes the directory that an overlay on top of `lower` (base first) writes to. */
export function makeUpper(path: string, lower: readonly string[]): void {
  mkdirSync(path);
  // overlay shows the attributes of the uppermost root directory.
  const top = lower.at(-1);
  const { mode, uid, gid } = top === undefined ? { mode: 0o755, uid: 0, gid: 0 } : statSync(top);
  chmodSync(path, mode & 0o7777);
  if (uid !== 0 || gid !== 0) chownSync(path, uid, gid);
}
