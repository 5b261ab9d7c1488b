import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseReference } from '../../src/image/reference.ts';
import { createResolver } from '../../src/registry/resolver.ts';
import { makeLayout } from '../support/layout.ts';
import { startRegistry, type TestRegistry } from '../support/registry.ts';
import {
  PASSWORD,
  REFRESH_TOKEN,
  startTokenServer,
  type TokenServer,
  USER,
} from '../support/token-server.ts';

const signal = new AbortController().signal;
const dir = mkdtempSync(join(tmpdir(), 'ocibuild-e2e-auth-'));
const basic = Buffer.from(`${USER}:${PASSWORD}`).toString('base64');
let tokens: TokenServer;
let guarded: TestRegistry;
let locked: TestRegistry;

beforeAll(async () => {
  const layout = join(dir, 'layout');
  await makeLayout(layout, 'one', { layers: [{ motd: 'hello' }] });
  const htpasswd = join(dir, 'htpasswd');
  // bcrypt of PASSWORD: the only form that docker-registry reads.
  writeFileSync(htpasswd, `${USER}:$2b$12$Oa7dae.XFsb6zv2Xd2FiMuSOJBmto.DpHKpPNtlTbFYE9jgxZsYk2\n`);
  tokens = await startTokenServer();
  const credentials = `${USER}:${PASSWORD}`;
  [locked, guarded] = await Promise.all([
    startRegistry({ auth: { htpasswd: { realm: 'test', path: htpasswd } }, credentials }),
    startRegistry({ auth: tokens.registryAuth, credentials }),
  ]);
  await Promise.all([locked.push(layout, 'one', 'team/app:v1'), guarded.push(layout, 'one', 'team/app:v1')]);
});

afterAll(async () => {
  await Promise.all([locked?.[Symbol.asyncDispose](), guarded?.[Symbol.asyncDispose]()]);
  await tokens?.[Symbol.asyncDispose]();
  rmSync(dir, { recursive: true, force: true });
});

/** Environment with a Docker configuration of its own. */
function envWith(config: unknown, more: Readonly<Record<string, string>> = {}): Record<string, string> {
  const home = mkdtempSync(join(dir, 'home-'));
  mkdirSync(join(home, '.docker'));
  writeFileSync(
    join(home, '.docker/config.json'),
    typeof config === 'string' ? config : JSON.stringify(config),
  );
  return { HOME: home, PATH: process.env.PATH ?? '', ...more };
}

function pull(registry: TestRegistry, env: Record<string, string>) {
  const resolver = createResolver({ env, retryDelayMs: 5 });
  return resolver.resolve(parseReference(`${registry.host}/team/app:v1`), { signal });
}

describe('resolve() from a registry with passwords', () => {
  it('sends the entry of config.json that has the host', async () => {
    const { descriptor } = await pull(locked, envWith({ auths: { [locked.host]: { auth: basic } } }));
    expect(descriptor.size).toBeGreaterThan(0);
  });

  it('takes the entry of the longest path when auth.json has several', async () => {
    const home = envWith({});
    const file = join(home.HOME ?? '', 'auth.json');
    const wrong = Buffer.from('alice:wrong').toString('base64');
    const auths = { [locked.host]: { auth: wrong }, [`${locked.host}/team`]: { auth: basic } };
    writeFileSync(file, JSON.stringify({ auths }));
    await expect(pull(locked, { ...home, REGISTRY_AUTH_FILE: file })).resolves.toBeDefined();
  });

  it('asks the helper of the host when the configuration names one', async () => {
    const bin = mkdtempSync(join(dir, 'bin-'));
    const answer = JSON.stringify({ ServerURL: locked.host, Username: USER, Secret: PASSWORD });
    const script = `#!/bin/sh\n[ "$(cat)" = "${locked.host}" ] && echo '${answer}'\n`;
    writeFileSync(join(bin, 'docker-credential-vault'), script);
    chmodSync(join(bin, 'docker-credential-vault'), 0o755);
    const env = envWith(
      { credsStore: 'none', credHelpers: { [locked.host]: 'vault' } },
      { PATH: `${bin}:/bin:/usr/bin` },
    );
    await expect(pull(locked, env)).resolves.toBeDefined();
  });

  it('names the entry when its password is wrong, and never shows it', async () => {
    const auth = Buffer.from('alice:wrong-word').toString('base64');
    const error = await pull(locked, envWith({ auths: { [locked.host]: { auth } } })).catch(
      (e: unknown) => e,
    );
    expect(error).toMatchObject({ code: 'REGISTRY_AUTH_FAILED' });
    expect(String(error)).toContain(`entry "${locked.host}" of `);
    expect(String(error)).not.toMatch(/wrong-word/);
  });

  it('says where it looked when there are no credentials, with the reason of a failed helper', async () => {
    await expect(pull(locked, envWith({ credsStore: 'desktop' }))).rejects.toMatchObject({
      code: 'REGISTRY_AUTH_FAILED',
      message: expect.stringMatching(/no credentials for .*helper "docker-credential-desktop" .*not on PATH/),
    });
  });

  it('names the file when it is not JSON', async () => {
    await expect(pull(locked, envWith('{'))).rejects.toMatchObject({ code: 'REGISTRY_CONFIG_INVALID' });
  });
});

describe('resolve() from a registry with a token service', () => {
  const asked = async (config: object): Promise<string[]> => {
    tokens.asked.length = 0;
    await pull(guarded, envWith({ auths: { [guarded.host]: config } }));
    return tokens.asked;
  };
  const scope = 'repository:team/app:pull';

  it('gets one token by password', async () => {
    expect(await asked({ auth: basic })).toEqual([`POST password ${scope}`]);
  });

  it('gets a token by identity token', async () => {
    expect(
      await asked({ auth: Buffer.from('alice:').toString('base64'), identitytoken: REFRESH_TOKEN }),
    ).toEqual([`POST refresh_token ${scope}`]);
  });

  it('asks by GET when the service knows no POST', async () => {
    tokens.refusePost = true;
    expect(await asked({ auth: basic })).toEqual([`POST password ${scope}`, `GET  ${scope}`]);
    tokens.refusePost = false;
  });

  it('renews a token that has ended', async () => {
    tokens.asked.length = 0;
    tokens.lifeSec = 1;
    const env = envWith({ auths: { [guarded.host]: { auth: basic } } });
    const resolver = createResolver({ env, retryDelayMs: 5 });
    const ref = parseReference(`${guarded.host}/team/app:v1`);
    await resolver.resolve(ref, { signal });
    await new Promise((done) => setTimeout(done, 1100));
    await resolver.resolve(ref, { signal });
    tokens.lifeSec = 300;
    expect(tokens.asked).toEqual([`POST password ${scope}`, `POST password ${scope}`]);
  });

  it('fails for anybody else', async () => {
    await expect(pull(guarded, envWith({}))).rejects.toMatchObject({
      code: 'REGISTRY_AUTH_FAILED',
      message: expect.stringContaining('no credentials for'),
    });
  });
});
