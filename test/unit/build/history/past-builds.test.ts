import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished, vi } from 'vitest';
import { openLogWriter } from '../../../../src/build/history/log-writer.ts';
import {
  buildsDir,
  createBuildDir,
  findBuild,
  listBuilds,
  logFile,
  newBuildId,
  removeBuild,
  stepsDone,
  sweepBuilds,
  writeBuild,
} from '../../../../src/build/history/past-builds.ts';
import { createRecorder } from '../../../../src/build/history/recorder.ts';
import { showBuildLogs } from '../../../../src/build/history/show-logs.ts';
import type { PastBuild } from '../../../../src/build/history/types.ts';
import { normaliseOptions } from '../../../../src/build/normalise.ts';
import { OcibuildError } from '../../../../src/errors/error.ts';
import { currentOwner } from '../../../../src/util/owner.ts';

function tempDir(): string {
  const dir = mkdtempSync(join(tmpdir(), 'ocibuild-history-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

const REQUEST = {
  ...{ context: '/app', targets: [], platforms: [], tags: [], buildArgs: [] },
  ...{ secrets: [], ssh: [], outputs: ['store'], noCache: false },
};

/** A build that began at a time, with a log of so many bytes. */
function addBuild(
  root: string,
  ms: number,
  { bytes = 0, ...more }: Partial<PastBuild> & { bytes?: number } = {},
) {
  const id = newBuildId(ms);
  const dir = createBuildDir(root, id);
  const started = new Date(ms).toISOString();
  writeBuild(dir, {
    ...{ version: 1, id, owner: currentOwner(), started, status: 'done', request: REQUEST, steps: [] },
    ...more,
  });
  if (bytes > 0) writeFileSync(logFile(dir, 1), Buffer.alloc(bytes, 'x'));
  return id;
}

const text = async (root: string, id: string, step?: string, tail?: number): Promise<string> => {
  const shown: Uint8Array[] = [];
  await showBuildLogs(root, id, {
    ...{ follow: false, signal: AbortSignal.timeout(20_000), write: (data) => void shown.push(data) },
    ...(step === undefined ? {} : { step }),
    ...(tail === undefined ? {} : { tail }),
  });
  return Buffer.concat(shown).toString();
};

it('listBuilds() gives the newest first, and calls a build killed when its process is gone', () => {
  const root = tempDir();
  const first = addBuild(root, 1000);
  const dead = { pid: 2 ** 22 + 1, startTime: '1' };
  const second = addBuild(root, 2000, { status: 'running', owner: dead });
  const third = addBuild(root, 3000, { status: 'running' });
  expect(listBuilds(root).map(({ build }) => [build.id, build.status])).toEqual([
    [third, 'running'],
    [second, 'killed'],
    [first, 'done'],
  ]);
});

it('findBuild() takes an id, the start of one, and latest', () => {
  const root = tempDir();
  const first = addBuild(root, 1000);
  const second = addBuild(root, 36 ** 7);
  expect(findBuild(root, 'latest').build.id).toBe(second);
  expect(findBuild(root, first).build.id).toBe(first);
  expect(findBuild(root, second.slice(0, 4)).build.id).toBe(second);
  expect(() => findBuild(root, '0')).toThrow('Cannot find the build "0": 2 ids begin like this');
  expect(() => findBuild(tempDir(), 'latest')).toThrow('there is none');
});

it('sweepBuilds() forgets the oldest when there are too many, or too many bytes', () => {
  const root = tempDir();
  const running = addBuild(root, 1, { status: 'running' });
  const ids = [10, 20, 30, 40, 50].map((ms) => addBuild(root, ms, { bytes: 1000 }));
  sweepBuilds(root, { maxBuilds: 4 });
  expect(readdirSync(buildsDir(root)).sort()).toEqual([running, ...ids.slice(1)]);
  sweepBuilds(root, { maxBytes: 3000 });
  expect(readdirSync(buildsDir(root)).sort()).toEqual([running, ...ids.slice(3)]);
  sweepBuilds(root, { maxBytes: 1 });
  expect(readdirSync(buildsDir(root)).sort()).toEqual([running, ...ids.slice(4)]);
});

it('removeBuild() forgets a build with its logs', () => {
  const root = tempDir();
  const id = addBuild(root, 1, { bytes: 10 });
  removeBuild(findBuild(root, id));
  expect(existsSync(join(buildsDir(root), id))).toBe(false);
});

it('openLogWriter() writes at once when there is nothing to mask', () => {
  const file = join(tempDir(), '1.log');
  const log = openLogWriter(file, []);
  log.write(Buffer.from([0xff, 0, 65]));
  expect(readFileSync(file)).toEqual(Buffer.from([0xff, 0, 65]));
  log.close();
});

it('openLogWriter() masks a secret when it comes in pieces', () => {
  const file = join(tempDir(), '1.log');
  const log = openLogWriter(file, ['hunter2hunter2']);
  for (const part of ['a hunt', 'er2hun', 'ter2 b\nrest hunter2', 'hunter2']) log.write(Buffer.from(part));
  expect(readFileSync(file, 'utf8')).toBe('a *** b\n');
  log.close();
  expect(readFileSync(file, 'utf8')).toBe('a *** b\nrest ***');
});

it('stepsDone() names what builds of the same context and Dockerfile have done', () => {
  const root = tempDir();
  const step = (name: string, status: 'done' | 'cached' | 'failed') => ({
    ...{ number: 1, name, status, hasLog: false },
  });
  addBuild(root, 1000, { steps: [step('a', 'done'), step('b', 'cached'), step('c', 'failed')] });
  addBuild(root, 2000, { request: { ...REQUEST, dockerfile: 'other' }, steps: [step('d', 'done')] });
  expect(stepsDone(root, REQUEST)).toEqual(new Set(['a', 'b']));
});

it('createRecorder() keeps steps, logs and the error, and no value of an argument', async () => {
  const root = tempDir();
  const options = normaliseOptions({
    ...{ context: root, cwd: root, env: {}, tags: ['app:v1'], buildArgs: { TOKEN: 'hunter2hunter2' } },
    secrets: { id: { type: 'value', value: 'topsecret' } },
  });
  const recorder = createRecorder(options, 5000);
  const step = (vertex: string, name: string) => {
    recorder.event({ kind: 'vertex', time: 5000, vertex, name });
    recorder.event({ kind: 'started', time: 5000, vertex });
  };
  step('a', '[1/3] COPY . .');
  recorder.open(root);
  recorder.event({ kind: 'cached', time: 5001, vertex: 'a' });
  recorder.event({ kind: 'completed', time: 5001, vertex: 'a' });
  step('b', '[2/3] RUN make');
  recorder.hide(Buffer.from('topsecret\n'));
  recorder.event({ kind: 'explain', time: 5001, vertex: 'b', changes: ['src/a.ts changed'] });
  for (const line of ['one\n', 'topsecret\n', 'no end'])
    recorder.event({ kind: 'log', time: 5002, vertex: 'b', stream: 'stdout', data: Buffer.from(line) });
  const error = new OcibuildError('RUN_EXIT_NONZERO', 'Cannot finish RUN make: topsecret');
  recorder.event({ kind: 'completed', time: 5003, vertex: 'b', error });
  recorder.end({ error });

  const { build } = findBuild(root, recorder.id);
  expect(build).toMatchObject({
    status: 'failed',
    request: { context: root, tags: ['app:v1'], buildArgs: ['TOKEN'], secrets: ['id'], outputs: ['store'] },
    error: { code: 'RUN_EXIT_NONZERO', message: 'Cannot finish RUN make: ***' },
    steps: [
      { number: 1, name: '[1/3] COPY . .', status: 'cached', hasLog: false },
      {
        number: 2,
        status: 'failed',
        hasLog: true,
        startedMs: 5000,
        endedMs: 5003,
        changes: ['src/a.ts changed'],
      },
    ],
  });
  expect(JSON.stringify(build)).not.toContain('hunter2');
  expect(await text(root, recorder.id, '2')).toBe('one\n***\nno end');
  expect(await text(root, recorder.id, 'make', 2)).toBe('***\nno end');
  expect(await text(root, recorder.id)).toBe('#2 [2/3] RUN make (failed)\none\n***\nno end\n');
  await expect(text(root, recorder.id, 'RUN test')).rejects.toMatchObject({ code: 'BUILD_STEP_NOT_FOUND' });
});

it('showBuildLogs() follows whole logs to the end, in whole lines, from the tail on when one is asked for', async () => {
  const root = tempDir();
  const recorder = createRecorder(normaliseOptions({ context: root, cwd: root, env: {} }), 5000);
  recorder.open(root);
  const print = (data: string, vertex: string): void =>
    recorder.event({ kind: 'log', time: 5002, vertex, stream: 'stdout', data: Buffer.from(data) });
  recorder.event({ kind: 'vertex', time: 5000, vertex: 'a', name: '[1/2] RUN a' });
  recorder.event({ kind: 'started', time: 5000, vertex: 'a' });
  const long = `${'x'.repeat(99)}\n`.repeat(40_000);
  print(`${long}half`, 'a');
  const seen: string[] = [];
  const follow = (step?: string, tail?: number): Promise<void> =>
    showBuildLogs(root, recorder.id, {
      ...{ follow: true, signal: new AbortController().signal },
      ...(step === undefined ? {} : { step }),
      ...(tail === undefined ? {} : { tail }),
      write: (data) => void seen.push(Buffer.from(data).toString()),
    });
  const following = follow();
  await vi.waitFor(() => expect(seen.join('')).toBe(`#1 [1/2] RUN a\n${long}`), {
    interval: 5,
    timeout: 15_000,
  });
  recorder.event({ kind: 'vertex', time: 5000, vertex: 'b', name: '[2/2] RUN b' });
  recorder.event({ kind: 'started', time: 5000, vertex: 'b' });
  print(' a line', 'a');
  print('b\n', 'b');
  recorder.end({ error: new OcibuildError('CANCELLED', 'Cannot finish') });
  await following;
  expect(seen.join('').slice(`#1 [1/2] RUN a\n${long}`.length)).toBe(
    'half a line\n#2 [2/2] RUN b (cancelled)\nb\n',
  );
  seen.length = 0;
  await follow('1', 1);
  await follow('2', 5);
  await follow('1', 0);
  expect(seen.join('|')).toBe('half a line|b\n');
});

it('createRecorder() keeps nothing when the store was never opened', () => {
  const root = tempDir();
  const recorder = createRecorder(normaliseOptions({ context: root, cwd: root, env: {}, root }), 5000);
  recorder.event({ kind: 'started', time: 0, vertex: 'a' });
  recorder.end({ error: new Error('no Dockerfile') });
  expect(readdirSync(root)).toEqual([]);
});

it('createRecorder() keeps no credentials of the URLs that a build is of', () => {
  const root = tempDir();
  const context = 'https://me:hunter2@git.example/app.git';
  const dockerfile = 'https://me:hunter3@files.example/Dockerfile';
  const recorder = createRecorder(normaliseOptions({ context, dockerfile, cwd: root, env: {} }), 5000);
  const record = readFileSync(join(recorder.open(root) ?? '', 'build.json'), 'utf8');
  expect(record).toContain('files.example/Dockerfile');
  expect(record).not.toMatch(/hunter/);
});
