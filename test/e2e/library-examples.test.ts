import { type ChildProcess, spawn } from 'node:child_process';
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startRegistry, type TestRegistry } from '../support/registry.ts';

const CHECKOUT = resolve(import.meta.dirname, '../..');

/** The programs of examples/library, in a project that has the package. */
describe('examples/library', () => {
  let top: string;
  let registry: TestRegistry;
  const started: ChildProcess[] = [];

  beforeAll(async () => {
    top = mkdtempSync(join(tmpdir(), 'ocibuild-library-'));
    mkdirSync(join(top, 'node_modules'));
    symlinkSync(CHECKOUT, join(top, 'node_modules/ocibuild'));
    for (const name of ['publish.mjs', 'dev-server.mjs'])
      copyFileSync(join(CHECKOUT, 'examples/library', name), join(top, name));
    mkdirSync(join(top, 'site'));
    writeFileSync(join(top, 'site/Dockerfile'), 'FROM scratch\nCOPY *.html /\n');
    writeFileSync(join(top, 'site/index.html'), '<h1>one</h1>\n');
    registry = await startRegistry();
  });

  afterAll(async () => {
    for (const child of started) child.kill('SIGKILL');
    await registry[Symbol.asyncDispose]();
    rmSync(top, { recursive: true, force: true });
  });

  function start(args: readonly string[]): {
    child: ChildProcess;
    output: () => string;
    ended: Promise<number | null>;
  } {
    const env = { ...process.env, OCIBUILD_ROOT: join(top, 'store'), HOME: top };
    const child = spawn(process.execPath, args, { cwd: top, env, stdio: ['ignore', 'pipe', 'pipe'] });
    started.push(child);
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (data: Buffer) => {
        output += data.toString();
      });
    }
    return { child, output: () => output, ended: new Promise((done) => child.once('close', done)) };
  }

  it('publish.mjs builds and pushes, and says what is wrong', async () => {
    const name = `${registry.host}/team/site:v1`;
    const good = start(['publish.mjs', 'site', name]);
    expect([await good.ended, good.output()]).toEqual([0, expect.stringContaining(`${name}@sha256:`)]);
    const { status } = await fetch(`http://${registry.host}/v2/team/site/manifests/v1`, {
      headers: { accept: 'application/vnd.oci.image.manifest.v1+json' },
    });
    expect(status).toBe(200);
    const bad = start(['publish.mjs', 'nowhere', name]);
    expect([await bad.ended, bad.output()]).toEqual([4, expect.stringMatching(/^CONTEXT_NOT_FOUND: /m)]);
  });

  it('dev-server.mjs serves what was saved last, and shows an error in place of it', async () => {
    const probe = createServer().listen(0);
    await new Promise((done) => probe.once('listening', done));
    const { port } = probe.address() as { port: number };
    await new Promise((done) => probe.close(done));
    const { child, output, ended } = start(['dev-server.mjs', 'site', String(port)]);
    const answers = async (text: string): Promise<void> => {
      for (let i = 0; i < 200; i++) {
        const answer = await fetch(`http://127.0.0.1:${port}/`).then((response) => response.text(), String);
        if (answer.includes(text)) return;
        await sleep(50);
      }
      throw new Error(`Cannot get "${text}":\n${output()}`);
    };
    await answers('<h1>one</h1>');
    expect((await fetch(`http://127.0.0.1:${port}/%`)).status).toBe(400);
    writeFileSync(join(top, 'site/index.html'), '<h1>two</h1>\n');
    await answers('<h1>two</h1>');
    const dockerfile = readFileSync(join(top, 'site/Dockerfile'), 'utf8');
    writeFileSync(join(top, 'site/Dockerfile'), 'FROM scratch\nCOPY missing.html /\n');
    await answers('missing.html');
    writeFileSync(join(top, 'site/Dockerfile'), dockerfile);
    await answers('<h1>two</h1>');
    child.kill('SIGINT');
    expect(await ended).toBe(0);
  });
});
