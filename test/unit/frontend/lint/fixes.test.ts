import { describe, expect, it } from 'vitest';
import { applyEdits } from '../../../../src/frontend/lint/apply-edits.ts';
import { image } from '../support.ts';
import { fixed } from './support.ts';

const FIXES: readonly [before: string, after: string][] = [
  [
    'FROM a AS Base\nFROM BASE\nCOPY --from=Base x /\nRUN --mount=type=bind,from=BASE,target=/b c\n',
    'FROM a AS base\nFROM base\nCOPY --from=base x /\nRUN --mount=type=bind,from=base,target=/b c\n',
  ],
  ['from a AS b\nrun c\nRUN d\nenv e f\n', 'from a as b\nrun c\nrun d\nenv e=f\n'],
  ['FROM a\nENV A=1 \\\n\n# x\n\n  B=2\n', 'FROM a\nENV A=1 \\\n# x\n  B=2\n'],
  [
    'FROM a\nMAINTAINER x "$y" \\z\n',
    'FROM a\nLABEL org.opencontainers.image.authors="x \\"\\$y\\" \\\\z"\n',
  ],
  [
    '# escape=`\nFROM a\nMAINTAINER x "$y" \\z `q\n',
    '# escape=`\nFROM a\nLABEL org.opencontainers.image.authors="x `"`$y`" \\z ``q"\n',
  ],
  ['FROM a\nLABEL k a  b $PATH\n', 'FROM a\nLABEL k="a  b $PATH"\n'],
  ['FROM a\nENV k "quoted value"\n', 'FROM a\nENV k="quoted value"\n'],
  ['FROM --platform=$TARGETPLATFORM   a AS b\n', 'FROM a AS b\n'],
  ['FROM a\nEXPOSE 1.2.3.4:80:80/TCP 9:90\n', 'FROM a\nEXPOSE 80/tcp 90\n'],
  ['FROM a\nENTRYPOINT /bin/app --flag=1 x,y\n', 'FROM a\nENTRYPOINT ["/bin/app", "--flag=1", "x,y"]\n'],
];

const LEFT: readonly [why: string, text: string][] = [
  ['it has a variable', 'FROM a\nCMD node $APP\n'],
  ['it has a pipe', 'FROM a\nCMD node | cat\n'],
  ['it has quotes', 'FROM a\nCMD node "x"\n'],
  ['it sets a variable', 'FROM a\nCMD A=1 node\n'],
  ['its command is a part of the shell', 'FROM a\nCMD exec node\n'],
  ['it is an argument of an entry point', 'FROM a\nENTRYPOINT ["x"]\nCMD node y\n'],
  ['a command would follow it', 'FROM a\nCMD ["x"]\nENTRYPOINT node y\n'],
  ['its value has its own quotes', 'FROM a\nENV k a "b"\n'],
  ['its value has escapes', 'FROM a\nENV k a\\ b c\n'],
  ['its port is in a variable', 'FROM a\nENV P=1/TCP\nEXPOSE $P\n'],
  ['it has a comment inside', 'FROM a\nENV k a \\\n# note\n b\n'],
];

describe('fixes', () => {
  it.each(FIXES)('make of %j what they should', async (before, after) => {
    expect(await fixed(before)).toBe(after);
    expect(await fixed(after)).toBe(after);
  });

  it.each(LEFT)('leave an instruction alone when %s', async (_why, text) => {
    expect(await fixed(text)).toBe(text);
  });

  it('leave CMD alone when the base image has an entry point', async () => {
    const resolver = { resolve: async (name: string) => image(name, { Entrypoint: ['/start'] }) };
    expect(await fixed('FROM a\nCMD node x\n', { resolver })).toBe('FROM a\nCMD node x\n');
  });
});

describe('applyEdits()', () => {
  const range = (from: number, to: number) => ({
    start: { line: 1, column: from },
    end: { line: 1, column: to },
  });

  it('makes a group as a whole or not at all when another one is in its way', () => {
    const first = [{ range: range(1, 3), text: 'X' }];
    const second = [
      { range: range(2, 4), text: 'Y' },
      { range: range(5, 6), text: 'Z' },
    ];
    expect(applyEdits('abcdef', [first, second])).toEqual({ text: 'Xcdef', applied: 1 });
    expect(applyEdits('abcdef', [second, first])).toEqual({ text: 'aYdZf', applied: 1 });
  });

  it('makes an edit that several groups have once', () => {
    const same = [{ range: range(1, 2), text: 'A' }];
    expect(applyEdits('abc', [same, same])).toEqual({ text: 'Abc', applied: 2 });
  });
});
