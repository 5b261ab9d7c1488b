import { didYouMean } from '../../errors/suggest.ts';
import { BUILD_FLAGS } from '../flags/build-flags.ts';
import type { Flag } from '../flags/types.ts';

/** Flags as `parseArgs` gives them. */
export type FlagValues = ReadonlyMap<string, boolean | string | readonly string[]>;

/** Why a value cannot be used, without the file and the key. */
export class ConfigValueError extends Error {}

/** Flags whose names say one of something. */
const PLURALS = [
  'tag',
  'build-arg',
  'label',
  'annotation',
  'platform',
  'build-context',
  'add-host',
  'ulimit',
  'secret',
  'output',
];
/** `KEY=VALUE`; the other character is between an item's key and value. */
const PAIRS: Readonly<Record<string, string>> = {
  'build-arg': '=',
  label: '=',
  annotation: '=',
  'build-context': '=',
  ulimit: '=',
  'add-host': ':',
};
/** Lists of which the later value of a key replaces the earlier one. */
const MERGED: readonly string[] = ['build-arg', 'label', 'annotation', 'build-context', 'secret', 'ssh'];

/** Flags that a config file may set. */
export const CONFIG_FLAGS: readonly Flag[] = BUILD_FLAGS.filter(
  ({ refused, help }) => refused === undefined && help !== undefined,
);

/** The key of a flag: `build-arg` is `buildArgs`. */
export function configKey({ name }: Pick<Flag, 'name'>): string {
  const camel = name.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
  return PLURALS.includes(name) ? `${camel}s` : camel;
}

/** Other names that people write, and what they mean here. */
const ALIASES: Readonly<Record<string, string>> = {
  args: 'buildArgs',
  buildArg: 'buildArgs',
  contexts: 'buildContexts',
  dockerfile: 'file',
  platform: 'platforms',
  tag: 'tags',
  output: 'outputs',
  label: 'labels',
  secret: 'secrets',
};

/** "did you mean" for a key that is not known. */
export function nearKey(key: string, known: readonly string[]): string | undefined {
  const alias = ALIASES[key];
  if (alias !== undefined && known.includes(alias)) return `did you mean "${alias}"?`;
  return didYouMean(key, known);
}

/** A value of a config file as the flag's values on a command line. @throws ConfigValueError */
export function flagValue(flag: Flag, value: unknown): boolean | string | readonly string[] {
  switch (flag.kind) {
    case 'bool':
      if (typeof value === 'boolean') return value;
      throw new ConfigValueError(`expected true or false, not ${shown(value)}`);
    case 'string':
      return choice(flag, textOf(value));
    case 'optional':
      if (value === true) return flag.bare ?? 'true';
      if (value === false) return flag.name === 'pull' ? 'missing' : 'false';
      return isRecord(value) ? attributes(value) : choice(flag, textOf(value));
    case 'list':
      return listOf(flag, value);
  }
}

function choice({ choices }: Flag, text: string): string {
  if (choices === undefined || choices.includes(text)) return text;
  throw new ConfigValueError(`expected ${choices.join(', ')}, not "${text}"`);
}

function listOf({ name }: Flag, value: unknown): readonly string[] {
  if (Array.isArray(value)) return value.map((item) => (isRecord(item) ? attributes(item) : textOf(item)));
  if (!isRecord(value)) return [textOf(value)];
  const entries = Object.entries(value);
  const separator = PAIRS[name];
  if (separator !== undefined) return entries.map(([key, text]) => `${key}${separator}${textOf(text)}`);
  if (name === 'secret') {
    return entries.map(([id, source]) =>
      attributes({ id, ...(isRecord(source) ? source : { src: textOf(source) }) }),
    );
  }
  if (name === 'ssh') {
    return entries.map(
      ([id, paths]) => `${id}=${(Array.isArray(paths) ? paths : [paths]).map(textOf).join(',')}`,
    );
  }
  return [attributes(value)];
}

/** One CSV record of `key=value`. @see RFC 4180 */
function attributes(value: Readonly<Record<string, unknown>>): string {
  return csvLine(Object.entries(value).map(([key, text]) => `${key}=${textOf(text)}`));
}

export function csvLine(fields: readonly string[]): string {
  return fields.map((field) => (/[",\n]/.test(field) ? `"${field.replaceAll('"', '""')}"` : field)).join(',');
}

function textOf(value: unknown): string {
  if (typeof value === 'string') return value;
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  throw new ConfigValueError(`expected a text, not ${shown(value)}`);
}

function shown(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  if (Array.isArray(value)) return 'a list';
  return typeof value === 'object' ? 'an object' : `the ${typeof value} ${JSON.stringify(value)}`;
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** What is asked for in another way, so that what a weaker layer says of it is left out. */
const INSTEAD: Readonly<Record<string, readonly string[]>> = {
  'no-cache': ['no-cache-filter'],
  'no-cache-filter': ['no-cache'],
  quiet: ['progress'],
  progress: ['quiet'],
  output: ['push', 'load'],
  check: ['call'],
  call: ['check', 'fix'],
};

/** Two layers as one. Maps are merged by key; of everything else the stronger layer's value holds. */
export function overlay(weak: FlagValues, strong: FlagValues): FlagValues {
  const merged = new Map(weak);
  for (const [name, value] of strong) {
    for (const other of INSTEAD[name] ?? []) if (!strong.has(other)) merged.delete(other);
    const below = merged.get(name);
    const isMerged = MERGED.includes(name) && Array.isArray(below) && Array.isArray(value);
    merged.set(name, isMerged ? [...(below as readonly string[]), ...(value as readonly string[])] : value);
  }
  return merged;
}
