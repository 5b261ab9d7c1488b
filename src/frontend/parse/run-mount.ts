import { posix } from 'node:path';
import type { OcibuildError } from '../../errors/error.ts';
import { didYouMean } from '../../errors/suggest.ts';
import { parseByteSize } from '../../util/byte-size.ts';
import { splitCsv } from '../../util/csv.ts';
import { flagError } from './flags.ts';
import type { RawFlag, RawInstruction } from './parser.ts';

/** One `--mount` as it is written: nothing is expanded. */
export interface RunMount {
  readonly flag: RawFlag;
  readonly fields: readonly MountField[];
  /** Names a stage, a context or an image; variables are no part of it. */
  readonly from?: string;
}

export interface MountField {
  readonly key: string;
  /** undefined: a bare word. */
  readonly value: string | undefined;
}

/** One `--mount` with its values read; what its type does not take is absent. */
export interface MountOptions {
  readonly type: MountType;
  /** As written; may be relative or empty. */
  readonly target: string;
  /** As written. */
  readonly source: string;
  readonly readonly: boolean;
  readonly required: boolean;
  readonly sharing: Sharing;
  readonly id?: string;
  /** Bytes. */
  readonly size?: number;
  readonly mode?: number;
  readonly uid?: number | string;
  readonly gid?: number | string;
  readonly env?: string;
}

export type MountType = (typeof TYPES)[number];
type Sharing = (typeof SHARING)[number];

const TYPES = ['bind', 'cache', 'tmpfs', 'secret', 'ssh'] as const;
const SHARING = ['shared', 'private', 'locked'] as const;
const BARE = ['ro', 'readonly', 'rw', 'readwrite', 'required'];
const KEYS = [
  ...['type', 'from', 'source', 'src', 'target', 'dst', 'destination'],
  ...['id', 'sharing', 'size', 'mode', 'uid', 'gid', 'env'],
  ...BARE,
];

const ALIASES: Readonly<Record<string, string>> = {
  src: 'source',
  dst: 'target',
  destination: 'target',
  readonly: 'ro',
  readwrite: 'rw',
};

/** Keys that only some types take; the others can stand anywhere, as Docker has it. */
const ONLY_FOR: Readonly<Record<string, readonly MountType[]>> = {
  sharing: ['cache'],
  size: ['tmpfs'],
  required: ['secret', 'ssh'],
  mode: ['cache', 'secret', 'ssh'],
  uid: ['cache', 'secret', 'ssh'],
  gid: ['cache', 'secret', 'ssh'],
  from: ['bind', 'cache', 'tmpfs'],
};

const MAX_ID = 0xffff_fffe;

/**
 * Splits the value of a `--mount` into its fields.
 * @throws DOCKERFILE_FLAG_INVALID
 */
export function splitMount(raw: RawInstruction, flag: RawFlag): RunMount {
  const fields = splitCsv(flag.value ?? '');
  if (fields === undefined) {
    throw flagError(raw, flag, `Cannot read "--mount=${flag.value}": its quotes do not match`);
  }
  const pairs = fields.map((field): MountField => {
    const equals = field.indexOf('=');
    if (equals < 0) return { key: field.toLowerCase(), value: undefined };
    return { key: field.slice(0, equals).toLowerCase(), value: field.slice(equals + 1) };
  });
  const from = pairs.findLast(({ key }) => key === 'from')?.value;
  return { flag, fields: pairs, ...(from === undefined || from === '' ? {} : { from }) };
}

export interface MountReader {
  expand(text: string): string;
  /** Names stand for users and groups of the step's root, and `inherit` for those of the mount point. */
  readonly extended: boolean;
}

/**
 * Expands and checks one `--mount`.
 * @throws DOCKERFILE_FLAG_INVALID, DOCKERFILE_EXPANSION_INVALID, DOCKERFILE_UNSUPPORTED
 */
export function readMount(raw: RawInstruction, mount: RunMount, reader: MountReader): MountOptions {
  const { flag } = mount;
  const fail = (message: string, hint?: string): OcibuildError => flagError(raw, flag, message, hint);
  const values = new Map<string, string>();
  for (const { key, value } of mount.fields) {
    if (key === '' && value === undefined) {
      throw fail(
        'Cannot read --mount: one of its options is empty',
        'join them with commas, without blanks: --mount=type=bind,target=/src',
      );
    }
    if (!KEYS.includes(key)) {
      const what = value === undefined ? `"${key}"` : `"${key}=${value}"`;
      throw fail(`Cannot use ${what} in --mount: there is no such key`, didYouMean(key, KEYS));
    }
    if (value === undefined && !BARE.includes(key)) {
      throw fail(`Cannot use "${key}" in --mount without a value`, `write it as "${key}=VALUE"`);
    }
    values.set(ALIASES[key] ?? key, key === 'from' ? (value ?? '') : reader.expand(value ?? 'true'));
  }
  const oneOf = <T extends string>(key: string, allowed: readonly T[], byDefault: T): T => {
    const value = values.get(key) ?? byDefault;
    const found = allowed.find((each) => each === value);
    if (found !== undefined) return found;
    const wanted = allowed.join(', ');
    throw fail(`Cannot use "${key}=${value}" in --mount: expected ${wanted}`, didYouMean(value, allowed));
  };
  const type = oneOf('type', TYPES, 'bind');
  for (const key of values.keys()) {
    const types = ONLY_FOR[key];
    if (types === undefined || types.includes(type)) continue;
    throw fail(`Cannot use "${key}" in a ${type} mount: it is for ${types.join(' and ')} mounts`);
  }
  const flagOf = (key: string): boolean | undefined => {
    const value = values.get(key)?.toLowerCase();
    if (value === undefined) return undefined;
    if (['true', 't', '1'].includes(value)) return true;
    if (['false', 'f', '0'].includes(value)) return false;
    throw fail(`Cannot use "${key}=${value}" in --mount: expected "true" or "false"`);
  };
  const idOf = (key: 'uid' | 'gid'): number | string | undefined => {
    const value = values.get(key);
    if (value === undefined) return undefined;
    if (/^\d{1,10}$/.test(value) && Number(value) <= MAX_ID) return Number(value);
    const what = `Cannot use "${key}=${value}" in --mount`;
    if (type !== 'cache' || !/^[A-Za-z_][\w.-]*$/.test(value)) throw fail(`${what}: expected a number`);
    if (reader.extended) return value;
    throw fail(`${what}: names are an extension`, 'begin the Dockerfile with "# syntax=ocibuild"');
  };
  const mode = values.get('mode');
  if (mode !== undefined && !/^0*[0-7]{1,4}$/.test(mode)) {
    throw fail(`Cannot use "mode=${mode}" in --mount: expected an octal mode between 0 and 07777`);
  }
  const size = values.get('size');
  const [isReadonly, isWritable] = [flagOf('ro'), flagOf('rw')];
  const options = {
    ...{ type, target: values.get('target') ?? '', source: values.get('source') ?? '' },
    readonly: isReadonly ?? (isWritable === undefined ? type === 'bind' : !isWritable),
    required: flagOf('required') ?? false,
    sharing: oneOf('sharing', SHARING, 'shared'),
    ...given('id', values.get('id') || undefined),
    ...given('size', size === undefined ? undefined : readSize(size)),
    ...given('mode', mode === undefined ? undefined : Number.parseInt(mode, 8)),
    ...given('uid', idOf('uid')),
    ...given('gid', idOf('gid')),
    ...given('env', values.get('env') || undefined),
  };
  if (type === 'secret') checkSecret(options, fail);
  return options;

  function readSize(text: string): number {
    const bytes = parseByteSize(text);
    if (bytes !== undefined) return bytes;
    throw fail(`Cannot use "size=${text}" in --mount: expected bytes, or a number with k, m or g`);
  }
}

/** Path of a mount in the step: absolute and cleaned. @throws DOCKERFILE_FLAG_INVALID for the root itself */
export function mountTarget(
  raw: RawInstruction,
  { flag }: RunMount,
  about: { target: string; workdir: string },
): string {
  const target = posix.resolve('/', about.workdir, about.target);
  if (target !== '/') return target;
  throw flagError(raw, flag, 'Cannot mount on "/": the root of the step stands there');
}

function checkSecret(
  { source, target, id }: MountOptions,
  fail: (message: string, hint?: string) => OcibuildError,
): void {
  if (id !== undefined && source !== '')
    throw fail('Cannot use both "id" and "source" in a secret mount: they mean the same');
  if (id === undefined && source === '' && target === '')
    throw fail('Cannot mount a secret without its id', 'write it as "--mount=type=secret,id=NAME"');
}

function given<K extends string, T>(key: K, value: T | undefined): { [P in K]?: T } {
  return value === undefined ? {} : ({ [key]: value } as { [P in K]: T });
}
