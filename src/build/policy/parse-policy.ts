import { didYouMean } from '../../errors/suggest.ts';
import type { SourcePolicy, SourceRule, SourceSelector } from './types.ts';

/** Makes the error for a value of a policy: the keys that lead to it, `rules[0].selector`, and what is wrong. */
export type PolicyFault = (where: string, why: string) => Error;

/** In the order of their numbers, which JSON may hold as well. */
const ACTIONS = ['ALLOW', 'DENY', 'CONVERT'] as const;
const MATCH_TYPES = ['WILDCARD', 'EXACT', 'REGEX'] as const;
const CHECKSUM = /^(?:sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128})$/;
const CONDITIONS = ['EQUAL', 'NOTEQUAL', 'MATCHES'] as const;

/**
 * Checks what JSON holds. A key that is not known is a fault: a rule that is read only in part would allow what it was
 * written to deny.
 * @throws what `fault` makes
 */
export function parsePolicy(value: unknown, fault: PolicyFault): SourcePolicy {
  const record = (given: unknown, where: string, keys: readonly string[]): Record<string, unknown> => {
    if (typeof given !== 'object' || given === null || Array.isArray(given))
      throw fault(where, given === undefined ? 'it is missing' : 'it is no object');
    for (const key of Object.keys(given)) {
      if (keys.includes(key)) continue;
      const near = didYouMean(key, keys);
      throw fault(where, `"${key}" is unknown${near === undefined ? '' : `, ${near}`}`);
    }
    return given as Record<string, unknown>;
  };
  const list = (given: unknown, where: string): readonly unknown[] => {
    if (given === undefined || given === null) return [];
    if (!Array.isArray(given)) throw fault(where, 'it is no array');
    return given;
  };
  const text = (given: unknown, where: string): string => {
    if (typeof given !== 'string')
      throw fault(where, given === undefined ? 'it is missing' : 'it is no string');
    return given;
  };
  const word = <W extends string>(given: unknown, where: string, words: readonly W[]): W => {
    const found =
      typeof given === 'number' ? words[given] : words.find((each) => each === (given ?? words[0]));
    if (found !== undefined) return found;
    throw fault(where, `it is ${JSON.stringify(given)}, and not one of ${words.join(', ')}`);
  };

  const readSelector = (given: unknown, where: string): SourceSelector => {
    // `match_type` is what BuildKit reads; `matchType` is what JSON of protocol buffers has.
    const keys = ['identifier', 'matchType', 'match_type', 'constraints'];
    const { identifier, matchType, match_type: other, constraints } = record(given, where, keys);
    const type = word(matchType ?? other, `${where}.matchType`, MATCH_TYPES);
    return {
      identifier: text(identifier, `${where}.identifier`),
      matchType: type,
      constraints: list(constraints, `${where}.constraints`).map((each, i) => {
        const at = `${where}.constraints[${i}]`;
        const { key, value: wanted, condition } = record(each, at, ['key', 'value', 'condition']);
        return {
          key: text(key, `${at}.key`),
          value: text(wanted ?? '', `${at}.value`),
          condition: word(condition, `${at}.condition`, CONDITIONS),
        };
      }),
    };
  };
  const readUpdates = (given: unknown, where: string): NonNullable<SourceRule['updates']> => {
    const { identifier, attrs } = record(given, where, ['identifier', 'attrs']);
    const values = Object.entries(
      record(attrs ?? {}, `${where}.attrs`, Object.keys(Object(attrs ?? {}))),
    ).map(([key, each]) => [key, text(each, `${where}.attrs["${key}"]`)] as const);
    const checksum = values.find(([key, each]) => key === 'http.checksum' && !CHECKSUM.test(each));
    if (checksum !== undefined)
      throw fault(`${where}.attrs`, `"${checksum[1]}" is no digest, such as sha256:… with 64 hex digits`);
    return {
      ...(identifier === undefined || identifier === ''
        ? {}
        : { identifier: text(identifier, `${where}.identifier`) }),
      ...(values.length === 0 ? {} : { attrs: Object.fromEntries(values) }),
    };
  };
  const readRule = (given: unknown, where: string): SourceRule => {
    const { action, selector, updates } = record(given, where, ['action', 'selector', 'updates']);
    const what = word(action, `${where}.action`, ACTIONS);
    const rule = { action: what, selector: readSelector(selector, `${where}.selector`) };
    if (what !== 'CONVERT') return rule;
    const read = readUpdates(updates, `${where}.updates`);
    if (read.identifier === undefined && read.attrs === undefined)
      throw fault(`${where}.updates`, 'CONVERT needs an identifier or attrs');
    return { ...rule, updates: read };
  };

  const { version, rules } = record(value, '', ['version', 'rules']);
  // 0 is what BuildKit takes an absent one for.
  if (version !== undefined && version !== 0 && version !== 1)
    throw fault('version', `it is ${JSON.stringify(version)}, this version of ocibuild reads 1`);
  return { rules: list(rules, 'rules').map((rule, i) => readRule(rule, `rules[${i}]`)) };
}
