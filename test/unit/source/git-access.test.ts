import { execFileSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { gitAccess } from '../../../src/source/git-access.ts';
import type { SshIdentity } from '../../../src/source/types.ts';

function access(
  remote: string,
  { secrets = {}, ssh }: { secrets?: Readonly<Record<string, string>>; ssh?: SshIdentity } = {},
): ReturnType<typeof gitAccess> {
  const source = { type: 'git', remote, ...(remote.startsWith('ssh') ? { ssh: 'default' } : {}) } as const;
  return gitAccess(source, {
    secret: (id) => (secrets[id] === undefined ? undefined : Buffer.from(secrets[id])),
    ssh: async () => ssh,
    knownHostsFile: "/st'ore/known hosts",
    otherKnownHosts: ['/home/me/.ssh/known_hosts'],
  });
}

describe('gitAccess()', () => {
  test.each([
    [{ GIT_AUTH_TOKEN: 't', 'GIT_AUTH_TOKEN.h.test': 'own' }, 'x-access-token:own'],
    [{ GIT_AUTH_TOKEN: 't\n' }, 'x-access-token:t'],
  ])('makes a header of a token when secrets are %j', async (secrets, decoded) => {
    const { config } = await access('https://h.test/app.git', { secrets });
    expect(config).toEqual([
      ['http.https://h.test/.extraheader', `Authorization: basic ${Buffer.from(decoded).toString('base64')}`],
    ]);
  });

  test('takes a header as it is when there is one, and gives no host the secret of another', async () => {
    const secrets = { 'GIT_AUTH_HEADER.h.test:8443': 'Bearer b', 'GIT_AUTH_TOKEN.other.test': 't' };
    const own = await access('https://h.test:8443/app.git', { secrets });
    expect(own.config).toEqual([['http.https://h.test:8443/.extraheader', 'Authorization: Bearer b']]);
    expect((await access('https://h.test/app.git', { secrets })).config).toEqual([]);
    expect((await access('git://h.test/app.git', { secrets })).config).toEqual([]);
  });

  test('hides the password of an address when it holds one, also from lists of processes', async () => {
    const { remote, secrets, config, extra } = await access('https://me:p%40s%22$s@h.test:8443/app.git');
    expect(secrets).toEqual(['p@s"$s', 'p%40s%22$s']);
    expect(remote).toBe('https://h.test:8443/app.git');
    expect(JSON.stringify(config)).not.toContain('p@s');
    const [name, helper = ''] = config[0] ?? [];
    expect(name).toBe('credential.https://h.test:8443.helper');
    // As git runs it: without the exclamation mark, with a word behind it.
    const run = (action: string) =>
      execFileSync('/bin/sh', ['-c', `${helper.slice(1)} ${action}`], { encoding: 'utf8', env: extra });
    expect([run('get'), run('erase')]).toEqual(['username=me\npassword=p@s"$s\n', '']);
  });

  test('takes a password as it stands when its percent sign escapes nothing', async () => {
    expect((await access('https://me:100%@h.test/app.git')).extra.OCIBUILD_GIT_PASSWORD).toBe('100%');
  });

  test('quotes paths for ssh when they hold blanks and quotes', async () => {
    const { extra } = await access('ssh://h.test/app', { ssh: { keyFiles: ['/my key'] } });
    expect(extra.GIT_SSH_COMMAND).toContain(`'UserKnownHostsFile="/st'\\''ore/known hosts"'`);
    expect(extra.GIT_SSH_COMMAND).toContain(`'-i' '/my key' '-o' 'IdentitiesOnly=yes'`);
    expect(extra).not.toHaveProperty('SSH_AUTH_SOCK');
  });

  test('fails with a hint when an ssh address has nobody to sign', async () => {
    const hint = expect.stringContaining('--ssh default');
    await expect(access('ssh://h.test/app')).rejects.toMatchObject({ code: 'GIT_FAILED', hint });
  });
});
