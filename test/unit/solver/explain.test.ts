import { describe, expect, it } from 'vitest';
import { compareIngredients, hiddenValue } from '../../../src/solver/explain.ts';
import type { Ingredient } from '../../../src/solver/types.ts';

const of = (values: Readonly<Record<string, string>>): Ingredient[] =>
  Object.entries(values).map(([name, value]) => ({ name, value }));

const OP = {
  kind: 'exec',
  args: ['/bin/sh', '-c', 'make'],
  cwd: '/',
  user: '',
  network: 'default',
  mounts: [],
};
const op = (change: object = {}): Record<string, string> => ({ op: JSON.stringify({ ...OP, ...change }) });
const cache = { type: 'cache', target: '/cache', readonly: false };

describe('compareIngredients()', () => {
  it.each<[string, Record<string, string>, Record<string, string>, string[]]>([
    ['an ARG', { 'ARG V': '1', 'env V': '1' }, { 'ARG V': '2', 'env V': '2' }, ['ARG V 1 → 2']],
    ['an ARG with spaces', { 'ARG V': '' }, { 'ARG V': 'a b' }, ['ARG V "" → "a b"']],
    ['a new ARG', {}, { 'ARG V': '1' }, ['ARG V is new']],
    ['an ARG that is gone', { 'ARG V': '1' }, {}, ['ARG V is gone']],
    ['a long value', { 'ARG V': 'x'.repeat(99) }, { 'ARG V': 'y' }, ['ARG V changed']],
    ['a variable', { 'env MODE': 'a' }, { 'env MODE': 'b' }, ['ENV MODE a → b']],
    [
      'the commit of a git ref',
      { commit: `{"commit":"${'a'.repeat(40)}"} {"commit":"${'b'.repeat(40)}"}` },
      { commit: `{"commit":"${'a'.repeat(40)}"} {"commit":"${'c'.repeat(40)}"}` },
      ['commit bbbbbbbbbbbb → cccccccccccc'],
    ],
    [
      'another directory of a git source',
      { commit: `{"commit":"${'a'.repeat(40)}"}` },
      { commit: `{"commit":"${'a'.repeat(40)}","subdir":"b"}` },
      ['the git source changed'],
    ],
    ['what is selected', { 'selection 0': '["a"]' }, { 'selection 0': '["b"]' }, ['the instruction changed']],
    ['another name of the base image', { 'base image': 'a@sha256:a' }, { 'base image': 'b@sha256:a' }, []],
    ['steps above that are gone', {}, { 'base image': 'a@sha256:a' }, ['now follows FROM a']],
    ['steps above that are new', { 'base image': 'a@sha256:a' }, {}, []],
    ['a new image to copy from', {}, { 'image 1': 'a@sha256:a' }, ['image a is new']],
    [
      'an updated base image',
      { 'base image': `alpine:3@sha256:${'a'.repeat(64)}` },
      { 'base image': `alpine:3@sha256:${'b'.repeat(64)}` },
      ['base image alpine:3 updated (sha256:aaaaaaaaaaaa → sha256:bbbbbbbbbbbb)'],
    ],
    [
      'another base image',
      { 'base image': 'docker.io/library/alpine:3.19@sha256:a' },
      { 'base image': 'docker.io/library/alpine:3.20@sha256:b' },
      ['base image alpine:3.19 → alpine:3.20'],
    ],
    [
      'an image that files are copied from',
      { 'image 1': 'nginx@sha256:a' },
      { 'image 1': 'nginx@sha256:b' },
      ['image nginx updated (sha256:a → sha256:b)'],
    ],
    ['the command', op(), op({ args: ['/bin/sh', '-c', 'make all'] }), ['the instruction changed']],
    ['the user', op(), op({ user: 'app' }), ['USER default → app']],
    ['the directory', op(), op({ cwd: '/app' }), ['WORKDIR / → /app']],
    ['the network', op(), op({ network: 'none' }), ['--network default → none']],
    [
      'the platform',
      op({ platform: { os: 'linux', architecture: 'arm64' } }),
      op(),
      ['platform linux/arm64 → default'],
    ],
    ['a new mount', op(), op({ mounts: [cache] }), ['mount /cache is new']],
    ['a mount that is gone', op({ mounts: [cache] }), op(), ['mount /cache is gone']],
    [
      'the flags of a mount',
      op({ mounts: [cache] }),
      op({ mounts: [{ ...cache, readonly: true }] }),
      ['mount /cache changed'],
    ],
    [
      'the epoch',
      { op: JSON.stringify({ kind: 'file', actions: [], epochSec: 1 }) },
      { op: JSON.stringify({ kind: 'file', actions: [], epochSec: 2 }) },
      ['SOURCE_DATE_EPOCH 1 → 2'],
    ],
  ])('names %s', (_what, before, after, changes) => {
    expect(compareIngredients(of(before), of(after)).changes).toEqual(changes);
  });

  it('says what changed since a record of another machine, without its values', () => {
    const before = of({ 'ARG VERSION': hiddenValue('1'), 'env A': hiddenValue('same') });
    const { changes } = compareIngredients(before, of({ 'ARG VERSION': '2', 'env A': 'same' }));
    expect(changes).toEqual(['ARG VERSION changed']);
  });

  it('leaves what has files to those who know their names', () => {
    const before = of({ 'mount /src': 'sha256:a', 'download example.com': '{"digest":"a"}' });
    const after = of({ 'mount /src': 'sha256:b', 'download example.com': '{"digest":"b"}' });
    expect(compareIngredients(before, after)).toMatchObject({
      changes: [],
      files: ['mount /src changed', 'download example.com changed'],
    });
  });

  it('tells inputs and selections of files apart from what has a name', () => {
    const before = of({ 'input 0': 'a', 'input 1': 'b', 'files of "src"': '0 src x', scope: 'here' });
    const after = of({ 'input 0': 'a', 'input 1': 'c', 'files of "src"': '0 src y', scope: 'there' });
    expect(compareIngredients(before, after)).toEqual({
      changes: [],
      files: ['files of "src" changed'],
      inputs: [1],
      byOthers: true,
      root: [],
    });
  });

  it.each(['rootfs', 'layer'])('names no input when its %s is what it was', (content) => {
    const before = of({ 'input 0': 'a', [content]: 'same', 'ARG V': '1' });
    const after = of({ 'input 0': 'b', [content]: 'same', 'ARG V': '2' });
    const changes = ['ARG V 1 → 2'];
    expect(compareIngredients(before, after)).toMatchObject({ changes, inputs: [], byOthers: false });
    const other = of({ 'input 0': 'b', [content]: 'other', 'ARG V': '2' });
    expect(compareIngredients(before, other)).toMatchObject({ changes, inputs: [0], byOthers: true });
  });
});

describe('hiddenValue()', () => {
  it('hides a value once', () => {
    const hidden = hiddenValue('hunter2');
    expect(hidden).toMatch(/^#[0-9a-f]{16}$/);
    expect(hiddenValue(hidden)).toBe(hidden);
    expect(hiddenValue('hunter3')).not.toBe(hidden);
  });
});
