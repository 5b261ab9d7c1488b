import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Output } from '../../../../src/build/options.ts';
import { readName } from '../../../../src/build/outputs/image-name.ts';
import { asSeenBy, checkPlaces, namesInAll } from '../../../../src/build/outputs/own-options.ts';
import { storeNames } from '../../../../src/build/outputs/store-names.ts';

const cwd = '/nowhere/work';
const DIGEST = `sha256:${'a'.repeat(64)}` as const;
const check = (...outputs: Output[]): void => checkPlaces(outputs, { cwd, kept: [cwd, '/nowhere/store'] });

describe('checkPlaces()', () => {
  it.each<[string, Output[]]>([
    [
      '"oci" and "docker" to one place',
      [
        { type: 'oci', dest: 'a' },
        { type: 'docker', dest: '../work/a' },
      ],
    ],
    [
      'two outputs to stdout',
      [
        { type: 'oci', dest: '-' },
        { type: 'tar', dest: '-' },
      ],
    ],
    [
      '"local" and "local" to one place',
      [
        { type: 'local', dest: 'a' },
        { type: 'local', dest: 'a' },
      ],
    ],
    [
      '"oci" and "local"',
      [
        { type: 'oci', dest: 'a', tar: false },
        { type: 'local', dest: 'a' },
      ],
    ],
    [`"${cwd}" is in it`, [{ type: 'local', dest: '.', mode: 'delete' }]],
    [`"${cwd}" is in it`, [{ type: 'local', dest: '..', mode: 'delete' }]],
    ['is in it', [{ type: 'local', dest: '/', mode: 'delete' }]],
    ['"/nowhere/store" is in it', [{ type: 'local', dest: '/nowhere/store', mode: 'delete' }]],
  ])('refuses %s', (message, outputs) => {
    expect(() => check(...outputs)).toThrow(
      expect.objectContaining({ code: 'USAGE_INVALID', message: expect.stringContaining(message) }),
    );
  });

  it('lets several images into one layout, and results below what is kept', () => {
    expect(() =>
      check({ type: 'oci', dest: 'a', tar: false }, { type: 'oci', dest: 'a', tar: false }),
    ).not.toThrow();
    expect(() =>
      check({ type: 'local', dest: 'out', mode: 'delete' }, { type: 'docker' }, { type: 'docker' }),
    ).not.toThrow();
    expect(() => check({ type: 'local', dest: join(cwd, '..', 'workout'), mode: 'delete' })).not.toThrow();
  });
});

describe('asSeenBy()', () => {
  type Seen = Parameters<typeof asSeenBy>;
  const target = {
    target: { stage: undefined, names: [readName('all:1')] },
    images: [],
  } as unknown as Seen[1];
  const context = { options: { annotations: [], epochSec: 1 } } as unknown as Seen[2];

  it('puts what the output says before what is said for all', () => {
    const output: Output = {
      type: 'oci',
      dest: 'a',
      names: ['own'],
      annotations: { 'index:k': 'v' },
      sourceDateEpoch: 0,
    };
    const seen = asSeenBy(output, target, context);
    expect(seen.target.target.names).toEqual([readName('own:latest')]);
    expect(seen.context.options).toMatchObject({ epochSec: 0, annotations: [{ level: 'index', key: 'k' }] });
  });

  it('changes nothing when the output says nothing', () => {
    const seen = asSeenBy({ type: 'store' }, target, context);
    expect(seen.target.target.names).toEqual([readName('all:1')]);
    expect(seen.context).toEqual(context);
  });

  it('names of all outputs are told once', () => {
    const outputs: Output[] = [{ type: 'store' }, { type: 'oci', dest: 'a', names: ['b', 'all:1'] }];
    const names = namesInAll(outputs, [readName('all:1')]).map(({ familiar }) => familiar);
    expect(names).toEqual(['all:1', 'b:latest']);
    expect(namesInAll([{ type: 'cacheonly' }], [readName('x')])).toEqual([readName('x')]);
  });
});

describe('storeNames()', () => {
  it.each<[string, string[], Parameters<typeof storeNames>[2], string[]]>([
    ['the names', ['a:1'], {}, ['a:1']],
    [
      'the digest behind them',
      ['a:1', 'b:2'],
      { nameCanonical: true },
      ['a:1', 'b:2', `a:1@${DIGEST}`, `b:2@${DIGEST}`],
    ],
    ['the prefix too', ['a:1'], { danglingNamePrefix: 'p' }, ['a:1', `p@${DIGEST}`]],
    ['no prefix beside a name', ['a:1'], { danglingNamePrefix: 'p', danglingNameEmptyOnly: true }, ['a:1']],
    ['the prefix alone', [], { danglingNamePrefix: 'p', danglingNameEmptyOnly: true }, [`p@${DIGEST}`]],
  ])('gives %s', (_, names, form, expected) => {
    expect(storeNames(names.map(readName), DIGEST, form)).toEqual(expected);
  });
});
