import { OcibuildError } from '../../errors/error.ts';
import { didYouMean } from '../../errors/suggest.ts';
import { familiarName, parseReference, withDefaultTag } from '../../image/reference.ts';
import { goRegExp } from '../../util/go-regexp.ts';
import { parseTimeSpan } from '../../util/time-span.ts';
import type { DiskUsageItem, ItemType } from './types.ts';

type Matcher = (item: DiskUsageItem) => boolean;

const TYPES: Readonly<Record<ItemType, true>> = {
  regular: true,
  'source.local': true,
  'source.git.checkout': true,
  'source.http': true,
  'exec.cachemount': true,
  internal: true,
  image: true,
  container: true,
  volume: true,
};
/** Types of BuildKit that no item here has. */
const OTHER_TYPES = ['frontend'];

const FLAGS: Readonly<Record<string, Matcher>> = {
  inuse: ({ inUse }) => inUse,
  shared: ({ shared }) => shared,
  private: ({ shared }) => !shared,
  mutable: ({ mutable }) => mutable,
  immutable: ({ mutable }) => !mutable,
  reclaimable: ({ reclaimable }) => reclaimable,
};
const TEXTS = ['id', 'description', 'type', 'form', 'cache-mount', 'image'] as const;
const TIMES = ['until', 'unused-for'];

/**
 * Reads `KEY`, `KEY=VALUE`, `KEY!=VALUE` and `KEY~=REGEXP`. Filters of one key: any of them; of several: all. Values may
 * be listed with commas.
 * @throws USAGE_INVALID
 */
export function parseFilters(filters: readonly string[], nowMs: number): Matcher {
  const groups = new Map<string, Matcher[]>();
  for (const filter of filters) {
    const { key, matcher } = parseFilter(filter, nowMs);
    groups.set(key, [...(groups.get(key) ?? []), matcher]);
  }
  const all = [...groups.values()];
  return (item) => all.every((any) => any.some((matches) => matches(item)));
}

/** `24h`, `1h30m`, `7d`; a bare number is seconds. Gives ms. @throws USAGE_INVALID */
export function parseDuration(name: string, text: string): number {
  const ms = parseTimeSpan(text);
  if (ms !== undefined) return ms;
  throw new OcibuildError('USAGE_INVALID', `Cannot use ${name} "${text}": expected a time such as 24h or 7d`);
}

function parseFilter(filter: string, nowMs: number): { key: string; matcher: Matcher } {
  const [, key = '', sign = '', value = ''] = /^([\w-]+)(?:(==|=|!=|~=)(.*))?$/s.exec(filter.trim()) ?? [];
  const flag = Object.hasOwn(FLAGS, key) ? FLAGS[key] : undefined;
  if (flag !== undefined) {
    if (!['', 'true', 'false', '1', '0'].includes(value)) throw wrong(filter, 'expected true or false');
    const isWanted = ['false', '0'].includes(value) === (sign === '!=');
    return { key: `${key}`, matcher: (item) => flag(item) === isWanted };
  }
  if (sign === '') throw unknown(filter, key);
  if (TIMES.includes(key)) {
    if (sign === '~=' || sign === '!=') throw wrong(filter, 'expected until=24h');
    const agoMs = parseDuration(`--filter ${key}`, value);
    return { key: 'until', matcher: ({ usedMs }) => nowMs - usedMs >= agoMs };
  }
  if (!TEXTS.some((name) => name === key)) throw unknown(filter, key);
  const matches = matcherOf(key, sign, { value, filter });
  // A name that is not wanted rules out whatever others allow.
  return sign === '!='
    ? { key: filter, matcher: (item) => !matches(item) }
    : { key, matcher: (item) => matches(item) };
}

function matcherOf(
  key: string,
  sign: string,
  { value, filter }: { readonly value: string; readonly filter: string },
): Matcher {
  if (sign === '~=') {
    const pattern = regexp(value, filter);
    return (item) => textsOf(item, key).some((text) => pattern.test(text));
  }
  const values = key === 'description' ? [value] : value.split(',');
  if (key === 'type') for (const type of values) checkType(type, filter);
  const wanted = key === 'image' ? values.map(imageName) : values;
  return (item) =>
    textsOf(item, key).some((text) =>
      wanted.some((each) => text === each || (key === 'id' && each.length >= 4 && hasPrefix(text, each))),
    );
}

function textsOf(item: DiskUsageItem, key: string): readonly string[] {
  switch (key) {
    case 'image':
      return item.images;
    case 'cache-mount':
      return item.cacheMount === undefined ? [] : [item.cacheMount];
    case 'form':
      return item.form === undefined ? [] : [item.form];
    case 'id':
      return [item.id, ...(item.layer === undefined ? [] : [item.layer])];
    default:
      return [item[key as 'description' | 'type']];
  }
}

/** The start of an id, with its kind and folder or without. */
function hasPrefix(id: string, start: string): boolean {
  const name = id.slice(id.lastIndexOf('/') + 1);
  return [id, name, name.slice(name.search(/[:-]/) + 1)].some((each) => each.startsWith(start));
}

function imageName(text: string): string {
  try {
    return familiarName(withDefaultTag(parseReference(text)));
  } catch {
    return text;
  }
}

function checkType(type: string, filter: string): void {
  if (Object.hasOwn(TYPES, type) || OTHER_TYPES.includes(type)) return;
  const near = didYouMean(type, Object.keys(TYPES));
  throw wrong(filter, `there is no type "${type}"`, near ?? `types: ${Object.keys(TYPES).join(', ')}`);
}

function regexp(value: string, filter: string): RegExp {
  try {
    return goRegExp(value);
  } catch (cause) {
    throw wrong(filter, `it is no regular expression: ${(cause as Error).message}`);
  }
}

function wrong(filter: string, why: string, hint?: string): OcibuildError {
  return new OcibuildError('USAGE_INVALID', `Cannot use the filter "${filter}": ${why}`, {
    ...(hint === undefined ? {} : { hint }),
  });
}

function unknown(filter: string, key: string): OcibuildError {
  const keys = [...Object.keys(FLAGS), ...TEXTS, ...TIMES];
  if (/^parents?$/.test(key))
    return wrong(
      filter,
      'a layer has no parent here, it can stand on any other',
      'name its step: description~=…',
    );
  const isKnown = keys.includes(key);
  return wrong(
    filter,
    isKnown ? `${key} takes a value` : 'there is no such filter',
    (isKnown ? undefined : didYouMean(key, keys)) ?? `filters: ${keys.join(', ')}`,
  );
}
