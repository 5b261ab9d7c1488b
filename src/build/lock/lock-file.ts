import { OcibuildError } from '../../errors/error.ts';
import { redact } from '../../errors/redact.ts';
import { isDigest } from '../../image/digest.ts';
import { normalName, parseReference, withDefaultTag } from '../../image/reference.ts';
import type { Digest } from '../../image/types.ts';
import type { GitSource, HttpSource } from '../../llb/ops.ts';

/** What a Dockerfile takes from elsewhere without saying which content, and the content it is held to. */
export interface Lock {
  /** Full name with a tag → digest of the index, or of the manifest of an image for one platform. */
  readonly images: Readonly<Record<string, Digest>>;
  /** URL → digest of the file. */
  readonly urls: Readonly<Record<string, Digest>>;
  /** `REMOTE#REF`, `REMOTE` for its HEAD → commit. */
  readonly git: Readonly<Record<string, string>>;
}

/** One entry that differs between two lock files. */
export interface LockChange {
  readonly kind: 'image' | 'url' | 'git';
  readonly name: string;
  /** Absent: the entry is new. */
  readonly before?: string;
  /** Absent: the entry is gone. */
  readonly after?: string;
}

export const EMPTY_LOCK: Lock = { images: {}, urls: {}, git: {} };

const VERSION = 1;
const SECTIONS = [
  ['images', 'image'],
  ['urls', 'url'],
  ['git', 'git'],
] as const;

/** The entry of an image; undefined where the reference names its content itself. */
export function imageEntry(name: string): string | undefined {
  const reference = withDefaultTag(parseReference(name));
  return reference.digest === undefined ? normalName(reference) : undefined;
}

/** Credentials of an address are no part of what it names. */
export function urlEntry({ url, checksum }: HttpSource): string | undefined {
  return checksum === undefined ? redact(url) : undefined;
}

export function gitEntry({ remote, ref, checksum }: GitSource): string | undefined {
  if (isCommit(checksum) || isCommit(ref)) return undefined;
  return redact(ref === undefined ? remote : `${remote}#${ref}`);
}

function isCommit(text: string | undefined): boolean {
  return text !== undefined && /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/.test(text);
}

/**
 * Reads a lock file.
 * @throws LOCK_INVALID
 */
export function parseLock(text: string, file: string): Lock {
  const fail = (why: string, cause?: unknown): OcibuildError =>
    new OcibuildError('LOCK_INVALID', `Cannot read the lock file "${file}": ${why}`, {
      hint: 'take it from version control again, or delete it and run `ocibuild lock`',
      cause,
    });
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw fail('it is not JSON', error);
  }
  if (!isRecord(value)) throw fail('it is not an object');
  if (value.version !== VERSION) {
    throw fail(`its version is ${JSON.stringify(value.version)}, this version of ocibuild reads ${VERSION}`);
  }
  const section = (name: 'images' | 'urls' | 'git', isValid: (text: string) => boolean) => {
    const entries = value[name] ?? {};
    if (!isRecord(entries)) throw fail(`"${name}" is not an object`);
    for (const [key, entry] of Object.entries(entries)) {
      if (typeof entry !== 'string' || !isValid(entry))
        throw fail(`"${key}" has the value ${JSON.stringify(entry)}`);
    }
    return { ...entries };
  };
  return {
    images: section('images', isDigest) as Lock['images'],
    urls: section('urls', isDigest) as Lock['urls'],
    git: section('git', isCommit) as Lock['git'],
  };
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** One entry a line, in the order of their names: a change is one line of a diff. */
export function formatLock(lock: Lock): string {
  const sections = SECTIONS.flatMap(([name]) => {
    const entries = Object.entries(lock[name]).sort(byName);
    return entries.length === 0 ? [] : [[name, Object.fromEntries(entries)]];
  });
  return `${JSON.stringify({ version: VERSION, ...Object.fromEntries(sections) }, undefined, 2)}\n`;
}

/** What differs, by kind and name. */
export function diffLocks(before: Lock, after: Lock): LockChange[] {
  return SECTIONS.flatMap(([section, kind]) => {
    const [old, now]: readonly Readonly<Record<string, string>>[] = [before[section], after[section]];
    const names = [...new Set([...Object.keys(old ?? {}), ...Object.keys(now ?? {})])].sort();
    return names.flatMap((name): LockChange[] => {
      const [was, is] = [old?.[name], now?.[name]];
      if (was === is) return [];
      return [
        {
          kind,
          name,
          ...(was === undefined ? {} : { before: was }),
          ...(is === undefined ? {} : { after: is }),
        },
      ];
    });
  });
}

function byName([a]: [string, unknown], [b]: [string, unknown]): number {
  return a < b ? -1 : 1;
}
