import { describe, expect, it } from 'vitest';
import { createEvaluator } from '../../../../src/build/policy/evaluate.ts';
import { parsePolicy } from '../../../../src/build/policy/parse-policy.ts';
import { isOcibuildError } from '../../../../src/errors/error.ts';

const fault = (where: string, why: string): Error => new RangeError(`${where}: ${why}`);
const ALPINE = 'docker-image://docker.io/library/alpine:latest';
const GO = 'docker-image://docker.io/library/golang:1.19';
const PIN = `${ALPINE}@sha256:${'a'.repeat(64)}`;

const rule = (action: string, identifier: string, more: object = {}) => ({
  action,
  selector: { identifier, ...more },
});
const convert = (identifier: string, updates: object, more: object = {}) => ({
  ...rule('CONVERT', identifier, more),
  updates,
});
const constraint = (key: string, value: string, condition: string) => ({
  constraints: [{ key, value, condition }],
});

/** The identifier that the rules give, or the code of the error. */
function ask(rules: readonly object[], identifier = ALPINE, attrs: Record<string, string> = {}): string {
  const evaluate = createEvaluator(parsePolicy({ rules }, fault), '"p"', fault);
  try {
    const found = evaluate({ identifier, attrs });
    const set = Object.entries(found.attrs).map(([key, value]) => ` ${key}=${value}`);
    return `${found.identifier}${set.join('')}`;
  } catch (error) {
    return isOcibuildError(error) ? error.code : (error as Error).message;
  }
}

describe('createEvaluator()', () => {
  it.each<[string, readonly object[], string]>([
    ['no rule fits', [rule('DENY', 'https://*')], ALPINE],
    ['one denies', [rule('DENY', ALPINE)], 'SOURCE_DENIED'],
    ['the last allows', [rule('DENY', '*'), rule('ALLOW', 'docker-image://*')], ALPINE],
    ['the last denies', [rule('ALLOW', '*'), rule('DENY', '*alpine*')], 'SOURCE_DENIED'],
    ['a wildcard must fit the whole', [rule('DENY', 'docker-image://docker.io')], ALPINE],
    ['a dot is a dot', [rule('DENY', 'docker-image://dockerxio/*')], ALPINE],
    ['EXACT knows no "*"', [rule('DENY', '*', { matchType: 'EXACT' })], ALPINE],
    ['REGEX fits a part', [rule('DENY', '/al.ine:', { match_type: 'REGEX' })], 'SOURCE_DENIED'],
    ['words are numbers', [rule('DENY', 'alpine', { matchType: 2 })], 'SOURCE_DENIED'],
    ['CONVERT pins', [convert(ALPINE, { identifier: PIN })], PIN],
    ['CONVERT pins, EXACT', [convert(ALPINE, { identifier: PIN }, { matchType: 'EXACT' })], PIN],
    ['what stands in is denied', [convert(ALPINE, { identifier: GO }), rule('DENY', GO)], 'SOURCE_DENIED'],
    ['what is replaced is denied', [rule('DENY', ALPINE), convert(ALPINE, { identifier: GO })], GO],
    [
      'groups of "*" are taken',
      [convert('docker-image://*/library/*:*', { identifier: 'docker-image://m.example/${2}:${3}-x' })],
      'docker-image://m.example/alpine:latest-x',
    ],
    [
      'groups of a REGEX replace a part',
      [convert('library/(\\w+)', { identifier: 'mirror/$1' }, { matchType: 'REGEX' })],
      'docker-image://docker.io/mirror/alpine:latest',
    ],
    [
      'conversions follow each other',
      [convert(GO, { identifier: PIN }), convert(ALPINE, { identifier: GO })],
      PIN,
    ],
    [
      'conversions never end',
      [convert('docker-image://*', { identifier: 'docker-image://${1}a' })],
      `rules: CONVERT changes "${ALPINE}" again and again`,
    ],
    [
      'conversions go round',
      [convert(GO, { identifier: ALPINE }), convert(ALPINE, { identifier: GO })],
      `rules: CONVERT changes "${ALPINE}" again and again`,
    ],
    ['only attributes are set', [convert('docker-*', { attrs: { a: 'b' } })], `${ALPINE} a=b`],
  ])('%s', (_title, rules, expected) => {
    expect(ask(rules)).toBe(expected);
  });

  it.each<[string, string, string, boolean]>([
    ['EQUAL', 'k', 'v', true],
    ['EQUAL', 'k', 'w', false],
    ['EQUAL', 'none', '', true],
    ['NOTEQUAL', 'k', 'w', true],
    ['NOTEQUAL', 'none', 'v', true],
    ['NOTEQUAL', 'k', 'v', false],
    ['MATCHES', 'k', '^[uv]$', true],
    ['MATCHES', 'none', '.', false],
  ])('asks for %s of %s and "%s"', (condition, key, value, fits) => {
    const rules = [rule('DENY', '*', constraint(key, value, condition))];
    expect(ask(rules, ALPINE, { k: 'v' })).toBe(fits ? 'SOURCE_DENIED' : `${ALPINE} k=v`);
  });

  it('names the rule, and hides credentials', () => {
    const evaluate = createEvaluator(
      parsePolicy({ rules: [rule('ALLOW', '*'), rule('DENY', 'https://*')] }, fault),
      '"p"',
      fault,
    );
    expect(() => evaluate({ identifier: 'https://u:secret@x.example/f', attrs: {} }, 'why')).toThrow(
      expect.objectContaining({
        code: 'SOURCE_DENIED',
        hint: 'why',
        message:
          'Cannot use the source "https://***@x.example/f": rule 2 of the source policy "p" denies "https://*"',
        details: { identifier: 'https://***@x.example/f', rule: 2 },
      }),
    );
  });

  it.each<[string, object]>([
    ['"**"', rule('DENY', 'https://**')],
    ['no regular expression', rule('DENY', 'a(', { matchType: 'REGEX' })],
    ['no regular expression', rule('DENY', '*', constraint('k', '[', 'MATCHES'))],
  ])('refuses %s before it is asked', (message, wrong) => {
    expect(() => createEvaluator(parsePolicy({ rules: [wrong] }, fault), '"p"', fault)).toThrow(message);
  });
});

describe('parsePolicy()', () => {
  it.each<[string, unknown]>([
    [': it is no object', []],
    [': "rule" is unknown, did you mean "rules"?', { rule: [] }],
    ['version: it is 2, this version of ocibuild reads 1', { version: 2 }],
    ['rules: it is no array', { rules: {} }],
    ['rules[0].selector: it is missing', { rules: [{ action: 'DENY' }] }],
    ['rules[0].selector.identifier: it is missing', { rules: [{ selector: {} }] }],
    [
      'rules[0].action: it is "deny", and not one of ALLOW, DENY, CONVERT',
      { rules: [{ action: 'deny', selector: { identifier: '*' } }] },
    ],
    [
      'rules[0].selector.constraints[0].condition: it is "NOTMATCHES", and not one of',
      { rules: [rule('DENY', '*', constraint('k', 'v', 'NOTMATCHES'))] },
    ],
    ['rules[0].selector: "constraint" is unknown', { rules: [rule('DENY', '*', { constraint: [] })] }],
    ['rules[0].updates: it is missing', { rules: [rule('CONVERT', '*')] }],
    ['rules[0].updates: CONVERT needs an identifier or attrs', { rules: [convert('*', {})] }],
    [
      'rules[0].updates.attrs: "md5:1" is no digest',
      { rules: [convert('*', { attrs: { 'http.checksum': 'md5:1' } })] },
    ],
  ])('says %s', (message, value) => {
    expect(() => parsePolicy(value, fault)).toThrow(message);
  });

  it.each([{}, { rules: null }, { version: 1, rules: [] }])('takes %j for no rules', (value) => {
    expect(parsePolicy(value, fault).rules).toEqual([]);
  });
});
