import { describe, expect, it } from 'vitest';
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

  it('passes nothing else on', () => {
    expect(proxyEnvironment({ PATH: '/bin', PROXY: 'x' }, { VERSION: '1' })).toEqual([]);
  });
});
