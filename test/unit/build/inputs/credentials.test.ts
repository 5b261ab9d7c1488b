import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { checkSecretFiles } from '../../../../src/build/inputs/secrets.ts';
import { checkSshSources } from '../../../../src/build/inputs/ssh-agent.ts';

describe('credentials of a build', () => {
  let dir: string;

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'ocibuild-credentials-'));
    mkdirSync(join(dir, 'sub'));
    writeFileSync(join(dir, 'ok'), 'x');
    writeFileSync(join(dir, 'big'), '');
    truncateSync(join(dir, 'big'), 600_000);
  });

  afterEach(() => rmSync(dir, { recursive: true, force: true }));

  it.each([
    ['no', /there is no such file/],
    ['sub', /it is a directory/],
    ['big', /600000 B, more than/],
  ])('checkSecretFiles() refuses "%s" when no step has asked for it yet', (path, message) => {
    const check = (): void => checkSecretFiles({ s: { type: 'file', path } }, dir);
    expect(check).toThrow(
      expect.objectContaining({ code: 'SECRET_INVALID', message: expect.stringMatching(message) }),
    );
  });

  it('checkSecretFiles() takes values, variables and files that are there', () => {
    checkSecretFiles(
      {
        a: { type: 'value', value: 'x' },
        b: { type: 'env', name: 'NOT_SET' },
        c: { type: 'file', path: 'ok' },
      },
      dir,
    );
  });

  it('checkSshSources() refuses keys and sockets when they are missing or none', () => {
    const code = (wanted: string) => expect.objectContaining({ code: wanted });
    expect(() => checkSshSources({ k: { type: 'keys', files: ['no'] } }, dir)).toThrow(
      code('SSH_KEY_INVALID'),
    );
    expect(() => checkSshSources({ k: { type: 'keys', files: ['ok'] } }, dir)).toThrow(
      code('SSH_KEY_INVALID'),
    );
    expect(() => checkSshSources({ k: { type: 'agent', socket: 'ok' } }, dir)).toThrow(
      code('SSH_AGENT_NOT_FOUND'),
    );
  });
});
