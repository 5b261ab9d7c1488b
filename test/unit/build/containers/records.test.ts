import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  createRecord,
  findContainer,
  listContainers,
  removeRecord,
  writePlan,
  writeState,
} from '../../../../src/build/containers/records.ts';
import { sweepDeadContainers } from '../../../../src/build/containers/sweep.ts';
import type { ContainerPlan, ContainerState } from '../../../../src/build/containers/types.ts';
import { currentOwner } from '../../../../src/util/owner.ts';

/** A process number above every one that Linux gives. */
const DEAD = { pid: 2 ** 22 + 1, startTime: '1' };
let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'ocibuild-records-'));
});
afterEach(() => rmSync(root, { recursive: true }));

function put(
  id: string,
  plan: Partial<ContainerPlan> = {},
  state: ContainerState = { status: 'running' },
): void {
  const name = plan.name ?? `name-${id}`;
  const { dir } = createRecord(root, { id, names: [name] });
  const whole = {
    version: 1,
    id,
    name,
    created: `2026-01-01T00:00:00.${id.slice(0, 3)}Z`,
    creator: currentOwner(),
    ...plan,
  };
  writePlan(dir, whole as unknown as ContainerPlan);
  writeState(dir, state);
}

describe('records of containers', () => {
  it('findContainer() takes a name, an id or the start of one when that is clear', () => {
    put('1230');
    put('1240');
    expect(listContainers(root).map(({ plan }) => plan.id)).toEqual(['1230', '1240']);
    for (const wanted of ['name-1240', '1240', '124'])
      expect(findContainer(root, wanted).plan.id).toBe('1240');
    const notFound = expect.objectContaining({ code: 'CONTAINER_NOT_FOUND' });
    for (const wanted of ['12', '5', '', '../x']) expect(() => findContainer(root, wanted)).toThrow(notFound);
  });

  it('a record that a power loss damaged hides no other', () => {
    for (const id of ['1230', '1240', '1250']) put(id);
    writeFileSync(join(root, 'containers/1230/container.json'), '');
    writeFileSync(join(root, 'containers/1240/state.json'), '{"status":');
    expect(listContainers(root).map(({ plan, state }) => [plan.id, state.status])).toEqual([
      ['1240', 'creating'],
      ['1250', 'running'],
    ]);
  });

  it('createRecord() refuses a name when a container has it, and takes it when that is gone', () => {
    put('1230', { name: 'web' });
    expect(() => put('1240', { name: 'web' })).toThrow(
      expect.objectContaining({ code: 'CONTAINER_NAME_TAKEN' }),
    );
    expect(existsSync(join(root, 'containers/1240'))).toBe(false);
    removeRecord(root, findContainer(root, 'web'));
    put('1240', { name: 'web' });
    // A process that died after it took the name.
    rmSync(join(root, 'containers/1240'), { recursive: true });
    put('1250', { name: 'web' });
    expect(findContainer(root, 'web').plan.id).toBe('1250');
  });

  it('createRecord() refuses the name of a container that somebody is just making', () => {
    const record = { id: '1230', names: ['web'] } as const;
    createRecord(root, record);
    const taken = expect.objectContaining({ code: 'CONTAINER_NAME_TAKEN' });
    expect(() => createRecord(root, { id: '1240', names: ['web'] })).toThrow(taken);
    writeState(join(root, 'containers/1230'), { status: 'creating', monitor: DEAD });
    expect(createRecord(root, { id: '1250', names: ['web'] }).name).toBe('web');
  });

  it('createRecord() takes the next name when the first is taken', () => {
    put('1230', { name: 'merry_kite' });
    expect(createRecord(root, { id: '1240', names: ['merry_kite', 'merry_kite_1240'] })).toEqual({
      dir: join(root, 'containers/1240'),
      name: 'merry_kite_1240',
    });
  });

  it('readContainer() says "stopped" when the process that holds the container is dead', () => {
    put('1230', {}, { status: 'running', monitor: DEAD });
    put('1240', {}, { status: 'running', monitor: currentOwner() });
    put('1250', { creator: DEAD }, { status: 'creating' });
    expect(listContainers(root).map(({ state }) => state.status)).toEqual(['stopped', 'running', 'stopped']);
  });

  it('sweepDeadContainers() writes down what died and removes what was to be removed', async () => {
    put('1230', {}, { status: 'running', monitor: DEAD });
    put('1240', { remove: true }, { status: 'running', monitor: DEAD });
    put('1250', { remove: true }, { status: 'stopped', monitor: currentOwner(), finished: 'x' });
    await sweepDeadContainers(root);
    expect(
      listContainers(root).map(({ plan, state }) => [plan.id, state.status, state.finished !== undefined]),
    ).toEqual([
      ['1230', 'stopped', true],
      // Its monitor lives, and is about to remove it.
      ['1250', 'stopped', true],
    ]);
  });

  it('sweepDeadContainers() removes what died before it had a plan, and nothing that is being made', async () => {
    for (const id of ['1230', '1240', '1250']) {
      const { dir } = createRecord(root, { id, names: [`name-${id}`] });
      mkdirSync(join(dir, 'upper'));
    }
    writeState(join(root, 'containers/1230'), { status: 'creating', monitor: DEAD });
    // A plan that a power loss damaged still has files that somebody may want.
    writeState(join(root, 'containers/1250'), { status: 'creating', monitor: DEAD });
    writeFileSync(join(root, 'containers/1250/container.json'), '');
    await sweepDeadContainers(root);
    expect(readdirSync(join(root, 'containers')).sort()).toEqual(['1240', '1250', 'names']);
    expect(readdirSync(join(root, 'containers/names')).sort()).toEqual(['name-1240', 'name-1250']);
  });
});
