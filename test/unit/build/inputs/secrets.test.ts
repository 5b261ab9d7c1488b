import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createSecrets } from '../../../../src/build/inputs/secrets.ts';
import type { SecretSource } from '../../../../src/build/options.ts';

function read(source: SecretSource, env = {}): string | undefined {
  const value = createSecrets({ s: source }, { env, cwd: directory() }).get('s');
  return value === undefined ? undefined : Buffer.from(value).toString();
}

function directory(): string {
  const dir = mkdtempSync(join(tmpdir(), 'ocibuild-unit-'));
  onTestFinished(() => rmSync(dir, { recursive: true }));
  writeFileSync(join(dir, 'key'), 'from file');
  writeFileSync(join(dir, 'large'), 'x'.repeat(500 * 1024 + 1));
  return dir;
}

describe('createSecrets()', () => {
  it('reads files, variables and values', () => {
    expect(read({ type: 'file', path: 'key' })).toBe('from file');
    expect(read({ type: 'env', name: 'V' }, { V: '' })).toBe('');
    expect(read({ type: 'env', name: 'V' })).toBeUndefined();
    expect(read({ type: 'value', value: 'text' })).toBe('text');
    expect(read({ type: 'value', value: Buffer.of(65) })).toBe('A');
  });

  it('has an empty value for a variable that is not set, where nobody insists', () => {
    const sources = { s: { type: 'env', name: 'V' }, f: { type: 'file', path: 'none' } } as const;
    const secrets = createSecrets(sources, { env: {}, cwd: '/' });
    expect(secrets.get('s')).toBeUndefined();
    expect(secrets.unset('s')).toEqual(new Uint8Array());
    expect(secrets.unset('f')).toBeUndefined();
    expect(secrets.unset('other')).toBeUndefined();
  });

  it('knows no other ids', () => {
    expect(createSecrets({}, { env: {}, cwd: '/' }).get('toString')).toBeUndefined();
  });

  it.each<[SecretSource, RegExp]>([
    [{ type: 'file', path: 'none' }, /secret "s" from "\/.*none": there is no such file$/],
    [{ type: 'file', path: '.' }, /it is a directory$/],
    [{ type: 'file', path: 'large' }, /it has 512001 B, more than the 512000 B allowed$/],
    [{ type: 'value', value: 'x'.repeat(512_001) }, /it has 512001 B/],
  ])('refuses %j', (source, message) => {
    expect(() => read(source)).toThrow(
      expect.objectContaining({ code: 'SECRET_INVALID', message: expect.stringMatching(message) }),
    );
  });
});
