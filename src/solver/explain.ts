import { digestOf } from '../llb/definition.ts';
import type { Ingredient } from './types.ts';

const HIDDEN = /^#[0-9a-f]{16}$/;

/** Stands for a value in a record that leaves this machine: it tells that the value changed, but not what it was. */
export function hiddenValue(value: string): string {
  return HIDDEN.test(value) ? value : `#${digestOf(value).slice('sha256:'.length, 'sha256:'.length + 16)}`;
}

/** Names that say nothing to a person when they are the only ones that differ. */
const TECHNICAL = /^(input \d+|rootfs|op)$/;

/**
 * Says what changed between the ingredients of the last run of a step and of this one, one change a line:
 * `ARG VERSION: "1" → "2"`, `file src/a.ts changed`, `first build`.
 */
export function explainMiss(
  before: readonly Ingredient[] | undefined,
  after: readonly Ingredient[],
  ignoredCache: boolean,
): readonly string[] {
  if (ignoredCache) return ['the cache was not asked (--no-cache)'];
  if (before === undefined) return ['first build of this step'];
  const old = new Map(before.map(({ name, value }) => [name, value]));
  const fresh = new Map(after.map(({ name, value }) => [name, value]));
  const changes: string[] = [];
  const technical: string[] = [];
  for (const [name, value] of fresh) {
    const was = old.get(name);
    if (was === value || was === hiddenValue(value)) continue;
    const line = describe(name, was, value);
    if (TECHNICAL.test(name)) technical.push(line);
    else changes.push(line);
  }
  for (const [name, value] of old) {
    if (!fresh.has(name) && !TECHNICAL.test(name)) changes.push(describe(name, value, undefined));
  }
  if (changes.length > 0) return changes;
  return technical.length > 0 ? [...new Set(technical)] : ['its earlier result is no longer in the store'];
}

function describe(name: string, was: string | undefined, is: string | undefined): string {
  if (TECHNICAL.test(name))
    return name === 'op' ? 'the instruction changed' : 'a step that it builds on changed';
  if (was === undefined) return `${name} is new`;
  if (is === undefined) return `${name} is gone`;
  return short(was) && short(is) && !HIDDEN.test(was) ? `${name}: "${was}" → "${is}"` : `${name} changed`;
}

function short(value: string): boolean {
  return value.length <= 60 && !value.startsWith('sha256:');
}
