import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startCountingProxy } from '../support/counting-proxy.ts';
import { makeLayout } from '../support/layout.ts';
import { startRegistry, type TestRegistry } from '../support/registry.ts';
import { PASSWORD, USER } from '../support/token-server.ts';
import { createProject } from './cli-support.ts';

const exec = promisify(execFile);
const dir = mkdtempSync(join(tmpdir(), 'ocibuild-e2e-images-'));
let open: TestRegistry;
let locked: TestRegistry;

beforeAll(async () => {
  const htpasswd = join(dir, 'htpasswd');
  writeFileSync(htpasswd, `${USER}:$2b$12$Oa7dae.XFsb6zv2Xd2FiMuSOJBmto.DpHKpPNtlTbFYE9jgxZsYk2\n`);
  [open, locked] = await Promise.all([
    startRegistry(),
    startRegistry({ auth: { htpasswd: { realm: 'test', path: htpasswd } } }),
  ]);
});

afterAll(async () => {
  await Promise.all([open?.[Symbol.asyncDispose](), locked?.[Symbol.asyncDispose]()]);
  rmSync(dir, { recursive: true, force: true });
});

async function digestIn(registry: TestRegistry, name: string, creds?: string): Promise<string> {
  const access = creds === undefined ? [] : ['--creds', creds];
  const image = `docker://${registry.host}/${name}`;
  const { stdout } = await exec('skopeo', [
    ...['inspect', '--tls-verify=false', ...access, '--format', '{{.Digest}}', image],
  ]);
  return stdout.trim();
}

const FILES = { Dockerfile: 'FROM scratch\nCOPY a /a\nCOPY b /b\nLABEL x=y\n', a: 'one', b: 'two' };

describe('ocibuild push and pull', () => {
  it('carry an image to another store, digest for digest', async () => {
    const project = createProject(FILES);
    await project.run(['build', '-q', '-t', 'app:v0', '.']);
    const pushed = await project.run(['push', 'app:v0', `${open.host}/team/app:v0`]);
    expect(pushed).toMatchObject({ code: 0 });
    const digest = pushed.stdout.toString().trim();
    expect(await digestIn(open, 'team/app:v0')).toBe(digest);

    const again = await project.run(['push', 'app:v0', `${open.host}/team/app:v0`]);
    expect(again.stderr.match(/already there/g)).toHaveLength(3);

    const other = join(dir, 'other');
    const pulled = await project.run(['pull', `${open.host}/team/app:v0`], { store: other });
    expect(pulled.stdout.toString().trim()).toBe(digest);
    const unpacked = await project.run(['unpack', `${open.host}/team/app:v0`, join(dir, 'bundle')], {
      store: other,
    });
    expect(unpacked.code).toBe(0);
    const blocked = await project.run(
      ['unpack', `${open.host}/team/app:v0`, join(dir, 'bundle/config.json/x')],
      { store: other },
    );
    expect(blocked.stderr).toContain('error[EXPORT_TARGET_INVALID]');
    expect(readFileSync(join(dir, 'bundle/rootfs/b'), 'utf8')).toBe('two');
    await expect.poll(() => project.leftovers(), { timeout: 10_000 }).toEqual([]);
  });

  it('keep an index whole, or take one platform of it', async () => {
    const layout = join(dir, 'many');
    const index = await makeLayout(layout, 'many', [
      { layers: [{ arch: 'amd64' }] },
      { layers: [{ arch: 'arm64' }], platform: { os: 'linux', architecture: 'arm64' } },
    ]);
    await open.push(layout, 'many', 'team/many:v1');
    const project = createProject({});
    const name = `${open.host}/team/many:v1`;
    const whole = await project.run(['pull', '-q', '--all-platforms', name]);
    expect(whole.stdout.toString().trim()).toBe(index.digest);
    const copy = await project.run(['push', '-q', name, `${open.host}/copy/many:v1`]);
    expect(copy).toMatchObject({ code: 0 });
    expect(await digestIn(open, 'copy/many:v1')).toBe(await digestIn(open, 'team/many:v1'));
    const arm = await project.run(['pull', '-q', '--platform', 'linux/arm64', name]);
    expect(arm.stdout.toString().trim()).not.toBe(index.digest);
    const config = await project.run(['inspect', '--config', name]);
    expect(JSON.parse(config.stdout.toString())).toMatchObject({ architecture: 'arm64' });
  });

  it('move no base layer when the target registry has it', async () => {
    const project = createProject({
      Dockerfile: `FROM ${open.host}/team/base:v1\nCOPY a /a\n`,
      a: 'one',
    });
    const layout = join(dir, 'base');
    await makeLayout(layout, 'one', { layers: [{ big: Buffer.alloc(2_000_000, 'x') }] });
    await open.push(layout, 'one', 'team/base:v1');
    const built = await project.run(['build', '-q', '--label', 'a=b', '-t', 'child', '.']);
    expect(built).toMatchObject({ code: 0 });
    const pushed = await project.run(['push', 'child', `${open.host}/team/child`]);
    expect(pushed.stderr).toMatch(/mounted/);
  });

  it('fail with 4 when the registry is not there', async () => {
    const project = createProject(FILES);
    await project.run(['build', '-q', '-t', 'app:v0', '.']);
    const result = await project.run(['push', 'app:v0', '127.0.0.1:1/app:v0']);
    expect(result).toMatchObject({ code: 4 });
    expect(result.stderr).toMatch(/^error\[REGISTRY_UNREACHABLE\]: Cannot push/m);
  });
});

describe('ocibuild login', () => {
  it('stores a password that the registry takes, which push and pull then use, and logout forgets it', async () => {
    const project = createProject(FILES);
    const env = { HOME: mkdtempSync(join(dir, 'home-')), DOCKER_CONFIG: '', REGISTRY_AUTH_FILE: '' };
    await project.run(['build', '-q', '-t', `${locked.host}/app:v0`, '.']);
    const refused = await project.run(['push', `${locked.host}/app:v0`], { env });
    expect(refused.code).toBe(4);
    expect(refused.stderr).toMatch(/no credentials for/);

    const login = ['login', '-u', USER, '--password-stdin', `https://${locked.host}/v2/`];
    const wrong = await project.run(login, { env, input: 'wrong\n' });
    expect(wrong.code).toBe(4);
    expect(() => statSync(join(env.HOME, '.docker/config.json'))).toThrow();

    expect(await project.run(login, { env, input: `${PASSWORD}\n` })).toMatchObject({ code: 0 });
    expect(statSync(join(env.HOME, '.docker/config.json')).mode & 0o777).toBe(0o600);
    expect(await project.run(['push', '-q', `${locked.host}/app:v0`], { env })).toMatchObject({ code: 0 });
    expect(await digestIn(locked, 'app:v0', `${USER}:${PASSWORD}`)).toMatch(/^sha256:/);

    expect(await project.run(['logout', locked.host], { env })).toMatchObject({ code: 0 });
    expect((await project.run(['push', `${locked.host}/app:v0`], { env })).code).toBe(4);
  });
});

describe('ocibuild tag, rmi and history', () => {
  it('name, take away and tell', async () => {
    const project = createProject(FILES);
    await project.run(['build', '-q', '-t', 'app:v0', '.']);
    expect(await project.run(['tag', 'app:v0', 'registry.example/team/app:v1'])).toMatchObject({ code: 0 });
    const history = await project.run(['history', '--format', 'json', 'registry.example/team/app:v1']);
    const lines = JSON.parse(history.stdout.toString()) as { created_by: string; sizeBytes: number }[];
    expect(lines.map(({ created_by: by }) => by)).toEqual([
      'LABEL x=y',
      'COPY b /b # buildkit',
      'COPY a /a # buildkit',
    ]);
    expect(lines.map(({ sizeBytes }) => sizeBytes > 0)).toEqual([false, true, true]);
    expect((await project.run(['rmi', 'app:v0', 'nothing'])).code).toBe(1);
    expect(await project.run(['rmi', 'app:v0'])).toMatchObject({ code: 0 });
    const images = await project.run(['images', '--format', 'json']);
    const [image] = JSON.parse(images.stdout.toString()) as { name: string; digest: string }[];
    expect(image?.name).toBe('registry.example/team/app:v1');
    const whole = await project.run(['images', '--no-trunc']);
    expect(whole.stdout.toString()).toMatch(
      new RegExp(`^registry.example/team/app:v1 +${image?.digest} `, 'm'),
    );
    expect(await project.run(['rmi', '--force', 'nothing', `${image?.digest}`])).toMatchObject({ code: 0 });
    expect((await project.run(['images', '-q'])).stdout.toString()).toBe('');
  });
});

describe('ocibuild build --push', () => {
  it('pushes every name, and tags nothing in the store', async () => {
    const project = createProject(FILES);
    const names = ['team/one:v1', 'team/one:v2', 'other/two:v1'];
    const result = await project.run([
      ...['build', '-q', '--push'],
      ...names.flatMap((name) => ['-t', `${open.host}/${name}`]),
      '.',
    ]);
    expect(result).toMatchObject({ code: 0 });
    for (const name of names) expect(await digestIn(open, name)).toBe(result.stdout.toString().trim());
    expect((await project.run(['images', '-q'])).stdout.toString()).toBe('');
  });

  it('leaves no tag when the image is to be had by its digest', async () => {
    const project = createProject(FILES);
    const spec = `type=registry,push-by-digest=true,name=${open.host}/team/digest`;
    const result = await project.run(['build', '-q', '-o', spec, '.']);
    const digest = result.stdout.toString().trim();
    const { stdout } = await exec('skopeo', [
      ...['inspect', '--raw', '--tls-verify=false', `docker://${open.host}/team/digest@${digest}`],
    ]);
    expect(JSON.parse(stdout)).toMatchObject({ schemaVersion: 2 });
    await expect(digestIn(open, 'team/digest:latest')).rejects.toThrow();
    // What is pulled by a digest is called so here, or nothing would find or keep it.
    const name = `${open.host}/team/digest@${digest}`;
    expect(await project.run(['pull', '-q', name])).toMatchObject({ code: 0 });
    expect((await project.run(['images'])).stdout.toString()).toContain(`\n${name} `);
    expect(await project.run(['prune', '--all', '--force'])).toMatchObject({ code: 0 });
    expect(await project.run(['history', name])).toMatchObject({ code: 0 });
    expect(await project.run(['rmi', name])).toMatchObject({ code: 0 });
    expect((await project.run(['images', '-q'])).stdout.toString()).toBe('');
  });

  it('fetches no layer of a base that its registry keeps', async () => {
    const layout = join(dir, 'lazy');
    await makeLayout(layout, 'one', { layers: [{ big: Buffer.alloc(1_000_000, 'y') }, { small: 'y' }] });
    await open.push(layout, 'one', 'team/lazy:v1');
    await using proxy = await startCountingProxy(open.host);
    const project = createProject({ Dockerfile: `FROM ${proxy.host}/team/lazy:v1\nLABEL a=b\nCMD ["x"]\n` });
    const result = await project.run(['build', '-q', '--push', '-t', `${proxy.host}/child/lazy`, '.']);
    expect(result).toMatchObject({ code: 0 });
    expect(await digestIn(open, 'child/lazy:latest')).toBe(result.stdout.toString().trim());
    // The config is all that was read; the layers were mounted.
    const read = proxy.seen.filter((line) => line.startsWith('GET team/lazy/blobs/'));
    expect(read).toHaveLength(1);
    expect(proxy.seen.filter((line) => line.includes('mount='))).toHaveLength(2);
  });

  it('is refused before anything is built when the image has no name', async () => {
    const project = createProject(FILES);
    expect(await project.run(['build', '--push', '.'])).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/Cannot push an image without a name/),
    });
  });
});

describe('ocibuild diff', () => {
  it('tells config, layers and files apart, and says when nothing differs', async () => {
    const project = createProject(FILES);
    await project.run(['build', '-q', '-t', 'app:v0', '.']);
    await project.run(['tag', 'app:v0', 'app:same']);
    expect(await project.run(['diff', 'app:v0', 'app:same'])).toMatchObject({ code: 0 });
    project.write({ b: 'more than two', Dockerfile: `${FILES.Dockerfile}ENV A=1\n` });
    await project.run(['build', '-q', '-t', 'app:v1', '.']);
    const { code, stdout } = await project.run(['diff', 'app:v0', 'app:v1']);
    expect(code).toBe(1);
    expect(stdout.toString()).toMatch(/^layers: 1 the same, then 1 → 1$/m);
    expect(stdout.toString()).toMatch(/^ {2}config\.Env\[1\]: - → "A=1"$/m);
    expect(stdout.toString()).toMatch(/^ {2}~ \/b: size 3 → 13/m);
    expect(stdout.toString()).not.toMatch(/\/a/);
  });
});
