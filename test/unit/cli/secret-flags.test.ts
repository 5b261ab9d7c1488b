import { describe, expect, it } from 'vitest';
import { parseSecrets, parseSsh } from '../../../src/cli/build/secret-flags.ts';

const invalid = expect.objectContaining({ code: 'USAGE_INVALID' });

describe('parseSecrets()', () => {
  it.each([
    ['id=a,src=f', { type: 'file', path: 'f' }],
    ['id=a,source=f,type=file', { type: 'file', path: 'f' }],
    ['id=a,env=E', { type: 'env', name: 'E' }],
    ['id=a,type=env', { type: 'env', name: 'a' }],
    ['id=a,type=env,src=E', { type: 'env', name: 'E' }],
    ['id=a', { type: 'file', path: 'a' }],
    ['"id=a","src=x,y"', { type: 'file', path: 'x,y' }],
  ])('reads %s', (text, source) => {
    expect(parseSecrets([text], { b: '1' })).toEqual({ a: source });
  });

  it('takes a bare id for a variable when there is one', () => {
    expect(parseSecrets(['id=a', 'id=b'], { a: '' })).toEqual({
      a: { type: 'env', name: 'a' },
      b: { type: 'file', path: 'b' },
    });
  });

  it.each(['', 'src=f', 'id=', 'id=a,sorce=f', 'id=a,type=x', 'id=a,src=f,env=E', 'id=a,env=E,type=file'])(
    'refuses "%s"',
    (text) => {
      expect(() => parseSecrets([text], {})).toThrow(invalid);
    },
  );
});

describe('parseSsh()', () => {
  const isSocket = (path: string) => path === 'sock';
  it.each([
    ['default', { default: { type: 'agent', socket: '/own' } }],
    ['x=sock', { x: { type: 'agent', socket: 'sock' } }],
    ['x=a,b', { x: { type: 'keys', files: ['a', 'b'] } }],
  ])('reads %s', (text, sources) => {
    expect(parseSsh([text], { SSH_AUTH_SOCK: '/own' }, isSocket)).toEqual(sources);
  });

  it.each(['default', '=x', 'x=', 'x=a,sock'])('refuses %s without an agent of the user', (text) => {
    expect(() => parseSsh([text], {}, isSocket)).toThrow(invalid);
  });
});
