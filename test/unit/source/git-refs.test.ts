import { describe, expect, test } from 'vitest';
import { chooseRef, isWholeCommit, refPatterns } from '../../../src/source/git-refs.ts';

const [A, B, C] = ['a', 'b', 'c'].map((digit) => digit.repeat(40));

function listed(rows: Readonly<Record<string, string | undefined>>): string {
  return Object.entries(rows)
    .map(([name, commit]) => `${commit}\t${name}\n`)
    .join('');
}

describe('chooseRef()', () => {
  test.each([
    ['main', { 'refs/heads/main': A }, { commit: A, ref: 'refs/heads/main' }],
    ['x', { 'refs/tags/x': B, 'refs/heads/x': A }, { commit: A, ref: 'refs/heads/x' }],
    ['v1', { 'refs/tags/v1': B, 'refs/tags/v1^{}': C }, { commit: C, ref: 'refs/tags/v1', tagObject: B }],
    ['tags/v1', { 'refs/tags/v1': B }, { commit: B, ref: 'refs/tags/v1' }],
    ['refs/pull/1/head', { 'refs/pull/1/head': A }, { commit: A, ref: 'refs/pull/1/head' }],
    ['refs/heads/x', { 'refs/heads/x': A, 'refs/heads/refs/heads/x': B }, { commit: A, ref: 'refs/heads/x' }],
    ['1', { 'refs/heads/feature/1': A }, undefined],
    ['none', {}, undefined],
  ])('finds %s when the remote has %j', (ref, rows, expected) => {
    expect(chooseRef(listed(rows), ref)).toEqual(expected);
  });

  test('takes the branch of HEAD when no ref is given', () => {
    const output = `ref: refs/heads/trunk\tHEAD\n${A}\tHEAD\n`;
    expect(chooseRef(output, undefined)).toEqual({ commit: A, ref: 'refs/heads/trunk' });
    expect(chooseRef('', undefined)).toBeUndefined();
  });
});

describe('isWholeCommit()', () => {
  test.each([
    ['a'.repeat(40), true],
    ['a'.repeat(64), true],
    ['a'.repeat(39), false],
    ['A'.repeat(40), false],
    ['main', false],
  ])('tells %s', (ref, expected) => {
    expect(isWholeCommit(ref)).toBe(expected);
  });
});

describe('refPatterns()', () => {
  test('asks for what an annotated tag points to when a ref is given', () => {
    expect([refPatterns('v1'), refPatterns(undefined)]).toEqual([['v1', 'v1^{}'], ['HEAD']]);
  });
});
