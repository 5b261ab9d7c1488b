import { createPublicKey, generateKeyPairSync, type KeyObject, verify } from 'node:crypto';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createSshAgents } from '../../../../src/build/inputs/ssh-agent.ts';
import { createReader, parseSshKey, strings } from '../../../../src/build/inputs/ssh-keys.ts';

function directory(): string {
  // Deeper than a socket's path may be.
  const dir = mkdtempSync(join(tmpdir(), `ocibuild-unit-${'long-'.repeat(20)}`));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

const pem = (key: KeyObject): string => key.export({ type: 'pkcs8', format: 'pem' }).toString();

/** One answer of an agent, without its length. */
function request(socket: string, ...messages: readonly Uint8Array[]): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const client = connect(socket);
    let data = Buffer.alloc(0);
    client.on('error', reject);
    client.on('data', (more: Buffer) => {
      data = Buffer.concat([data, more]);
      if (data.length >= 4 && data.length >= 4 + data.readUInt32BE(0))
        client.end(() => resolve(data.subarray(4)));
    });
    for (const message of messages) client.write(message);
  });
}

async function openWith(keys: readonly string[]) {
  const dir = directory();
  for (const [i, text] of keys.entries()) writeFileSync(join(dir, `key${i}`), text);
  const agents = createSshAgents(
    { k: { type: 'keys', files: keys.map((_, i) => `key${i}`) }, a: { type: 'agent', socket: 'none' } },
    { cwd: dir, tempPath: () => join(dir, 'agent') },
  );
  return { dir, agents };
}

const OWNER = { mode: 0o640, uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };

describe('createSshAgents()', () => {
  it('serves keys on a socket that is gone afterwards', async () => {
    const { privateKey, publicKey } = generateKeyPairSync('ed25519');
    const { dir, agents } = await openWith([pem(privateKey)]);
    const agent = await agents.open('k', OWNER);
    if (agent === undefined) throw new RangeError('no agent');
    expect(statSync(agent.socket).mode & 0o777).toBe(0o640);
    const before = process.cwd();
    onTestFinished(() => process.chdir(before));
    process.chdir(dir);
    const list = createReader((await request('agent/agent', strings(Buffer.of(11)))).subarray(5));
    const blob = list.bytes();
    const flags = Buffer.alloc(4);
    const ask = Buffer.concat([Buffer.of(13), strings(blob, 'data'), flags]);
    // In two pieces: a message need not come at once.
    const whole = strings(ask);
    const answer = await request('agent/agent', whole.subarray(0, 7), whole.subarray(7));
    expect(answer[0]).toBe(14);
    const signature = createReader(createReader(answer.subarray(1)).bytes());
    expect(signature.text()).toBe('ssh-ed25519');
    expect(verify(null, Buffer.from('data'), publicKey, signature.bytes())).toBe(true);
    const failure = Buffer.of(5);
    expect(await request('agent/agent', strings(Buffer.of(17)))).toEqual(failure);
    expect(await request('agent/agent', strings(Buffer.of(13, 0, 0)))).toEqual(failure);
    expect(
      await request('agent/agent', strings(Buffer.concat([Buffer.of(13), strings('other', 'd'), flags]))),
    ).toEqual(failure);
    await agent[Symbol.asyncDispose]();
    expect(statSync(agent.socket, { throwIfNoEntry: false })).toBeUndefined();
  });

  it('knows no other ids, and says what is wrong with those it knows', async () => {
    const { agents } = await openWith(['no key']);
    expect(await agents.open('other', OWNER)).toBeUndefined();
    await expect(agents.open('k', OWNER)).rejects.toMatchObject({ code: 'SSH_KEY_INVALID' });
    await expect(agents.open('a', OWNER)).rejects.toMatchObject({ code: 'SSH_AGENT_NOT_FOUND' });
  });
});

describe('parseSshKey()', () => {
  it.each([
    [0, 'ssh-rsa', 'sha1'],
    [2, 'rsa-sha2-256', 'sha256'],
    [4, 'rsa-sha2-512', 'sha512'],
  ] as const)('signs with RSA when the flags are %i', (flags, kind, hash) => {
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 1024 });
    const reader = createReader(parseSshKey(pem(privateKey), 'f').sign(Buffer.from('d'), flags));
    expect(reader.text()).toBe(kind);
    expect(verify(hash, Buffer.from('d'), createPublicKey(privateKey), reader.bytes())).toBe(true);
  });

  it.each(['P-256', 'P-384', 'P-521'])('names the curve %s', (namedCurve) => {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve });
    const name = createReader(parseSshKey(pem(privateKey), 'f').blob).text();
    expect(name).toBe(`ecdsa-sha2-nistp${namedCurve.slice(2)}`);
  });

  it('tells encrypted keys from damaged ones, and shows nothing of either', () => {
    const { privateKey } = generateKeyPairSync('ed25519');
    const encrypted = privateKey.export({
      type: 'pkcs8',
      format: 'pem',
      cipher: 'aes-128-cbc',
      passphrase: 'p',
    });
    expect(() => parseSshKey(encrypted.toString(), 'f')).toThrow(
      'Cannot use the SSH key "f": it is encrypted',
    );
    const openssh = Buffer.concat([Buffer.from('openssh-key-v1\0'), strings('aes256-ctr', 'bcrypt', 'x')]);
    const wrap = (data: Buffer) =>
      `-----BEGIN OPENSSH PRIVATE KEY-----\n${data.toString('base64')}\n-----END OPENSSH PRIVATE KEY-----\n`;
    expect(() => parseSshKey(wrap(openssh), 'f')).toThrow('it is encrypted');
    expect(() => parseSshKey(wrap(openssh.subarray(0, 20)), 'f')).toThrow('it is no private key');
    expect(() => parseSshKey('-----BEGIN PRIVATE KEY-----\nxx', 'f')).toThrow('it is no private key');
  });
});
