import { dirname, resolve } from 'node:path';
import { configError, placeOfKey } from '../../build/config/config-error.ts';
import type { FoundConfig, RawConfig } from '../../build/config/types.ts';
import type { FileTrace } from '../../build/fast-path.ts';
import type { OcibuildError } from '../../errors/error.ts';
import { parseByteSize } from '../../util/byte-size.ts';
import { parseTimeSpan } from '../../util/time-span.ts';
import { relocate, relocateContext } from './config-paths.ts';
import {
  CONFIG_FLAGS,
  ConfigValueError,
  configKey,
  type FlagValues,
  flagValue,
  isRecord,
  nearKey,
} from './config-values.ts';

/** A config file, checked: flags as a command line would give them, paths absolute. */
export interface Config {
  /** Undefined where there is none. */
  readonly path?: string;
  readonly root?: string;
  readonly runtime?: string;
  /** In the form of the options of a build; `false` turns it off. */
  readonly gc?: GcLimits | false;
  readonly defaults: FlagValues;
  readonly builds: ReadonlyMap<string, ConfiguredBuild>;
  readonly trace: FileTrace;
}

export interface ConfiguredBuild {
  readonly context: string;
  /** With what it extends. */
  readonly layers: readonly FlagValues[];
}

/** Bytes and ms. */
export interface GcLimits {
  readonly maxUsedSpace?: number;
  readonly reservedSpace?: number;
  readonly minFreeSpace?: number;
  readonly keepDurationMs?: number;
  readonly intervalMs?: number;
}

const TOP_KEYS = ['$schema', 'root', 'runtime', 'gc', 'defaults', 'builds'];
const SIZE_KEYS = ['maxUsedSpace', 'reservedSpace', 'minFreeSpace'] as const;
const TIME_KEYS = { keepDuration: 'keepDurationMs', interval: 'intervalMs' } as const;
/** A word of a command line that begins with `@`. */
const BUILD_NAME = /^[A-Za-z0-9][\w.-]*$/;

/** @throws CONFIG_INVALID */
export function checkConfig({ raw, trace }: FoundConfig): Config {
  if (raw === undefined) return { defaults: new Map(), builds: new Map(), trace };
  const value = recordAt(raw, [], raw.value);
  checkKeys(raw, [], { given: value, known: TOP_KEYS });
  const dir = dirname(raw.path);
  const { root, runtime, gc, defaults, builds } = value;
  return {
    path: raw.path,
    trace,
    ...(root === undefined ? {} : { root: resolve(dir, textAt(raw, ['root'], root)) }),
    ...(runtime === undefined ? {} : { runtime: runtimeAt(raw, textAt(raw, ['runtime'], runtime)) }),
    ...(gc === undefined ? {} : { gc: readGc(raw, gc) }),
    defaults: relocate(readFlags(raw, ['defaults'], recordAt(raw, ['defaults'], defaults ?? {})), dir),
    builds: readBuilds(raw, recordAt(raw, ['builds'], builds ?? {})),
  };
}

/** A name is looked for on PATH, a path is one of the file's directory. */
function runtimeAt({ path }: RawConfig, runtime: string): string {
  return runtime.includes('/') ? resolve(dirname(path), runtime) : runtime;
}

function readBuilds(raw: RawConfig, builds: Readonly<Record<string, unknown>>): Map<string, ConfiguredBuild> {
  const dir = dirname(raw.path);
  const own = new Map(
    Object.entries(builds).map(([name, value]) => {
      const keys = ['builds', name];
      if (!BUILD_NAME.test(name)) {
        throw fault(raw, keys, `"${name}" is no name of a build: letters, digits, ".", "_" and "-" are`);
      }
      const { context, extends: above, ...rest } = recordAt(raw, keys, value);
      const parents = above === undefined ? [] : [above].flat();
      return [
        name,
        {
          ...(context === undefined
            ? {}
            : { context: relocateContext(textAt(raw, [...keys, 'context'], context), dir) }),
          parents: parents.map((each) => textAt(raw, [...keys, 'extends'], each)),
          flags: relocate(readFlags(raw, keys, rest), dir),
        },
      ] as const;
    }),
  );
  const resolveBuild = (
    name: string,
    path: readonly string[],
  ): { context?: string; layers: FlagValues[] } => {
    const build = own.get(name);
    const keys = ['builds', path.at(-1) ?? name, 'extends'];
    if (build === undefined) {
      const near = nearKey(
        name,
        [...own.keys()].filter((each) => !path.includes(each)),
      );
      throw fault(raw, keys, `there is no build "${name}" to extend`, near);
    }
    if (path.includes(name))
      throw fault(raw, keys, `builds extend each other: ${[...path, name].join(' → ')}`);
    const above = build.parents.map((parent) => resolveBuild(parent, [...path, name]));
    const context = build.context ?? above.findLast((each) => each.context !== undefined)?.context;
    return {
      ...(context === undefined ? {} : { context }),
      layers: [...above.flatMap(({ layers }) => layers), build.flags],
    };
  };
  return new Map([...own.keys()].map((name) => [name, { context: dir, ...resolveBuild(name, []) }]));
}

function readFlags(
  raw: RawConfig,
  keys: readonly string[],
  values: Readonly<Record<string, unknown>>,
): FlagValues {
  const known = new Map(CONFIG_FLAGS.map((flag) => [configKey(flag), flag]));
  const extra = keys[0] === 'builds' ? ['context', 'extends'] : [];
  checkKeys(raw, keys, { given: values, known: [...extra, ...known.keys()] });
  return new Map(
    Object.entries(values).flatMap(([key, value]) => {
      const flag = known.get(key);
      if (flag === undefined || value === undefined) return [];
      try {
        return [[flag.name, flagValue(flag, value)] as const];
      } catch (error) {
        if (!(error instanceof ConfigValueError)) throw error;
        throw fault(raw, [...keys, key], `"${[...keys, key].join('.')}": ${error.message}`);
      }
    }),
  );
}

function readGc(raw: RawConfig, value: unknown): GcLimits | false {
  if (value === false) return false;
  const given = recordAt(raw, ['gc'], value);
  checkKeys(raw, ['gc'], { given, known: [...SIZE_KEYS, ...Object.keys(TIME_KEYS)] });
  const wrong = (key: string, expected: string): OcibuildError =>
    fault(raw, ['gc', key], `"gc.${key}": expected ${expected}, not ${JSON.stringify(given[key])}`);
  const sizes = SIZE_KEYS.filter((key) => given[key] !== undefined).map((key) => {
    const bytes = parseByteSize(String(given[key]));
    if (bytes === undefined) throw wrong(key, 'a size such as "20gb"');
    return [key, bytes] as const;
  });
  const times = Object.entries(TIME_KEYS)
    .filter(([key]) => given[key] !== undefined)
    .map(([key, name]) => {
      const text = given[key];
      const ms = typeof text === 'string' ? parseTimeSpan(text) : undefined;
      if (ms === undefined) throw wrong(key, 'a time such as "60d" or "12h"');
      return [name, ms] as const;
    });
  return Object.fromEntries([...sizes, ...times]);
}

function checkKeys(
  raw: RawConfig,
  keys: readonly string[],
  { given, known }: { readonly given: Readonly<Record<string, unknown>>; readonly known: readonly string[] },
): void {
  const strange = Object.keys(given).find((key) => !known.includes(key));
  if (strange === undefined) return;
  const where = keys.length === 0 ? '' : ` in "${keys.join('.')}"`;
  const hint = nearKey(strange, known) ?? `known are ${known.filter((key) => key !== '$schema').join(', ')}`;
  throw fault(raw, [...keys, strange], `there is no key "${strange}"${where}`, hint);
}

function recordAt(
  raw: RawConfig,
  keys: readonly string[],
  value: unknown,
): Readonly<Record<string, unknown>> {
  if (isRecord(value)) return value;
  throw fault(raw, keys, `${keys.length === 0 ? 'it' : `"${keys.join('.')}"`} is no object`);
}

function textAt(raw: RawConfig, keys: readonly string[], value: unknown): string {
  if (typeof value === 'string' && value !== '') return value;
  throw fault(raw, keys, `"${keys.join('.')}": expected a text`);
}

function fault(raw: RawConfig, keys: readonly string[], what: string, hint?: string): OcibuildError {
  const at = keys.length === 0 ? undefined : placeOfKey(raw.text, keys);
  return configError(
    what,
    { path: raw.path, text: raw.text, ...(at === undefined ? {} : { at }) },
    hint === undefined ? {} : { hint },
  );
}
