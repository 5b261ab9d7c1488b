import type { Flag } from '../flags/types.ts';
import { CONFIG_FLAGS, configKey } from './config-values.ts';

type Schema = Readonly<Record<string, unknown>>;

const SCALAR: Schema = { type: ['string', 'number', 'boolean'] };
const VALUES: Schema = { type: 'object', additionalProperties: SCALAR };
const WORDS: Schema = { type: 'array', items: { type: 'string' } };

/** JSON Schema of `ocibuild.config.json`, from the table of flags. */
export function configSchema(): Schema {
  const properties = Object.fromEntries(CONFIG_FLAGS.map((flag) => [configKey(flag), flagSchema(flag)]));
  const size: Schema = { type: ['string', 'integer'], description: 'bytes, or a text such as "20gb"' };
  const time: Schema = { type: 'string', description: 'such as "60d" or "12h"' };
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'ocibuild config file',
    ...object({
      $schema: { type: 'string' },
      root: { type: 'string', description: 'the store, as --root' },
      runtime: { type: 'string', description: 'as --runtime' },
      gc: {
        description: 'when and how much the store is cleared by itself',
        anyOf: [
          { const: false },
          object({
            ...{ maxUsedSpace: size, reservedSpace: size, minFreeSpace: size },
            ...{ keepDuration: time, interval: time },
          }),
        ],
      },
      defaults: { description: 'for every build', ...object(properties) },
      builds: {
        type: 'object',
        description: 'ocibuild build @NAME',
        propertyNames: { pattern: '^[A-Za-z0-9][\\w.-]*$' },
        additionalProperties: object({
          context: { type: 'string', description: 'directory, or a git or http(s) URL' },
          extends: { description: 'builds to take everything else from', anyOf: [{ type: 'string' }, WORDS] },
          ...properties,
        }),
      },
    }),
  };
}

function object(properties: Readonly<Record<string, Schema>>): Schema {
  return { type: 'object', additionalProperties: false, properties };
}

function flagSchema(flag: Flag): Schema {
  const description = flag.help ?? '';
  switch (flag.kind) {
    case 'bool':
      return { type: 'boolean', description };
    case 'string':
      return {
        description,
        ...(flag.choices === undefined ? { type: ['string', 'number'] } : { enum: flag.choices }),
      };
    case 'optional':
      return flag.choices === undefined
        ? { description, anyOf: [{ type: ['boolean', 'string'] }, VALUES] }
        : { description, enum: [true, false, ...flag.choices] };
    case 'list':
      return {
        description,
        anyOf: [
          { type: 'string' },
          { type: 'array', items: { anyOf: [{ type: 'string' }, VALUES] } },
          { type: 'object', additionalProperties: { anyOf: [SCALAR, WORDS, VALUES] } },
        ],
      };
  }
}
