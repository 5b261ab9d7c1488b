import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MEDIA_TYPE } from '../../src/image/types.ts';
import { type Fault, type FaultyRegistry, startFaultyRegistry } from '../support/faulty-registry.ts';
import { makeLayout } from '../support/layout.ts';
import { listenOnLoopback } from '../support/loopback.ts';
import { type CliResult, createProject, type Project } from './cli-support.ts';

const dir = mkdtempSync(join(tmpdir(), 'ocibuild-e2e-bad-'));
const LAYERS = ['one', 'two', 'three'].map((name) => ({ [name]: Buffer.alloc(100_000, name) }));
let blobs: readonly { readonly digest: string; readonly data: Buffer }[];
let manifest: { readonly data: Buffer; readonly config: string; readonly layers: readonly string[] };

beforeAll(async () => {
  const { digest } = await makeLayout(join(dir, 'layout'), 'v1', { layers: LAYERS });
  const read = (name: string): Buffer => readFileSync(join(dir, 'layout/blobs/sha256', name));
  const data = read(digest.slice(7));
  const document = JSON.parse(data.toString()) as {
    config: { digest: string };
    layers: readonly { digest: string }[];
  };
  manifest = { data, config: document.config.digest, layers: document.layers.map((layer) => layer.digest) };
  const names = readdirSync(join(dir, 'layout/blobs/sha256'));
  blobs = names.map((name) => ({ digest: `sha256:${name}`, data: read(name) }));
});

afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** Holds `team/app:v1`, and answers as `fault` says until `state.broken` is false. */
async function startBroken(
  fault: Fault,
): Promise<{ readonly server: FaultyRegistry; readonly state: { broken: boolean } }> {
  const server = await startFaultyRegistry();
  const state = { broken: true };
  server.fault((request, response, count) => state.broken && fault(request, response, count));
  for (const { data } of blobs) server.blob(data);
  server.manifest('team/app', 'v1', manifest.data);
  return { server, state };
}

/** Answers of one kind for requests whose path matches. */
function answer(
  path: RegExp,
  body: string | Buffer,
  { status = 200, headers = {} }: { status?: number; headers?: Readonly<Record<string, string>> } = {},
): Fault {
  return (request, response) => {
    if (!path.test(request.url ?? '')) return false;
    response.writeHead(status, headers).end(request.method === 'HEAD' ? undefined : body);
    return true;
  };
}

const asManifest = { headers: { 'content-type': MEDIA_TYPE.manifest } };

describe('ocibuild pull', () => {
  it.each<[string, Fault, RegExp]>([
    [
      'has not the repository',
      (request, response) => {
        if (!request.url?.startsWith('/v2/team/app/')) return false;
        response.writeHead(404).end('{"errors":[{"code":"NAME_UNKNOWN","message":"no such repository"}]}');
        return true;
      },
      /\[REGISTRY_NOT_FOUND\]: .*NAME_UNKNOWN[\s\S]*hint: the registry has no repository "team\/app"/,
    ],
    [
      'lies about the digest of the manifest',
      answer(/manifests/, '{}', { headers: { 'docker-content-digest': `sha256:${'a'.repeat(64)}` } }),
      /\[REGISTRY_RESPONSE_INVALID\]: .*expected "sha256:a+"/,
    ],
    [
      'says another type than the manifest',
      (request, response, count) =>
        answer(/manifests/, manifest.data, { headers: { 'content-type': MEDIA_TYPE.index } })(
          request,
          response,
          count,
        ),
      /\[REGISTRY_RESPONSE_INVALID\]: .*mediaType is/,
    ],
    [
      'answers with a page for people',
      answer(/v2/, '<html>Log in</html>', { headers: { 'content-type': 'text/html' } }),
      /\[REGISTRY_RESPONSE_INVALID\]: .*page for people\nhint: .*login page/,
    ],
    [
      'has a manifest of 5 MiB',
      answer(/manifests/, Buffer.alloc(5 << 20, ' '), asManifest),
      /\[REGISTRY_RESPONSE_INVALID\]: .*team\/app:v1": it has more than 4194304 B/,
    ],
    [
      'has schema 1 only',
      answer(/manifests/, '{"schemaVersion":1}', {
        headers: { 'content-type': 'application/vnd.docker.distribution.manifest.v1+prettyjws' },
      }),
      /\[REGISTRY_RESPONSE_INVALID\]: .*schema 1/,
    ],
    [
      'redirects for ever',
      (request, response) => {
        response.writeHead(307, { location: request.url }).end();
        return true;
      },
      /\[REGISTRY_RESPONSE_INVALID\]: .*more than 10 redirects/,
    ],
    [
      'limits requests for an hour',
      answer(/v2/, '', { status: 429, headers: { 'retry-after': '3600' } }),
      /\[REGISTRY_REQUEST_FAILED\]: .*too many requests[\s\S]*hint: .*mirror/,
    ],
    [
      'forbids it',
      answer(/v2/, '{"errors":[{"code":"DENIED","message":"not for you"}]}', { status: 403 }),
      /\[REGISTRY_AUTH_FAILED\]: .*DENIED not for you \(no credentials for/,
    ],
  ])('ends with 4 when the registry %s', async (_, fault, message) => {
    const { server } = await startBroken(fault);
    await using _server = server;
    const project = createProject({});
    const { code, stderr } = await project.run(['pull', '-q', `${server.host}/team/app:v1`]);
    expect(stderr).toMatch(message);
    expect(code).toBe(4);
    await expect.poll(() => project.leftovers(), { timeout: 10_000 }).toEqual([]);
  });

  it('ends with 4 when nobody listens', async () => {
    const project = createProject({});
    const refused = await project.run(['pull', '127.0.0.1:1/app:v1']);
    expect(refused).toMatchObject({
      code: 4,
      stderr: expect.stringMatching(/REGISTRY_UNREACHABLE[\s\S]*hint:/),
    });
  });

  it('names the entry or the helper whose password is wrong, and says when there is none', async () => {
    const { server } = await startBroken(
      answer(/v2/, '', { status: 401, headers: { 'www-authenticate': 'Basic realm="x"' } }),
    );
    await using _server = server;
    const project = createProject({});
    const pull = async (config: object): Promise<string> => {
      const folder = mkdtempSync(join(dir, 'docker-'));
      writeFileSync(join(folder, 'config.json'), JSON.stringify(config));
      const env = { DOCKER_CONFIG: folder, PATH: `${join(dir, 'bin')}:${process.env.PATH}` };
      const { code, stderr } = await project.run(['pull', `${server.host}/team/app:v1`], { env });
      expect(code).toBe(4);
      expect(stderr).not.toMatch(/wrong-word/);
      return stderr;
    };
    mkdirSync(join(dir, 'bin'), { recursive: true });
    const helper = join(dir, 'bin/docker-credential-vault');
    writeFileSync(helper, `#!/bin/sh\ncat >/dev/null\necho '{"Username":"me","Secret":"wrong-word"}'\n`);
    chmodSync(helper, 0o755);
    const auth = Buffer.from('me:wrong-word').toString('base64');
    expect(await pull({ auths: { [server.host]: { auth } } })).toMatch(
      new RegExp(`REGISTRY_AUTH_FAILED.*entry "${server.host}" of .*config\\.json`),
    );
    expect(await pull({ credsStore: 'vault' })).toMatch(
      /REGISTRY_AUTH_FAILED.*helper "docker-credential-vault" of/,
    );
    expect(await pull({})).toMatch(/REGISTRY_AUTH_FAILED.*no credentials for/);
  });

  /** Pulls twice: in vain, and again when the registry is well. Gives what the second try asked for. */
  async function twice(fault: Fault, message: RegExp): Promise<{ project: Project; asked: string[] }> {
    const { server, state } = await startBroken(fault);
    await using _server = server;
    const project = createProject({});
    const ref = `${server.host}/team/app:v1`;
    const first = await project.run(['pull', '-q', ref]);
    expect(first.stderr).toMatch(message);
    expect(first.code).toBe(4);
    await expect.poll(() => project.leftovers(), { timeout: 10_000 }).toEqual([]);
    expect((await project.run(['inspect', ref])).code).toBe(1);
    state.broken = false;
    server.seen.length = 0;
    expect(await project.run(['pull', '-q', ref])).toMatchObject({ code: 0 });
    return { project, asked: server.seen.map(({ path }) => path.replace('/v2/team/app/', '')) };
  }

  it('keeps what arrived when one blob is another, is shorter or is not there, and asks for that one again', async () => {
    const [, second = ''] = manifest.layers;
    const isSecond = new RegExp(second);
    const damaged = Buffer.from(blobs.find(({ digest }) => digest === second)?.data ?? '');
    damaged[50] = (damaged[50] ?? 0) ^ 1;
    // Later than the others, which are then on their way or there.
    const late =
      (fault: Fault): Fault =>
      (request, response, count) => {
        if (!isSecond.test(request.url ?? '')) return false;
        setTimeout(() => fault(request, response, count), 100);
        return true;
      };
    const faults: readonly (readonly [Fault, RegExp])[] = [
      [late(answer(/./, damaged)), /\[REGISTRY_RESPONSE_INVALID\]: .*its content has digest/],
      [late(answer(/./, '', { status: 404 })), /\[REGISTRY_NOT_FOUND\]/],
      [
        late(answer(/./, damaged, { headers: { 'content-length': '10' } })),
        /\[REGISTRY_RESPONSE_INVALID\]: .*has 10 B, expected/,
      ],
    ];
    for (const [fault, message] of faults) {
      const { asked } = await twice(fault, message);
      expect(asked.filter((path) => path.startsWith('blobs/'))).toEqual([`blobs/${second}`]);
    }
  });

  it('takes no config that is another', async () => {
    const config = blobs.find(({ digest }) => digest === manifest.config)?.data ?? Buffer.of();
    const other = Buffer.from(config.toString().replace('amd64', 'arm64'));
    const fault = answer(new RegExp(manifest.config), other);
    const { asked } = await twice(fault, /\[REGISTRY_RESPONSE_INVALID\]/);
    expect(asked).toContain(`blobs/${manifest.config}`);
  });
});

describe('ocibuild push', () => {
  it('ends with 4 when a layer or the manifest is refused, and sends only what is missing the next time', async () => {
    const project = createProject({});
    await project.run(['copy', '-q', `oci:${dir}/layout:v1`, 'store:app:v1']);
    const [, second = ''] = manifest.layers;
    const taken = new Set<string>();
    const seen: string[] = [];
    let refused: RegExp | undefined;
    await using registry = await listenOnLoopback(
      createServer((request, response) => {
        const { method = '', url = '' } = request;
        const id = decodeURIComponent(url.split(/[/=]/).at(-1) ?? '');
        request.resume().once('end', () => {
          if (method === 'PUT') seen.push(id);
          if (method === 'PUT' && refused?.test(id)) {
            // The others are there by then.
            const words = '{"errors":[{"code":"DENIED","message":"over quota"}]}';
            setTimeout(() => response.writeHead(403).end(words), 200);
          } else if (method === 'HEAD') response.writeHead(taken.has(id) ? 200 : 404).end();
          else if (method === 'POST') response.writeHead(202, { location: '/v2/app/blobs/uploads/1' }).end();
          else if (method === 'PUT') {
            taken.add(id);
            response.writeHead(201).end();
          } else response.writeHead(404).end();
        });
      }),
    );
    const pushing = async (): Promise<CliResult> =>
      project.run(['push', '-q', 'app:v1', `${registry.host}/app:v1`]);
    for (const [pattern, missing] of [
      [new RegExp(second), [second, 'v1']],
      [/^v1$/, ['v1']],
    ] as const) {
      refused = pattern;
      expect(await pushing()).toMatchObject({ code: 4, stderr: expect.stringMatching(/DENIED over quota/) });
      refused = undefined;
      seen.length = 0;
      expect(await pushing()).toMatchObject({ code: 0 });
      expect(seen).toEqual(missing);
    }
    expect(taken.size).toBe(5);
  });
});

describe('ocibuild build', () => {
  it('ends with 4 when a base layer is another, and goes on from the rest', async () => {
    const [first = ''] = manifest.layers;
    const length = blobs.find(({ digest }) => digest === first)?.data.length ?? 0;
    const { server, state } = await startBroken(answer(new RegExp(first), Buffer.alloc(length)));
    await using _server = server;
    const project = createProject({
      Dockerfile: `FROM ${server.host}/team/app:v1\nCOPY --from=${server.host}/team/app:v1 /three /copy\n`,
    });
    const failed = await project.run(['build', '-q', '.']);
    expect(failed.stderr).toMatch(/\[REGISTRY_RESPONSE_INVALID\]/);
    expect(failed.code).toBe(4);
    await expect.poll(() => project.leftovers(), { timeout: 10_000 }).toEqual([]);
    state.broken = false;
    expect(await project.run(['build', '-q', '.'])).toMatchObject({ code: 0 });
  });
});
