import { describe, expect, it } from 'vitest';
import { mountsBelow } from '../../../src/executor/mounts.ts';

describe('mountsBelow()', () => {
  it('gives the mounts at and below a directory, what was mounted last first', () => {
    const mountinfo = [
      '21 1 254:0 / / rw,relatime - ext4 /dev/vda rw',
      '30 21 0:40 / /store/run/a rw - tmpfs tmpfs rw',
      '31 30 0:41 / /store/run/a/rootfs rw shared:3 - overlay overlay rw',
      '32 31 254:0 /x /store/run/a/rootfs/with\\040space rw - ext4 /dev/vda rw',
      '33 21 0:42 / /store/run/ab rw - overlay overlay rw',
      '',
    ].join('\n');
    expect(mountsBelow('/store/run/a', mountinfo)).toEqual([
      '/store/run/a/rootfs/with space',
      '/store/run/a/rootfs',
      '/store/run/a',
    ]);
    expect(mountsBelow('/store/run/c', mountinfo)).toEqual([]);
  });
});
