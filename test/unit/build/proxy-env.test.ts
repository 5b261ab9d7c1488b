import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { proxyEnvironment, withProxySettings } from '../../../src/build/proxy-env.ts';

describe('proxyEnvironment()', () => {
  it('gives each setting in both cases', () => {
    expect(proxyEnvironment({ https_proxy: 'http://p', NO_PROXY: 'x' })).toEqual({
      host: ['HTTPS_PROXY=http://p', 'https_proxy=http://p', 'NO_PROXY=x', 'no_proxy=x'],
      given: [],
    });
  });

  it('takes build arguments before the environment, an empty one switches the proxy off', () => {
    expect(proxyEnvironment({ HTTP_PROXY: 'env', FTP_PROXY: 'env' }, { http_proxy: 'arg' })).toEqual({
      host: ['FTP_PROXY=env', 'ftp_proxy=env'],
      given: ['HTTP_PROXY=arg', 'http_proxy=arg'],
    });
    expect(proxyEnvironment({ HTTP_PROXY: 'env' }, { HTTP_PROXY: '' })).toEqual({ host: [], given: [] });
  });

  it('passes nothing else on', () => {
    expect(proxyEnvironment({ PATH: '/bin', PROXY: 'x' }, { VERSION: '1' })).toEqual({ host: [], given: [] });
  });
});

describe('withProxySettings()', () => {
  function settings(value: unknown): { readonly DOCKER_CONFIG: string } {
    const DOCKER_CONFIG = mkdtempSync(join(tmpdir(), 'ocibuild-unit-'));
    onTestFinished(() => rmSync(DOCKER_CONFIG, { recursive: true }));
    writeFileSync(join(DOCKER_CONFIG, 'config.json'), JSON.stringify(value));
    return { DOCKER_CONFIG };
  }

  it("adds what Docker's settings have where no argument is given in either case", () => {
    const env = settings({
      proxies: { default: { httpProxy: 'http://c', httpsProxy: 'c', noProxy: 'c', ftpProxy: 1 } },
    });
    expect(withProxySettings({ NO_PROXY: '', https_proxy: 'arg', X: 'y' }, env)).toEqual({
      HTTP_PROXY: 'http://c',
      NO_PROXY: '',
      https_proxy: 'arg',
      X: 'y',
    });
  });

  it.each([{}, { proxies: null }, { proxies: { default: null } }, []])(
    'changes nothing when the settings are %j',
    (value) => {
      expect(withProxySettings({ X: 'y' }, settings(value))).toEqual({ X: 'y' });
    },
  );
});
