import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { dropLayer } from '../../cache/layers/drop-layer.ts';
import { listDir } from '../../cache/list-dir.ts';
import type { LayerId } from '../../layer/layer-id.ts';
import type { ExecOp } from '../../llb/ops.ts';
import type { SolvedInputs } from '../../solver/types.ts';
import { writeFileAtomic } from '../../util/atomic-fs.ts';
import { currentOwner, isAlive, type Owner } from '../../util/owner.ts';
import { readJson } from '../../util/read-json.ts';
import type { Engine } from '../engine.ts';
import type { SecretSource, SshSource } from '../options.ts';

/** A failed step that the store holds on to until the next build. JSON. */
export interface KeptStep {
  readonly version: 1;
  /** Of the build. */
  readonly build: string;
  readonly name: string;
  readonly op: ExecOp;
  readonly inputs: SolvedInputs;
  readonly layers: readonly LayerId[];
  /** The only layer that nobody else names. */
  readonly own: LayerId;
  /** What it failed with. */
  readonly message: string;
  /** Where its secrets and keys are; never what they are. */
  readonly secrets: Readonly<Record<string, SecretSource>>;
  readonly ssh: Readonly<Record<string, SshSource>>;
  /** Paths of these are relative to it. */
  readonly cwd: string;
  /** Present while a process works with it. */
  readonly user?: Owner;
}

type Store = Pick<Engine, 'root' | 'rows'>;

/** Writes down that a step is kept, in use by this process until `releaseStep`. */
export function holdStep({ root }: Pick<Store, 'root'>, step: KeptStep): void {
  write(root.dir, { ...step, user: currentOwner() });
}

/** It may be swept now. */
export function releaseStep({ root }: Pick<Store, 'root'>, { user: _, ...step }: KeptStep): void {
  write(root.dir, step);
}

/** Those of a store, the newest first. */
export function keptSteps(root: string): readonly KeptStep[] {
  return names(root)
    .sort()
    .reverse()
    .flatMap((name) => {
      const step = readJson<KeptStep>(join(dirOf(root), name));
      return step?.version === 1 ? [step] : [];
    });
}

/** Lets go of the steps that earlier builds left, unless somebody is in one. */
export function sweepKeptSteps(store: Store): void {
  for (const step of keptSteps(store.root.dir)) {
    if (step.user !== undefined && isAlive(step.user)) continue;
    try {
      dropStep(store, step);
    } catch {
      // Files of mapped users can be moved from inside of their user namespace only: a later sweep runs there.
    }
  }
}

/** Takes a kept step out of the store. */
export function dropStep(store: Store, { build, own }: KeptStep): void {
  // The layer first: what is killed in between is dropped by the next one.
  dropLayer(own, store);
  rmSync(fileOf(store.root.dir, build), { force: true });
}

function write(root: string, step: KeptStep): void {
  const file = fileOf(root, step.build);
  mkdirSync(dirOf(root), { recursive: true, mode: 0o700 });
  writeFileAtomic(file, JSON.stringify(step), { temp: `${file}.${process.pid}`, mode: 0o600 });
}

function dirOf(root: string): string {
  return join(root, 'failed');
}

function fileOf(root: string, build: string): string {
  return join(dirOf(root), `${build}.json`);
}

function names(root: string): string[] {
  return listDir(dirOf(root)).filter((name) => name.endsWith('.json'));
}
