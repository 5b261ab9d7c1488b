import { describe, expect, it } from 'vitest';
import { compileMode } from '../../../src/util/symbolic-mode.ts';

function change(text: string, mode: number, isDirectory = false): string {
  const compiled = compileMode(text);
  if (compiled === undefined) throw new TypeError(`Cannot read "${text}"`);
  return compiled(mode, isDirectory).toString(8);
}

describe('compileMode()', () => {
  it.each([
    ['u=rwX,go-w', 0o6755, '2755'],
    ['u=rwX,go=rX', 0o640, '644'],
    ['a+X', 0o745, '755'],
    ['+x', 0o640, '751'],
    ['-w', 0o640, '440'],
    ['=r', 0o6755, '444'],
    ['uo=', 0o745, '40'],
    ['g=u', 0o640, '660'],
    ['go=u,o-w', 0o6755, '6775'],
    ['u+x-w=r', 0o750, '450'],
    ['u=r,u=w', 0o640, '240'],
    ['u=rrw', 0o750, '650'],
  ])('%s makes %o to %s', (text, mode, expected) => {
    expect(change(text, mode)).toBe(expected);
  });

  it.each([
    ['u+s', 0o640, '4640'],
    ['g=s', 0o6755, '6705'],
    ['o=s', 0o7755, '7750'],
    ['o+t', 0o640, '640'],
    ['u=t', 0o6755, '3055'],
    ['=t', 0o640, '1640'],
    ['=', 0o7755, '1000'],
    ['-t', 0o7755, '6755'],
    ['a+st', 0o640, '7640'],
    ['u=rwxst', 0o640, '5740'],
  ])('%s makes %o to %s, where the special bits count', (text, mode, expected) => {
    expect(change(text, mode)).toBe(expected);
  });

  it('looks at the mode before the first clause when it meets an X', () => {
    expect(change('a-x,a+X', 0o750)).toBe('751');
    expect(change('u+x,g+X', 0o640)).toBe('740');
    expect(change('ug=rwx-X', 0o640)).toBe('660');
  });

  it('takes a directory for executable when it meets an X', () => {
    expect(change('a=rX', 0o600, true)).toBe('555');
    expect(change('a=rX', 0o600)).toBe('444');
  });

  it('lets the last copy win when there are several', () => {
    expect(change('u=go', 0o754)).toBe('454');
    expect(change('u=rg', 0o604)).toBe('4');
    expect(change('g=ru', 0o7755)).toBe('5775');
    expect(change('u-rwx+u', 0o7755)).toBe('7055');
  });

  it.each(['', 'rwx', 'u', 'u=rw,', ',u=r', 'u=r,,g=r', 'u=7', 'U=r', 'x=r', 'u=rw, g=r', '+755', '-1'])(
    'gives nothing when "%s" is no mode',
    (text) => {
      expect(compileMode(text)).toBeUndefined();
    },
  );
});
