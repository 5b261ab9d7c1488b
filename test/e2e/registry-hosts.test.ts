import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createPlain, type RequestListener } from 'node:http';
import { createServer as createSecure } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseReference } from '../../src/image/reference.ts';
import { createResolver } from '../../src/registry/resolver.ts';
import { makeLayout } from '../support/layout.ts';
import { type Listening, listenOnLoopback, passOn } from '../support/loopback.ts';
import { startRegistry, type TestRegistry } from '../support/registry.ts';

const signal = new AbortController().signal;
const dir = mkdtempSync(join(tmpdir(), 'ocibuild-e2e-hosts-'));
const [key, certificate] = [join(dir, 'key.pem'), join(dir, 'ca.pem')];
let registry: TestRegistry;

beforeAll(async () => {
  execFileSync(
    'openssl',
    [
      ...['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', key, '-out', certificate],
      ...['-subj', '/CN=test', '-days', '2', '-addext', 'subjectAltName=IP:127.0.0.1'],
    ],
    { stdio: 'ignore' },
  );
  registry = await startRegistry();
  const layout = join(dir, 'layout');
  await makeLayout(layout, 'one', { layers: [{ motd: 'hello' }] });
  await registry.push(layout, 'one', 'team/app:v1');
});

afterAll(async () => {
  await registry?.[Symbol.asyncDispose]();
  rmSync(dir, { recursive: true, force: true });
});

interface Front extends Listening {
  readonly seen: string[];
}

/** Stands before the registry, with or without TLS, and answers nothing itself. */
async function startFront(secure: boolean): Promise<Front> {
  const seen: string[] = [];
  const pass: RequestListener = (request, response) => {
    seen.push(`${request.method} ${request.url}`);
    passOn(registry.host, { request, response }, request.url?.replace(/^\/prefix/, '/v2'));
  };
  const tls = secure ? { key: readFileSync(key), cert: readFileSync(certificate) } : {};
  const server = secure ? createSecure(tls, pass) : createPlain(pass);
  return { ...(await listenOnLoopback(server)), seen };
}

/** A resolver for a user whose hosts.toml for `host` says `text`. */
function resolverWith(host: string, text: string) {
  const config = mkdtempSync(join(dir, 'config-'));
  const folder = join(config, 'ocibuild/certs.d', host);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'hosts.toml'), text);
  return createResolver({ env: { XDG_CONFIG_HOME: config }, retryDelayMs: 5 });
}

const app = (host: string) => parseReference(`${host}/team/app:v1`);

describe('hosts.toml', () => {
  it('makes a mirror answer first, and tells it whose content is meant', async () => {
    await using mirror = await startFront(false);
    const resolver = resolverWith('docker.io', `[host."http://${mirror.host}"]\n`);
    const ref = parseReference('team/app:v1');
    await expect(resolver.resolve(ref, { signal })).resolves.toBeDefined();
    expect(mirror.seen).toEqual(['GET /v2/team/app/manifests/v1?ns=docker.io']);
  });

  it('goes on with the registry when the mirror does not have it or does not answer, and asks a silent one once', async () => {
    await using origin = await startFront(false);
    const resolver = resolverWith(
      origin.host,
      '[host."http://127.0.0.1:1"]\n[host."http://127.0.0.1:2"]\ncapabilities = ["push"]\n',
    );
    await resolver.resolve(app(origin.host), { signal });
    await resolver.resolve(app(origin.host), { signal });
    expect(origin.seen).toHaveLength(2);
  });

  it('never pushes to a mirror', async () => {
    await using mirror = await startFront(false);
    const resolver = resolverWith(registry.host, `[host."http://${mirror.host}"]\n`);
    const bytes = readFileSync(certificate);
    const digest = `sha256:${'0'.repeat(64)}` as const;
    const descriptor = { mediaType: 'application/octet-stream', digest, size: bytes.length };
    const pusher = resolver.pusher(app(registry.host));
    await expect(pusher.pushManifest(descriptor, bytes, { signal, tag: 'x' })).rejects.toThrow();
    expect(mirror.seen).toEqual([]);
  });

  it('takes the path of a server as it stands with override_path', async () => {
    await using mirror = await startFront(false);
    const text = `[host."http://${mirror.host}/prefix"]\noverride_path = true\n[host."http://${mirror.host}/prefix".header]\nx-who = "me"\n`;
    await resolverWith('docker.io', text).resolve(parseReference('team/app:v1'), { signal });
    expect(mirror.seen).toEqual(['GET /prefix/team/app/manifests/v1?ns=docker.io']);
  });

  it('trusts the authority that it names, or anything when told so, and nothing else', async () => {
    await using secure = await startFront(true);
    const server = `server = "https://${secure.host}"\n`;
    const resolve = (text: string) =>
      resolverWith(secure.host, server + text).resolve(app(secure.host), { signal });
    await expect(resolve(`ca = "${certificate}"\n`)).resolves.toBeDefined();
    await expect(resolve('skip_verify = true\n')).resolves.toBeDefined();
    await expect(resolve('')).rejects.toMatchObject({
      code: 'REGISTRY_UNREACHABLE',
      hint: expect.stringMatching(/certificate/),
    });
  });

  it('hints at plain HTTP, at the name and at the clock when TLS fails', async () => {
    await using plain = await startFront(false);
    const wrongProtocol = resolverWith(plain.host, `server = "https://${plain.host}"\n`);
    await expect(wrongProtocol.resolve(app(plain.host), { signal })).rejects.toMatchObject({
      code: 'REGISTRY_UNREACHABLE',
      hint: expect.stringMatching(/plain HTTP/),
    });
    await using secure = await startFront(true);
    const host = secure.host.replace('127.0.0.1', 'localhost');
    const wrongName = resolverWith(host, `server = "https://${host}"\nca = "${certificate}"\n`);
    await expect(wrongName.resolve(app(host), { signal })).rejects.toMatchObject({
      code: 'REGISTRY_UNREACHABLE',
      hint: expect.stringMatching(/another host's/),
    });
  });

  it.each([
    ['[host', /hosts\.toml": /],
    ['[host]\n"http://a" = 1\n', /is not a table/],
    ['server = "https://["\n', /not the address of a server/],
    ['ca = "nothing.crt"\n', /nothing\.crt/],
  ])('is refused with its name when it says %j', async (text, why) => {
    await expect(
      resolverWith('docker.io', text).resolve(parseReference('a/b:c'), { signal }),
    ).rejects.toMatchObject({
      code: 'REGISTRY_CONFIG_INVALID',
      message: expect.stringMatching(why),
    });
  });
});
