import { describe, expect, it } from 'vitest';
import { enterUserNamespace, subIdsCommand } from '../../../src/executor/rootless.ts';

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

describe('subIdsCommand()', () => {
  it.each([
    [['', ''], '100000-165535'],
    [['a:100000:65536\n', 'a:100000:65536\nb:165536:65536\n'], '231072-296607'],
    [['# nobody\nbroken\na:1000:10\n'], '100000-165535'],
  ])('gives ids that nobody has where the files hold %j', (texts, range) => {
    expect(subIdsCommand('me', texts)).toBe(`usermod --add-subuids ${range} --add-subgids ${range} me`);
  });
});
