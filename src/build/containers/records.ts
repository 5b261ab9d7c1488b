import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { listDir } from '../../cache/list-dir.ts';
import { storeError } from '../../cache/store-error.ts';
import { OcibuildError } from '../../errors/error.ts';
import { didYouMean } from '../../errors/suggest.ts';
import { errnoOf, writeFileAtomic } from '../../util/atomic-fs.ts';
import { currentOwner, isAlive } from '../../util/owner.ts';
import { readJson } from '../../util/read-json.ts';
import { readText } from '../../util/read-text.ts';
import type { Container, ContainerPlan, ContainerState } from './types.ts';

const PLAN = 'container.json';
const STATE = 'state.json';
/** Beside the containers: a file for each name, which holds the id. */
const NAMES = 'names';

/** Where the containers of a store are. */
function containersDir(root: string): string {
  return join(root, 'containers');
}

/**
 * Makes the directory of a container and takes the first of the names that is free. Two that want one name: the file
 * system decides.
 * @throws CONTAINER_NAME_TAKEN
 */
export function createRecord(
  root: string,
  { id, names }: { readonly id: string; readonly names: readonly [string, ...string[]] },
): { readonly dir: string; readonly name: string } {
  const dir = join(containersDir(root), id);
  try {
    mkdirSync(join(containersDir(root), NAMES), { recursive: true, mode: 0o700 });
    mkdirSync(dir, { mode: 0o711 });
  } catch (error) {
    throw storeError(error, dir);
  }
  // Says that somebody makes it, until there is a plan.
  writeState(dir, { status: 'creating', monitor: currentOwner() });
  for (const name of names) if (takeName(root, { id, name })) return { dir, name };
  rmSync(dir, { recursive: true });
  const [name] = names;
  const holder = readText(join(containersDir(root), NAMES, name)) ?? 'another';
  throw new OcibuildError(
    'CONTAINER_NAME_TAKEN',
    `Cannot use the name "${name}": the container ${holder} has it`,
    { hint: `ocibuild rm -f ${name}`, details: { name, id: holder } },
  );
}

/** False where a container has the name. */
function takeName(root: string, { id, name }: { readonly id: string; readonly name: string }): boolean {
  const file = join(containersDir(root), NAMES, name);
  try {
    const temp = join(containersDir(root), id, NAMES);
    while (!writeFileAtomic(file, id, { temp, mode: 0o600, exclusive: true })) {
      const holder = readNameFile(file);
      if (holder !== undefined && isHeld(root, holder)) return false;
      // Left by a process that died before its container had a plan.
      if (holder !== undefined) rmSync(file, { force: true });
    }
    return true;
  } catch (error) {
    throw storeError(error, file);
  }
}

/** Undefined where the name was given up meanwhile. */
function readNameFile(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

function isHeld(root: string, id: string): boolean {
  if (readContainer(root, id) !== undefined) return true;
  const maker = readJson<ContainerState>(join(containersDir(root), id, STATE))?.monitor;
  return maker !== undefined && isAlive(maker);
}

export function writePlan(dir: string, plan: ContainerPlan): void {
  writeJson(join(dir, PLAN), plan);
}

export function writeState(dir: string, state: ContainerState): void {
  writeJson(join(dir, STATE), state);
}

function writeJson(file: string, value: unknown): void {
  try {
    writeFileAtomic(file, `${JSON.stringify(value, undefined, 2)}\n`, {
      temp: `${file}.${process.pid}`,
      mode: 0o600,
    });
  } catch (error) {
    throw storeError(error, file);
  }
}

/** Undefined where there is no such container, or not yet. */
export function readContainer(root: string, id: string): Container | undefined {
  const dir = join(containersDir(root), id);
  const plan = readJson<ContainerPlan>(join(dir, PLAN));
  if (plan?.version !== 1) return undefined;
  const state = readJson<ContainerState>(join(dir, STATE)) ?? { status: 'creating' };
  const owner = state.monitor ?? plan.creator;
  // Killed without a word: what it held ends with it, or is swept.
  return {
    plan,
    dir,
    state: state.status === 'stopped' || isAlive(owner) ? state : { ...state, status: 'stopped' },
  };
}

/** All containers of a store, oldest first. */
export function listContainers(root: string): Container[] {
  return listDir(containersDir(root))
    .filter((id) => id !== NAMES)
    .flatMap((id) => readContainer(root, id) ?? [])
    .sort((a, b) => (a.plan.created < b.plan.created ? -1 : 1));
}

/** The container of a name, an id or the start of an id. @throws CONTAINER_NOT_FOUND */
export function findContainer(root: string, wanted: string): Container {
  const all = listContainers(root);
  const named = all.find(({ plan }) => plan.name === wanted || plan.id === wanted);
  if (named !== undefined) return named;
  const starting = /^[0-9a-f]+$/.test(wanted) ? all.filter(({ plan }) => plan.id.startsWith(wanted)) : [];
  if (starting.length === 1 && starting[0] !== undefined) return starting[0];
  const why = starting.length > 1 ? `${starting.length} ids begin like this` : 'there is none';
  const near = didYouMean(
    wanted,
    all.map(({ plan }) => plan.name),
  );
  throw new OcibuildError('CONTAINER_NOT_FOUND', `Cannot find the container "${wanted}": ${why}`, {
    hint: near ?? 'ocibuild ps -a shows them all',
    details: { container: wanted },
  });
}

/** Takes a container away that does not run. Needs the user namespace of its files. @throws STORE_NOT_WRITABLE */
export function removeRecord(
  root: string,
  { plan, dir }: { readonly plan: Pick<ContainerPlan, 'id' | 'name'>; readonly dir: string },
): void {
  try {
    // Plan and state last: what cannot be removed now is still known, and removed by a later sweep.
    for (const entry of listDir(dir)) {
      if (entry !== PLAN && entry !== STATE) rmSync(join(dir, entry), { recursive: true, force: true });
    }
    rmSync(dir, { recursive: true, force: true });
    const file = join(containersDir(root), NAMES, plan.name);
    if (readText(file) === plan.id) rmSync(file, { force: true });
  } catch (error) {
    throw storeError(error, dir);
  }
}

/** Takes away what makers left that died before their container had a plan. @throws STORE_NOT_WRITABLE */
export function removeUnplanned(root: string): void {
  const names = join(containersDir(root), NAMES);
  for (const id of listDir(containersDir(root))) {
    const dir = join(containersDir(root), id);
    const maker = readJson<ContainerState>(join(dir, STATE))?.monitor;
    // The plan is looked for when nobody writes it any more.
    if (maker === undefined || isAlive(maker) || existsSync(join(dir, PLAN))) continue;
    const name = listDir(names).find((each) => readText(join(names, each)) === id) ?? id;
    removeRecord(root, { plan: { id, name }, dir });
  }
}
