import { expect, it } from 'vitest';
import { summaryLines, warningLines } from '../../../src/ui/summary.ts';
import { createTheme } from '../../../src/ui/theme.ts';
import { createView } from '../../../src/ui/view-model.ts';

const context = { columns: 60, theme: createTheme({ color: false, unicode: true }) };
const counts = { names: ['app:v1'], cachedSteps: 1, totalSteps: 2 };
const layers = [
  { size: 1000, reused: true },
  { size: 2000, reused: false },
];
const platforms = [{ platform: { os: 'linux', architecture: 'amd64' }, layers }];

it('summaryLines() says where files went, with an image and without one', () => {
  const image = { ...counts, digest: 'sha256:aa', platforms, written: ['app.tar'] };
  expect(summaryLines(createView(), image, context)).toEqual([
    'app:v1',
    '    digest   sha256:aa',
    '    size     3.00kB in 2 layers: 1 new (2.00kB), 1 reused',
    '    written  app.tar',
    '    cached   1 of 2 steps',
  ]);
  expect(summaryLines(createView(), { ...counts, written: ['out'] }, context)).toEqual([
    '    written  out',
    '    cached   1 of 2 steps',
  ]);
});

it('summaryLines() names each of several targets, also where it is only files', () => {
  const targets = { web: { ...counts, written: ['out/web'] }, none: counts };
  expect(summaryLines(createView(), { ...counts, targets }, context)).toEqual([
    'web',
    '    written  out/web',
    '    cached   1 of 2 steps',
  ]);
});

it('warningLines() shows the first findings of rules, and everything else that was warned of', () => {
  const findings = Array.from({ length: 80 }, (_, i) => ({ text: `Rule: ${i}`, isFinding: true }));
  const other = { text: 'the cache is gone', isFinding: false };
  expect(warningLines([...findings, other], context.theme)).toEqual([
    ...['', '81 warnings found:', ' - Rule: 0', ' - Rule: 1', ' - Rule: 2', ' - Rule: 3', ' - Rule: 4'],
    ' - the cache is gone',
    '   … and 75 more: ocibuild build --check',
  ]);
  expect(warningLines(findings.slice(0, 6), context.theme)).toHaveLength(8);
  expect(warningLines([], context.theme)).toEqual([]);
});
