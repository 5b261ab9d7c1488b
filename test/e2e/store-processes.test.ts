import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createContentStore } from '../../src/cache/content-store.ts';
import { openDatabase } from '../../src/cache/database.ts';
import { createImageIndex } from '../../src/cache/image-index.ts';
import { createKeyStore } from '../../src/cache/key-store.ts';
import { openStore } from '../../src/cache/store-root.ts';

const PROCESSES = 8;
const SOURCES = pathToFileURL(`${resolve(import.meta.dirname, '../../src/cache')}/`).href;

/** What every child starts with. `DIR` is the store, `ME` the number of the child. */
const PRELUDE = `
const [DIR, ME] = [process.argv[1], Number(process.argv[2])];
const load = (name) => import(${JSON.stringify(SOURCES)} + name + '.ts');
const { openStore } = await load('store-root');
const { createContentStore } = await load('content-store');
const { openDatabase } = await load('database');
const { createImageIndex } = await load('image-index');
const { createKeyStore } = await load('key-store');
const root = await openStore(DIR);
const signal = new AbortController().signal;
`;

function child(dir: string, code: string, me = 0): ChildProcess {
  const flags = ['--disable-warning=ExperimentalWarning', '--input-type=module'];
  const process_ = spawn(process.execPath, [...flags, '-e', PRELUDE + code, dir, String(me)], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  onTestFinished(() => void process_.kill('SIGKILL'));
  return process_;
}

/** Resolves with what the child printed. */
async function finish(process_: ChildProcess): Promise<string> {
  let [out, err] = ['', ''];
  process_.stdout?.on('data', (data) => {
    out += data;
  });
  process_.stderr?.on('data', (data) => {
    err += data;
  });
  const code = await new Promise((done) => process_.once('close', done));
  if (code !== 0) throw new Error(`child ended with ${code}: ${err}`);
  return out;
}

/** Resolves once the child has printed a line, with that line. */
function firstLine(process_: ChildProcess): Promise<string> {
  return new Promise((done, fail) => {
    let out = '';
    process_.stdout?.on('data', (data) => {
      out += data;
      if (out.includes('\n')) done(out.slice(0, out.indexOf('\n')));
    });
    process_.once('close', (code) => fail(new Error(`child ended with ${code} before it said anything`)));
  });
}

async function kill(process_: ChildProcess): Promise<void> {
  const closed = new Promise((done) => process_.once('close', done));
  process_.kill('SIGKILL');
  await closed;
}

function storeDir(): string {
  const dir = mkdtempSync(join(tmpdir(), 'ocibuild-store-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  return join(dir, 'new/store');
}

const everyone = (dir: string, code: string): Promise<string[]> =>
  Promise.all(Array.from({ length: PROCESSES }, (_, me) => finish(child(dir, code, me))));

describe('a store and several processes', () => {
  it('putBytes() and ingest() give one whole blob when all write it at once', async () => {
    const dir = storeDir();
    const printed = await everyone(
      dir,
      `const { writeFileSync } = await import('node:fs');
       const store = createContentStore(root);
       for (let i = 0; i < 30; i++) {
         const bytes = Buffer.alloc(200_000 + i, 'blob ' + i);
         const { digest, size } = store.putBytes(bytes);
         const temp = store.tempFile();
         writeFileSync(temp, bytes);
         if (i % 3 === ME % 3) store.drop(digest);
         store.ingest(temp, digest, size);
       }
       console.log('done');`,
    );
    expect(printed).toEqual(Array(PROCESSES).fill('done\n'));
    const root = await openStore(dir);
    const store = createContentStore(root);
    const blobs = store.list();
    expect(blobs).toHaveLength(30);
    for (const { digest, size } of blobs) expect(store.readBytes(digest, size)).toHaveLength(size);
    expect(readdirSync(root.tmpDir)).toEqual([]);
  });

  it('set() loses no tag when all write the index at once', async () => {
    const dir = storeDir();
    await everyone(
      dir,
      `const index = createImageIndex(root, await openDatabase(root.databaseFile));
       for (let i = 0; i < 10; i++) {
         const digest = 'sha256:' + String(ME * 10 + i).padStart(64, '0');
         index.set('app' + ME + ':v' + i, { mediaType: 'application/vnd.oci.image.manifest.v1+json', digest, size: 1 });
         index.set('shared', { mediaType: 'application/vnd.oci.image.manifest.v1+json', digest, size: 1 });
       }`,
    );
    const root = await openStore(dir);
    const db = await openDatabase(root.databaseFile);
    const tags = createImageIndex(root, db)
      .list()
      .map((tag) => tag.name);
    db.close();
    const expected = Array.from({ length: PROCESSES * 10 }, (_, i) => `app${Math.floor(i / 10)}:v${i % 10}`);
    expect(tags.sort()).toEqual([...expected, 'shared:latest'].sort());
    expect(JSON.parse(readFileSync(join(dir, 'oci-layout'), 'utf8'))).toHaveProperty('imageLayoutVersion');
  });

  it('lock() lets one process run a step and the others find its record', async () => {
    const dir = storeDir();
    const printed = await everyone(
      dir,
      `const keys = createKeyStore(await openDatabase(root.databaseFile), { layerAvailable: () => true });
       const key = 'sha256:' + 'a'.repeat(64);
       await using lock = await keys.lock(key, signal);
       if (await keys.lookup(key) === undefined) {
         await new Promise((done) => setTimeout(done, 50));
         await keys.save({ key, kind: 'result', layers: ['x'], ingredients: [], name: 'RUN make' });
         console.log('ran');
       } else console.log('found');`,
    );
    expect(printed.filter((text) => text === 'ran\n')).toHaveLength(1);
    expect(printed.filter((text) => text === 'found\n')).toHaveLength(PROCESSES - 1);
  });

  it('openStore() finds a clean store when a process was killed in the middle of everything', async () => {
    const dir = storeDir();
    const victim = child(
      dir,
      `const { mkdirSync, openSync, writeSync } = await import('node:fs');
       const store = createContentStore(root);
       const db = await openDatabase(root.databaseFile);
       const keys = createKeyStore(db, { layerAvailable: () => true });
       store.putBytes(Buffer.from('whole'));
       await keys.save({ key: 'sha256:' + 'b'.repeat(64), kind: 'result', layers: [], ingredients: [], name: 'x' });
       const held = await keys.lock('sha256:' + 'a'.repeat(64), signal);
       mkdirSync(root.tempPath() + '/fs/etc', { recursive: true });
       mkdirSync(root.bundle().dir + '/rootfs', { recursive: true });
       writeSync(openSync(store.tempFile(), 'wx'), 'half a blob');
       const old = root.tempPath();
       mkdirSync(old + '/sub', { recursive: true });
       root.discard(old);
       db.transaction(() => {
         db.run("INSERT INTO locks VALUES('torn', 1, '1', 't', 1)");
         console.log('ready');
         for (;;) writeSync(openSync(store.tempFile(), 'wx'), 'more');
       });`,
    );
    await firstLine(victim);
    const during = await openStore(dir);
    expect(during.leftBundles).toEqual([]);
    await expect.poll(() => readdirSync(during.tmpDir).length).toBeGreaterThan(2);
    await kill(victim);

    const root = await openStore(dir);
    expect(readdirSync(root.tmpDir)).toEqual([]);
    expect(root.leftBundles).toHaveLength(1);
    for (const bundle of root.leftBundles) root.discard(bundle.dir);
    await root.emptyTrash({ wait: true });
    expect([...readdirSync(root.trashDir), ...readdirSync(root.runDir)]).toEqual([]);
    expect(createContentStore(root).list()).toEqual([{ digest: expect.any(String), size: 5 }]);
    const db = await openDatabase(root.databaseFile);
    const keys = createKeyStore(db, { layerAvailable: () => true });
    expect(db.all('SELECT * FROM locks')).toEqual([]);
    expect(await keys.lookup(`sha256:${'b'.repeat(64)}`)).toBeDefined();
    await (await keys.lock(`sha256:${'a'.repeat(64)}`, AbortSignal.timeout(20_000)))[Symbol.asyncDispose]();
    db.close();
  });

  it('lock() goes over to a waiting process when its holder is killed', async () => {
    const dir = storeDir();
    const take = `const keys = createKeyStore(await openDatabase(root.databaseFile), { layerAvailable: () => true });
       const held = await keys.lock('sha256:' + 'a'.repeat(64), signal);
       console.log('mine');`;
    const holder = child(dir, `${take} setInterval(() => {}, 1000);`);
    await firstLine(holder);
    const waiting = child(dir, `${take} await held[Symbol.asyncDispose]();`, 1);
    const told = firstLine(waiting);
    const early = await Promise.race([told, new Promise((done) => setTimeout(done, 500, 'still waiting'))]);
    expect(early).toBe('still waiting');
    await kill(holder);
    expect(await told).toBe('mine');
  });

  it.skipIf(spawnSync('skopeo', ['--version']).status !== 0)(
    'skopeo finds a tag by the name it was given',
    async () => {
      const dir = storeDir();
      const root = await openStore(dir);
      const store = createContentStore(root);
      const db = await openDatabase(root.databaseFile);
      const put = (value: unknown) => store.putBytes(Buffer.from(JSON.stringify(value)));
      const config = put({
        architecture: 'amd64',
        os: 'linux',
        config: {},
        rootfs: { type: 'layers', diff_ids: [] },
      });
      const mediaType = 'application/vnd.oci.image.manifest.v1+json';
      const manifest = put({
        schemaVersion: 2,
        mediaType,
        config: { mediaType: 'application/vnd.oci.image.config.v1+json', ...config },
        layers: [],
      });
      createImageIndex(root, db).set('app:v0', { mediaType, ...manifest });
      db.close();
      const { status, stdout, stderr } = spawnSync('skopeo', ['inspect', `oci:${dir}:app:v0`], {
        encoding: 'utf8',
      });
      expect(stderr).toBe('');
      expect(status).toBe(0);
      expect(JSON.parse(stdout)).toMatchObject({ Digest: manifest.digest, Os: 'linux' });
    },
  );
});
