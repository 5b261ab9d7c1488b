import { describe, expect, it } from 'vitest';
import { enterUserNamespace } from '../../../src/executor/rootless.ts';

describe.runIf(process.platform === 'linux')('enterUserNamespace', () => {
  it('enterUserNamespace() says what to install or to set when this machine lacks it', () => {
    const options = {
      uid: 4_000_000,
      gid: 4_000_000,
      userName: 'ocibuild-nobody',
      execPath: '/bin/false',
      execArgv: [],
    };
    expect(() => enterUserNamespace(['x'], { PATH: '/bin' }, options)).toThrow(
      expect.objectContaining({
        code: 'ROOTLESS_UNAVAILABLE',
        hint: expect.stringMatching(/^sudo (apt-get install|usermod --add-subuids)/),
      }),
    );
  });
});
