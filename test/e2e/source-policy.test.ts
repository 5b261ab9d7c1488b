import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { build } from '../../src/build/build.ts';
import { lock } from '../../src/build/lock/lock.ts';
import type { SourceRule } from '../../src/build/policy/types.ts';
import { makeLayout } from '../support/layout.ts';
import { startRegistry, type TestRegistry } from '../support/registry.ts';
import { createProject, type Project } from './cli-support.ts';

const top = mkdtempSync(join(tmpdir(), 'ocibuild-policy-'));
const FILE = 'the file\n';
const checksum = `sha256:${createHash('sha256').update(FILE).digest('hex')}`;
let registry: TestRegistry;
let files: Server;
let [url, base, old, now] = ['', '', '', ''];

beforeAll(async () => {
  registry = await startRegistry();
  files = createServer((_request, response) => response.end(FILE));
  await new Promise<void>((done) => files.listen(0, '127.0.0.1', done));
  url = `http://127.0.0.1:${(files.address() as AddressInfo).port}`;
  base = `${registry.host}/base`;
  const layout = join(top, 'layout');
  for (const text of ['old', 'now']) {
    const { digest } = await makeLayout(layout, text, { layers: [{ 'etc/version': text }] });
    await registry.push(layout, text, 'base:1');
    [old, now] = [now, digest];
  }
});

afterAll(async () => {
  files?.close();
  await registry?.[Symbol.asyncDispose]();
  rmSync(top, { recursive: true, force: true });
});

const policy = (...rules: SourceRule[]): string => JSON.stringify({ version: 1, rules });
const deny = (identifier: string): SourceRule => ({ action: 'DENY', selector: { identifier } });
const project = (dockerfile: string): Project => createProject({ Dockerfile: dockerfile });

describe('a source policy', () => {
  it('denies an image by name and by digest, also where all of the build is cached', async () => {
    const { write, run } = project(`FROM scratch\nCOPY --from=${base}:1 /etc/version /v\n`);
    const args = ['build', '-q', '-t', 'app:1', '.'];
    const env = { EXPERIMENTAL_BUILDKIT_SOURCE_POLICY: 'p.json' };
    write({ 'p.json': policy(deny('https://*')) });
    expect(await run(args, { env })).toMatchObject({ code: 0 });
    expect(await run(args, { env })).toMatchObject({ code: 0 });
    for (const identifier of [`docker-image://${base}:*`, `docker-image://*@${now}`]) {
      write({ 'p.json': policy(deny(identifier)) });
      const { code, stderr } = await run(args, { env });
      expect(code).toBe(1);
      expect(stderr).toContain('error[SOURCE_DENIED]: Cannot use the source "docker-image://');
      expect(stderr).toContain('Dockerfile:2:');
    }
    expect(await run(args)).toMatchObject({ code: 0 });
    expect(await run(args, { env: { EXPERIMENTAL_BUILDKIT_SOURCE_POLICY: 'none.json' } })).toMatchObject({
      code: 2,
    });
  });

  it('puts digests, checksums and mirrors in the place of names, and provenance tells so', async () => {
    const { dir, store } = project(`FROM ${base}:1\nADD ${url}/a /a\n`);
    const dest = join(dir, '../out');
    const rules: SourceRule[] = [
      {
        action: 'CONVERT',
        selector: { identifier: `docker-image://${base}:*` },
        updates: { identifier: `docker-image://${base}:1@${old}` },
      },
      {
        action: 'CONVERT',
        selector: { identifier: `${url}/a` },
        updates: { identifier: `${url}/b`, attrs: { 'http.checksum': checksum } },
      },
    ];
    const options = { context: dir, root: store, sourcePolicy: { rules }, pull: 'newer' } as const;
    const { provenance } = await build({
      ...options,
      outputs: [{ type: 'local', dest }],
      resultProvenance: 'max',
    });
    expect(readFileSync(join(dest, 'etc/version'), 'utf8')).toBe('old');
    expect(readFileSync(join(dest, 'a'), 'utf8')).toBe(FILE);
    const told = JSON.stringify(provenance?.[0]?.predicate);
    expect(told).toContain(old.slice('sha256:'.length));
    expect(told).toContain(`${url}/b`);
    expect(told).not.toContain(now.slice('sha256:'.length));
    // What is pinned needs no entry; what is held to the lock still obeys.
    expect((await lock(options)).lock).toEqual({ images: {}, urls: {}, git: {} });
    await build({ ...options, locked: true, outputs: [{ type: 'cacheonly' }] });
  });

  it('fails a download that is another, and denies what a lock file pins by its name', async () => {
    const { dir, store } = project(`FROM scratch\nADD ${url}/a /a\n`);
    const options = { context: dir, root: store, outputs: [{ type: 'cacheonly' }] } as const;
    const wrong: SourceRule = {
      action: 'CONVERT',
      selector: { identifier: 'http://*' },
      updates: { attrs: { 'http.checksum': `sha256:${'0'.repeat(64)}` } },
    };
    await expect(build({ ...options, sourcePolicy: { rules: [wrong] } })).rejects.toMatchObject({
      code: 'CHECKSUM_MISMATCH',
    });
    await lock(options);
    await build({ ...options, locked: true });
    const rules = [deny(`${url}/a`)];
    await expect(build({ ...options, locked: true, sourcePolicy: { rules } })).rejects.toMatchObject({
      code: 'SOURCE_DENIED',
      source: { ranges: [{ start: { line: 2 } }] },
    });
  });
});
