import { inspect } from 'node:util';
import { didYouMean } from '../errors/suggest.ts';
import type { CheckOptions } from './describe.ts';
import type { LockOptions } from './lock/lock.ts';
import type { BuildOptions } from './options.ts';

/** What a value must be, in words, and whether it is. */
type Kind = readonly [wanted: string, holds: (value: unknown) => boolean];

const isText = (value: unknown): boolean => typeof value === 'string';
const isObject = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const isList = (value: unknown, item: (value: unknown) => boolean): boolean =>
  Array.isArray(value) && value.every(item);

const TEXT: Kind = ['a string', isText];
const TEXTS: Kind = ['an array of strings', (value) => isList(value, isText)];
const TEXT_RECORD: Kind = [
  'an object whose values are strings',
  (value) => isObject(value) && Object.values(value).every(isText),
];
const BOOLEAN: Kind = ['true or false', (value) => typeof value === 'boolean'];
const NUMBER: Kind = ['a number', (value) => typeof value === 'number'];
const FUNCTION: Kind = ['a function', (value) => typeof value === 'function'];
const OBJECT: Kind = ['an object', isObject];
const OBJECTS: Kind = ['an array of objects', (value) => isList(value, isObject)];

const oneOf = (...words: readonly string[]): Kind => [
  words.map((word) => `"${word}"`).join(', '),
  (value) => words.includes(value as string),
];

const typeOf = (value: unknown, types: readonly string[]): boolean =>
  isObject(value) && 'type' in value && types.includes(value.type as string);

/** Objects that their `type` tells apart. */
const listOf = (...types: readonly string[]): Kind => [
  `an array of objects whose type is ${oneOf(...types)[0]}`,
  (value) => isList(value, (item) => typeOf(item, types)),
];
const recordOf = (...types: readonly string[]): Kind => [
  `an object whose values are objects with the type ${oneOf(...types)[0]}`,
  (value) => isObject(value) && Object.values(value).every((item) => typeOf(item, types)),
];

const KINDS: Readonly<Record<keyof (BuildOptions & CheckOptions & LockOptions), Kind>> = {
  context: TEXT,
  stdin: ['an async iterable', (value) => isObject(value) && Symbol.asyncIterator in value],
  dockerfile: TEXT,
  dockerfileText: TEXT,
  tags: TEXTS,
  buildArgs: TEXT_RECORD,
  target: TEXT,
  targets: TEXTS,
  targetTags: [
    'an object whose values are arrays of strings',
    (value) => isObject(value) && Object.values(value).every((item) => isList(item, isText)),
  ],
  labels: TEXT_RECORD,
  annotations: TEXT_RECORD,
  platform: TEXT,
  buildContexts: TEXT_RECORD,
  noCache: BOOLEAN,
  noCacheFilter: TEXTS,
  pull: oneOf('missing', 'always', 'newer', 'never'),
  locked: BOOLEAN,
  sourcePolicy: ['a path or an object', (value) => isText(value) || isObject(value)],
  cacheFrom: listOf('registry', 'local', 's3', 'gha'),
  cacheTo: listOf('registry', 'local', 'inline', 's3', 'gha'),
  network: oneOf('default', 'none', 'host'),
  addHosts: TEXTS,
  ulimits: OBJECTS,
  shmSize: NUMBER,
  secrets: recordOf('file', 'env', 'value'),
  ssh: recordOf('agent', 'keys'),
  allow: TEXTS,
  outputs: listOf('store', 'registry', 'oci', 'docker', 'local', 'tar', 'cacheonly'),
  attest: listOf('provenance', 'sbom'),
  resultProvenance: oneOf('min', 'max'),
  jobs: NUMBER,
  root: TEXT,
  runtime: TEXT,
  gc: ['false or an object', (value) => value === false || isObject(value)],
  exportOnFailure: OBJECTS,
  onFailedStep: FUNCTION,
  explain: BOOLEAN,
  signal: ['an AbortSignal', (value) => value instanceof AbortSignal],
  onEvent: FUNCTION,
  env: OBJECT,
  cwd: TEXT,
  stdout: OBJECT,
  fix: BOOLEAN,
  check: BOOLEAN,
};

/**
 * Programs without types write options too: a name that is not known, or a value of another kind, would be a build that
 * silently does something else.
 * @throws TypeError
 */
export function checkOptions(options: BuildOptions): void {
  if (!isObject(options))
    throw new TypeError(`Cannot build: options must be an object, got ${shown(options)}`);
  if (options.context === undefined) throw new TypeError('Cannot build: the option "context" is missing');
  for (const [name, value] of Object.entries(options)) {
    if (!Object.hasOwn(KINDS, name)) {
      const near = didYouMean(name, Object.keys(KINDS));
      throw new TypeError(
        `Cannot use the option "${name}": there is no such option${near === undefined ? '' : `, ${near}`}`,
      );
    }
    const [wanted, holds] = KINDS[name as keyof typeof KINDS];
    if (value === undefined || holds(value)) continue;
    throw new TypeError(`Cannot use the option "${name}": expected ${wanted}, got ${shown(value)}`);
  }
}

/** A secret's value may be among what is wrong. */
function shown(value: unknown): string {
  if (isObject(value)) return `an object with ${Object.keys(value).join(', ') || 'no keys'}`;
  return Array.isArray(value) ? `an array of ${value.length}` : inspect(value);
}
