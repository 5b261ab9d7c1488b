import { describe, expect, it } from 'vitest';
import { lookUpUser } from '../../../src/executor/user.ts';

const FILES: Readonly<Record<string, string>> = {
  'etc/passwd': `# comment
root:x:0:0:root:/root:/bin/sh
ann:x:1000:50:Ann:/home/ann:/bin/sh
2000:x:3000:3000::/odd:/bin/sh
broken:x:abc:1::/:/bin/sh
homeless:x:1001:50:::
`,
  'etc/group': 'root:x:0:root\nusers:x:50:\nstaff:x:60:ann\nwheel:x:70:bob, ann\nbroken\n',
};
const read = (path: string) => FILES[path];

describe('lookUpUser', () => {
  it.each([
    ['', 0, 0, [0], '/root'],
    ['root', 0, 0, [0], '/root'],
    ['ann', 1000, 50, [50, 60, 70], '/home/ann'],
    ['1000', 1000, 50, [50, 60, 70], '/home/ann'],
    ['ann:staff', 1000, 60, [60], '/home/ann'],
    ['ann:0', 1000, 0, [0], '/home/ann'],
    ['ann:4242', 1000, 4242, [4242], '/home/ann'],
    ['4242', 4242, 0, [0], '/'],
    ['4242:50', 4242, 50, [50], '/'],
    [':staff', 0, 60, [60], '/root'],
    ['2000', 3000, 3000, [3000], '/odd'],
    ['homeless', 1001, 50, [50], '/'],
  ])('lookUpUser() resolves when the user is "%s"', (user, uid, gid, additionalGids, home) => {
    expect(lookUpUser(user, read)).toEqual({ uid, gid, additionalGids, home });
  });

  it.each(['bob', 'broken', 'ann:nogroup', '2147483648', 'ann:2147483648', '-1'])(
    'lookUpUser() refuses when the user is "%s"',
    (user) => {
      expect(() => lookUpUser(user, read)).toThrow(expect.objectContaining({ code: 'RUN_USER_UNKNOWN' }));
    },
  );

  it('lookUpUser() takes numbers and root when the image has no files', () => {
    const none = () => undefined;
    expect(lookUpUser('', none)).toEqual({ uid: 0, gid: 0, additionalGids: [0], home: '/' });
    expect(lookUpUser('7:8', none)).toEqual({ uid: 7, gid: 8, additionalGids: [8], home: '/' });
    expect(() => lookUpUser('root', none)).toThrow('there is no user "root"');
  });
});
