import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { activeContextEnv, contextEnv } from '../../../src/transfer/docker-context.ts';

function configWith(name: string, host: string): string {
  const dir = mkdtempSync(join(tmpdir(), 'ocibuild-context-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  const meta = join(dir, 'contexts/meta', createHash('sha256').update(name).digest('hex'));
  mkdirSync(meta, { recursive: true });
  writeFileSync(
    join(meta, 'meta.json'),
    JSON.stringify({ Name: name, Endpoints: { docker: { Host: host } } }),
  );
  return dir;
}

describe('contextEnv()', () => {
  it('names the daemon of the context, with its certificates', () => {
    const config = configWith('far', 'tcp://far:2376');
    const env = { DOCKER_CONFIG: config, DOCKER_HOST: 'unix:///near', PATH: '/bin' };
    expect(contextEnv('far', env)).toEqual({ ...env, DOCKER_HOST: 'tcp://far:2376' });
    const certificates = join(
      config,
      'contexts/tls',
      createHash('sha256').update('far').digest('hex'),
      'docker',
    );
    mkdirSync(certificates, { recursive: true });
    expect(contextEnv('far', env)).toMatchObject({ DOCKER_TLS_VERIFY: '1', DOCKER_CERT_PATH: certificates });
    expect(contextEnv('default', env)).toBe(env);
  });

  it('throws DAEMON_NOT_FOUND when there is no such context', () => {
    const env = { DOCKER_CONFIG: configWith('far', 'tcp://far:2376') };
    expect(() => contextEnv('near', env)).toThrow(expect.objectContaining({ code: 'DAEMON_NOT_FOUND' }));
  });
});

describe('activeContextEnv()', () => {
  const hostOf = (env: Readonly<Record<string, string | undefined>>) => activeContextEnv(env).DOCKER_HOST;

  it('takes DOCKER_HOST, then DOCKER_CONTEXT, then the context in use, as docker does', () => {
    const DOCKER_CONFIG = configWith('far', 'tcp://far:2375');
    expect(hostOf({ DOCKER_CONFIG })).toBeUndefined();
    expect(hostOf({ DOCKER_CONFIG, DOCKER_CONTEXT: 'far' })).toBe('tcp://far:2375');
    expect(hostOf({ DOCKER_CONFIG, DOCKER_CONTEXT: 'far', DOCKER_HOST: 'unix:///near' })).toBe(
      'unix:///near',
    );
    expect(hostOf({ DOCKER_CONFIG, DOCKER_CONTEXT: 'far', CONTAINER_HOST: 'unix:///near' })).toBeUndefined();
    writeFileSync(join(DOCKER_CONFIG, 'config.json'), JSON.stringify({ currentContext: 'far' }));
    expect(hostOf({ DOCKER_CONFIG })).toBe('tcp://far:2375');
    expect(hostOf({ DOCKER_CONFIG, DOCKER_CONTEXT: 'default' })).toBeUndefined();
    // A context has its own certificates, or none.
    expect(activeContextEnv({ DOCKER_CONFIG, DOCKER_TLS_VERIFY: '1' })).toEqual({
      DOCKER_CONFIG,
      DOCKER_HOST: 'tcp://far:2375',
    });
  });

  it('throws DAEMON_NOT_FOUND when the context in use is gone', () => {
    const DOCKER_CONFIG = configWith('far', 'tcp://far:2375');
    writeFileSync(join(DOCKER_CONFIG, 'config.json'), JSON.stringify({ currentContext: 'gone' }));
    expect(() => activeContextEnv({ DOCKER_CONFIG })).toThrow(
      expect.objectContaining({ code: 'DAEMON_NOT_FOUND' }),
    );
  });
});
