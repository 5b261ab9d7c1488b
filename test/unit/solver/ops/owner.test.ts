import { describe, expect, it } from 'vitest';
import type { Owner } from '../../../../src/llb/ops.ts';
import { layeredSource } from '../../../../src/solver/ops/layered-source.ts';
import { resolveOwner } from '../../../../src/solver/ops/owner.ts';
import { entry, opDeps, signal } from './fixture.ts';

const PASSWD =
  'root:x:0:0::/:/bin/sh\nnode:x:1000:1001::/home/node:/bin/sh\n42:x:7:8:::\nbroken:x\nempty:x::5::/:\nnogid:x:5\n';
const GROUP = 'root:x:0:\nstaff:x:50:\n';

const layers = {
  base: [entry('etc/'), entry('etc/passwd'), entry('etc/group -> groups'), entry('etc/groups')],
  huge: [entry('etc/'), entry('etc/passwd', { size: 11 << 20 })],
};
const texts = { '/snapshots/base/etc/passwd': PASSWD, '/snapshots/base/etc/groups': GROUP };

async function ownerOf(owner: Owner, ids: readonly string[] = ['base']) {
  const { deps, recorded } = opDeps({ layers, texts });
  const source = await layeredSource(ids, deps, signal);
  return { ...(await resolveOwner(owner, source, deps)), read: recorded.snapshots };
}

describe('resolveOwner()', () => {
  it.each<[string, Owner, number, number]>([
    ['a user name', { user: 'node' }, 1000, 1001],
    ['a user and a group name', { user: 'node', group: 'staff' }, 1000, 50],
    ['a user name and a group number', { user: 'node', group: 9 }, 1000, 9],
    ['a number as text', { user: '5', group: '6' }, 5, 6],
    ['a group alone', { group: 'staff' }, 0, 50],
    ['a number that is an account name too', { user: 42 }, 42, 42],
  ])('gives the ids of %s', async (_, owner, uid, gid) => {
    expect(await ownerOf(owner)).toMatchObject({ uid, gid });
  });

  it('gives a number without a group the same number, and reads nothing', async () => {
    expect(await ownerOf({ user: 12 }, [])).toEqual({ uid: 12, gid: 12, read: [] });
    expect((await ownerOf({ user: 12, group: 13 })).read).toEqual([]);
  });

  it.each<[string, Owner, string, readonly string[]]>([
    ['a user that is not there', { user: 'who' }, 'the user "who" in /etc/passwd', ['base']],
    ['a group that is not there', { user: 1, group: 'who' }, 'the group "who" in /etc/group', ['base']],
    ['a user of an empty root', { user: 'app' }, 'the user "app"', []],
    ['a line without numbers', { user: 'broken' }, 'the user "broken"', ['base']],
    ['an empty user number', { user: 'empty' }, 'the user "empty"', ['base']],
    ['a line that ends before the group', { user: 'nogid' }, 'the user "nogid"', ['base']],
    ['an id that Linux has not', { user: '4294967295' }, '4294967295', ['base']],
  ])('throws COPY_OWNER_UNKNOWN for %s', async (_, owner, message, ids) => {
    await expect(ownerOf(owner, ids)).rejects.toMatchObject({
      code: 'COPY_OWNER_UNKNOWN',
      message: expect.stringContaining(message),
    });
  });

  it('says in the hint that --link knows numbers only', async () => {
    await expect(ownerOf({ user: 'nobody-here' }, [])).rejects.toMatchObject({
      hint: expect.stringContaining('--link'),
    });
  });

  it('refuses a passwd file of more than 10 MiB', async () => {
    await expect(ownerOf({ user: 'node' }, ['huge'])).rejects.toMatchObject({ code: 'COPY_INVALID' });
  });
});
