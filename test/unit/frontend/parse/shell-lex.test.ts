import { describe, expect, it } from 'vitest';
import { expandText, LexError, type LexOptions } from '../../../../src/frontend/parse/shell-lex.ts';

const VARIABLES: Readonly<Record<string, string>> = {
  v: 'val',
  e: '',
  w: 'two words',
  s: 'foo-bar-foo',
  p: '/usr/bin/tool.tar.gz',
  star: 'a*b?c',
  q: 'a}b/c',
};

function expand(text: string, options: Partial<LexOptions> = {}) {
  return expandText(text, (name) => VARIABLES[name], { escapeChar: '\\', ...options });
}

// text | expected result
const CASES = String.raw`
$v|val
x$v.y|xval.y
${'$'}{v}x|valx
$vx|
[$1][$@][$#][$$][$!]|[][][][][]
$12a|a
end$|end$
$.dot|$.dot
'$v'|$v
"$v"|val
'a'"b"c|abc
\$v|$v
"\$v"|$v
"a\tb"|a\tb
a\tb|atb
back\\slash|back\slash
"back\\slash"|back\slash
'back\\slash'|back\\slash
trailing\|trailing
${'$'}{v:-x}|val
${'$'}{e:-x}|x
${'$'}{e-x}|
${'$'}{u-x}|x
${'$'}{u:-a $v "b c"}|a val b c
${'$'}{u:-${'$'}{e:-${'$'}{v}}}|val
${'$'}{v:+x}|x
${'$'}{e:+x}|
${'$'}{e+x}|x
${'$'}{u+x}|
${'$'}{v:?m}|val
${'$'}{e?m}|
${'$'}{p#*/}|usr/bin/tool.tar.gz
${'$'}{p##*/}|tool.tar.gz
${'$'}{p%.*}|/usr/bin/tool.tar
${'$'}{p%%.*}|/usr/bin/tool
${'$'}{p#/usr}|/bin/tool.tar.gz
${'$'}{p%nomatch}|/usr/bin/tool.tar.gz
${'$'}{p%??}|/usr/bin/tool.tar.
${'$'}{star#a\*}|b?c
${'$'}{star%\?c}|a*b
${'$'}{s/foo/X}|X-bar-foo
${'$'}{s//foo/X}|X-bar-X
${'$'}{s/o*r/Z}|fZ-foo
${'$'}{s//-/}|foobarfoo
${'$'}{s/nomatch/X}|foo-bar-foo
${'$'}{p/\//_}|_usr/bin/tool.tar.gz
${'$'}{p//\//_}|_usr_bin_tool.tar.gz
${'$'}{q/\}/x}|axb/c
${'$'}{s/foo/x\/y}|x\/y-bar-foo
${'$'}{s/foo/$v}|val-bar-foo
${'$'}{s//*/X}|X
${'$'}{s/#/X}|foo-bar-foo
`
  .trim()
  .split('\n')
  .map((line) => line.split('|') as [string, string]);

const ERRORS: readonly [string, RegExp][] = [
  ["'open", /single quote is not closed/],
  ['"open', /double quote is not closed/],
  ['${', /closing "}" is missing/],
  ['${v', /closing "}" is missing/],
  ['${v:-x', /closing "}" is missing/],
  ['${}', /no variable name/],
  ['${{v}}', /no variable name/],
  ['${:x}', /no variable name/],
  ['${v:=x}', /unknown operator ":="/],
  ['${v=x}', /unknown operator "="/],
  ['${v:#x}', /unknown operator ":#"/],
  ['${v^}', /unknown operator "\^"/],
  ['${v/x}', /closing "\/" is missing/],
  ['${v/x/y', /closing "}" is missing/],
  ['${v#\\x}', /unknown escape "\\x"/],
  ['${u:?must be given}', /variable "u" is unset: must be given/],
  ['${e:?}', /variable "e" is empty/],
  ['${u?}', /variable "u" is unset/],
];

describe('expandText()', () => {
  it.each(CASES)('gives the text of Docker when it gets %s', (text, expected) => {
    expect(expand(text).text).toBe(expected);
  });

  it.each(ERRORS)('throws a LexError when it gets %s', (text, message) => {
    expect(() => expand(text)).toThrow(LexError);
    expect(() => expand(text)).toThrow(message);
  });

  it('splits words at blanks of variables, not at quoted ones, when words are asked for', () => {
    expect(expand('a $w "c d" $e "" x\\ y').words).toEqual(['a', 'two', 'words', 'c d', '', 'x y']);
    expect(expand('"$w"$w').words).toEqual(['two wordstwo', 'words']);
  });

  it('names unset variables when they have no operator of their own for that', () => {
    expect(expand('$a ${b} ${c:-x} ${d+x} ${f#x} $a').unset).toEqual(['a', 'b', 'f']);
  });

  it('heeds the escape character when it is a backtick', () => {
    expect(expand('C:\\dir`$v $v', { escapeChar: '`' }).text).toBe('C:\\dir$v val');
  });

  it('keeps quotes, escapes and unset variables when it is told to', () => {
    expect(expand(`"$v" '$v' \\$v $u \${u:-x}`, { rawQuotes: true, keepUnset: true }).text).toBe(
      `"val" '$v' $v $u \${u:-x}`,
    );
    expect(expand('\\$v \\x', { rawEscapes: true }).text).toBe('\\$v \\x');
    expect(expand(`it's "$v"`, { ignoreQuotes: true }).text).toBe(`it's "val"`);
  });

  it.each(['#', '##', '%', '%%', '/', '//'])(
    'matches a pattern of many stars at once with %s',
    (operator) => {
      const lookup = (): string => 'a'.repeat(10_000);
      const text = `\${v${operator}${'*a'.repeat(20)}*b${operator.startsWith('/') ? '/x' : ''}}`;
      expect(expandText(text, lookup, { escapeChar: '\\' }).text).toBe(lookup());
    },
  );
});
