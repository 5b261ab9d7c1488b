import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { proxyEnvironment } from '../../../src/build/proxy-env.ts';

describe('proxyEnvironment()', () => {
  it('gives each setting in both cases', () => {
    expect(proxyEnvironment({ https_proxy: 'http://p', NO_PROXY: 'x' })).toEqual([
      'HTTPS_PROXY=http://p',
      'https_proxy=http://p',
      'NO_PROXY=x',
      'no_proxy=x',
    ]);
  });

  it('takes build arguments before the environment, an empty one switches the proxy off', () => {
    expect(proxyEnvironment({ HTTP_PROXY: 'env' }, { http_proxy: 'arg' })).toEqual([
      'HTTP_PROXY=arg',
      'http_proxy=arg',
    ]);
    expect(proxyEnvironment({ HTTP_PROXY: 'env' }, { HTTP_PROXY: '' })).toEqual([]);
  });

  it("takes what Docker's settings have before the environment", () => {
    const DOCKER_CONFIG = mkdtempSync(join(tmpdir(), 'ocibuild-unit-'));
    onTestFinished(() => rmSync(DOCKER_CONFIG, { recursive: true }));
    const proxies = { default: { httpProxy: 'http://c', noProxy: 'c', ftpProxy: 1 } };
    writeFileSync(join(DOCKER_CONFIG, 'config.json'), JSON.stringify({ proxies }));
    const env = { DOCKER_CONFIG, HTTP_PROXY: 'env', HTTPS_PROXY: 'env' };
    expect(proxyEnvironment(env, { NO_PROXY: 'arg' })).toEqual([
      'HTTP_PROXY=http://c',
      'http_proxy=http://c',
      'HTTPS_PROXY=env',
      'https_proxy=env',
      'NO_PROXY=arg',
      'no_proxy=arg',
    ]);
  });

  it('passes nothing else on', () => {
    expect(proxyEnvironment({ PATH: '/bin', PROXY: 'x' }, { VERSION: '1' })).toEqual([]);
  });
});
