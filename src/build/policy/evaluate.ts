import { OcibuildError } from '../../errors/error.ts';
import { redact } from '../../errors/redact.ts';
import { expandTemplate, goRegExp } from '../../util/go-regexp.ts';
import type { PolicyFault } from './parse-policy.ts';
import type { PolicedSource, SourcePolicy, SourceRule, SourceSelector } from './types.ts';

/** What the rules make of a source. `hint` is for whom it is denied.
 * @throws SOURCE_DENIED; SOURCE_POLICY_INVALID where conversions never end */
export type Evaluate = (source: PolicedSource, hint?: string) => PolicedSource;

/** A rule with its patterns compiled. */
interface Matcher {
  readonly rule: SourceRule;
  fits(source: PolicedSource): boolean;
  /** The identifier that the source gets. */
  updated(identifier: string): string;
}

/** BuildKit's limit on changes of one source. */
const MAX_CHANGES = 20;

/**
 * Compiles a policy.
 * @throws what `fault` makes of a pattern that is none
 * @see https://github.com/moby/buildkit/blob/master/docs/build-repro.md
 */
export function createEvaluator({ rules }: SourcePolicy, name: string, fault: PolicyFault): Evaluate {
  const matchers = rules.map((rule, i) => compileRule(rule, (why) => fault(`rules[${i}].selector`, why)));

  /** One pass over the rules: the source itself, or what the first rule that changes it makes of it. */
  const pass = (source: PolicedSource, given: string, hint: string | undefined): PolicedSource => {
    let denial: number | undefined;
    for (const [i, { rule, fits, updated }] of matchers.entries()) {
      if (!fits(source)) continue;
      if (rule.action === 'CONVERT') {
        const next = {
          identifier: updated(source.identifier),
          attrs: { ...source.attrs, ...rule.updates?.attrs },
        };
        if (!isSame(source, next)) return next;
      } else denial = rule.action === 'DENY' ? i : undefined;
    }
    if (denial === undefined) return source;
    const { identifier } = source;
    const origin = identifier === given ? '' : `, which stands in for "${redact(given)}"`;
    const selector = rules[denial]?.selector.identifier ?? '';
    throw new OcibuildError(
      'SOURCE_DENIED',
      `Cannot use the source "${redact(identifier)}"${origin}: rule ${denial + 1} of the source policy ${name} denies "${redact(selector)}"`,
      {
        details: { identifier: redact(identifier), rule: denial + 1 },
        ...(hint === undefined ? {} : { hint }),
      },
    );
  };

  return (source, hint) => {
    let current = source;
    for (let i = 0; i <= MAX_CHANGES; i++) {
      const next = pass(current, source.identifier, hint);
      if (next === current) return current;
      current = next;
    }
    throw fault('rules', `CONVERT changes "${redact(source.identifier)}" again and again`);
  };
}

function compileRule(rule: SourceRule, fault: (why: string) => Error): Matcher {
  const { selector, updates } = rule;
  const compile = (pattern: string): RegExp => {
    try {
      return goRegExp(pattern);
    } catch (error) {
      throw fault(`"${pattern}" is no regular expression: ${(error as Error).message}`);
    }
  };
  const constraints = (selector.constraints ?? []).map(({ key, value = '', condition }) => {
    if (condition === 'MATCHES') {
      const regexp = compile(value);
      return ({ attrs }: PolicedSource) => regexp.test(attrs[key] ?? '');
    }
    return ({ attrs }: PolicedSource) => ((attrs[key] ?? '') === value) === (condition !== 'NOTEQUAL');
  });
  const pattern = patternOf(selector, compile, fault);
  return {
    rule,
    fits: (source) =>
      constraints.every((holds) => holds(source)) &&
      (source.identifier === selector.identifier || pattern?.test(source.identifier) === true),
    updated(identifier) {
      const template = updates?.identifier;
      if (template === undefined) return identifier;
      if (pattern === undefined) return template;
      if (selector.matchType !== 'REGEX') {
        const match = pattern.exec(identifier);
        // The identifier of the selector itself, which its own `*` need not fit.
        return match === null ? template : expandTemplate(template, match);
      }
      return identifier.replace(new RegExp(pattern, `${pattern.flags}g`), (...found) =>
        expandTemplate(template, matchOf(found)),
      );
    },
  };
}

/** The arguments of a function that replaces, as a match. */
function matchOf(found: readonly unknown[]): RegExpExecArray {
  const last = found.at(-1);
  const groups = typeof last === 'object' ? last : undefined;
  const texts = found.slice(0, groups === undefined ? -2 : -3);
  return Object.assign(texts, { groups }) as unknown as RegExpExecArray;
}

function patternOf(
  { identifier, matchType }: SourceSelector,
  compile: (pattern: string) => RegExp,
  fault: (why: string) => Error,
): RegExp | undefined {
  if (matchType === 'EXACT') return undefined;
  if (matchType === 'REGEX') return compile(identifier);
  if (identifier.includes('**')) throw fault(`"${identifier}" has "**": one "*" stands for any text`);
  const parts = identifier.split('*').map((part) => part.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&'));
  return new RegExp(`^${parts.join('(.*)')}$`, 'u');
}

function isSame(a: PolicedSource, b: PolicedSource): boolean {
  if (a.identifier !== b.identifier) return false;
  return Object.entries(b.attrs).every(([key, value]) => a.attrs[key] === value);
}
