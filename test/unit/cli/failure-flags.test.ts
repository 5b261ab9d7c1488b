import { expect, it } from 'vitest';
import { parseFailureExport } from '../../../src/cli/build/failure-flags.ts';

it.each([
  ['test:/out=reports', { step: 'test', path: '/out', dest: 'reports' }],
  ['build/2:/a b=./c=d', { step: 'build/2', path: '/a b', dest: './c=d' }],
  ['RUN a:b:/out=x/', { step: 'RUN a:b', path: '/out', dest: 'x/' }],
  ['*:/=all', { step: '*', path: '/', dest: 'all' }],
])('parseFailureExport() reads "%s"', (text, expected) => {
  expect(parseFailureExport(text)).toEqual(expected);
});

it.each(['', 'test', 'test:out=x', 'test:/out', 'test:/out=', ':/out=x'])(
  'parseFailureExport() refuses "%s" and says what it expects',
  (text) => {
    expect(() => parseFailureExport(text)).toThrow('expected STEP:/path=dest');
  },
);

it('parseFailureExport() refuses stdout', () => {
  expect(() => parseFailureExport('test:/out=-')).toThrow('never stdout');
});
