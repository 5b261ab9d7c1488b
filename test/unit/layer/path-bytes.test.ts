import { describe, expect, it } from 'vitest';
import { decodeName, encodeName, fsPath } from '../../../src/layer/path-bytes.ts';

describe('path-bytes', () => {
  it.each([
    ['plain', Buffer.from('etc/passwd')],
    ['UTF-8', Buffer.from('é/日本/😀')],
    ['Latin-1', Buffer.from([0x61, 0xe9, 0x2f, 0xff])],
    ['a surrogate in UTF-8 form', Buffer.from([0xed, 0xb2, 0x80])],
    ['a cut sequence', Buffer.from([0xf0, 0x9f, 0x98])],
    ['an astral sign before a stray byte', Buffer.concat([Buffer.from('😀'), Buffer.of(0x80)])],
    ['a real replacement sign', Buffer.from('\ufffd')],
    ['a replacement sign beside a stray byte', Buffer.concat([Buffer.from('\ufffd'), Buffer.of(0xfe)])],
  ])('encodeName() gives the bytes back when the name is %s', (_, bytes) => {
    expect(encodeName(decodeName(bytes))).toEqual(bytes);
  });

  it('decodeName() maps a stray byte to U+DC00 + byte when it is not UTF-8', () => {
    expect(decodeName(Buffer.from([0x61, 0xe9]))).toBe('a\udce9');
  });

  it('fsPath() gives a Buffer when the name holds such bytes only', () => {
    expect(fsPath('a/é')).toBe('a/é');
    expect(fsPath('a/\udce9')).toEqual(Buffer.from([0x61, 0x2f, 0xe9]));
  });
});
