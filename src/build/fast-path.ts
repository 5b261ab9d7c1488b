// Loaded before anything else by every command line: node:fs and node:path only.
import { readFileSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { type LastBuild, readLastBuild, rowsUnchanged } from '../cache/last-build.ts';
import { defaultRoot } from './default-root.ts';
import { VERSION } from './version.ts';

type Env = Readonly<Record<string, string | undefined>>;

/** One command line, at one place, shown in one way. */
export interface Invocation {
  readonly argv: readonly string[];
  readonly env: Env;
  readonly cwd: string;
  /** Columns of the terminal that progress goes to; undefined where it is none. */
  readonly columns: number | undefined;
}

/** What was read beside the build itself: a config file. */
export interface FileTrace {
  /** When the first of it was looked at. */
  readonly readMs: number;
  /** Paths, also those where nothing was found. */
  readonly files: readonly string[];
  readonly env: Readonly<Record<string, string | null>>;
  /** Nothing else can have decided what it says. */
  readonly isWhole: boolean;
}

/** Variables that change what a build does or prints, beside those named on the command line. */
const VARIABLES = [
  'BUILDKIT_COLORS',
  'BUILDKIT_PROGRESS',
  'BUILDKIT_TTY_LOG_LINES',
  'CI',
  'CLICOLOR',
  'CLICOLOR_FORCE',
  'DOCKER_CONFIG',
  'DOCKER_DEFAULT_PLATFORM',
  'EXPERIMENTAL_BUILDKIT_SOURCE_POLICY',
  'BUILDX_GIT_LABELS',
  'FORCE_COLOR',
  'HOME',
  'INK_SCREEN_READER',
  'LANG',
  'LC_ALL',
  'LC_CTYPE',
  'NO_COLOR',
  'OCIBUILD_CONFIG',
  'OCIBUILD_DEBUG',
  'OCIBUILD_ROOT',
  'OCIBUILD_RUNTIME',
  'PROGRESS_NO_TRUNC',
  'SOURCE_DATE_EPOCH',
  'TERM',
  'XDG_DATA_HOME',
] as const;

/**
 * What the last build of this command line printed, when everything it read and made is still as it was. Knows
 * nothing of Dockerfiles: it compares lstat rows, tags and the presence of blobs.
 */
export function answerFromLastBuild(invocation: Invocation): LastBuild['lines'] | undefined {
  const { cwd } = invocation;
  const root = rootOf(invocation);
  const record = readLastBuild(lastBuildFile(root, invocation), VERSION);
  if (record === undefined || record.cwd !== cwd || !equal(record.argv, keyOf(invocation))) return undefined;
  // Of an equal command line: the record names all that count, with those that a config file has read.
  const isOther = ([name, value]: [string, string | null]): boolean =>
    (invocation.env[name] ?? null) !== value;
  if (Object.entries(record.env).some(isOther)) return undefined;
  const same =
    tagsPoint(root, record.tags) &&
    record.blobs.every((path) => statSync(path, { throwIfNoEntry: false }) !== undefined) &&
    rowsUnchanged(record.files);
  return same ? record.lines : undefined;
}

/** Where the record of a command line lies. */
export function lastBuildFile(root: string, invocation: Invocation): string {
  return join(root, 'last-builds', `${hashName(JSON.stringify([keyOf(invocation), invocation.cwd]))}.json`);
}

/** The command line with how it is shown: a record is for both. */
export function keyOf({ argv, columns }: Invocation): readonly string[] {
  return [...argv, columns === undefined ? 'plain' : `tty ${columns}`];
}

/** Values of all variables that count; words of the command line may name more (`--build-arg NAME`). */
export function variablesOf(argv: readonly string[], env: Env): Readonly<Record<string, string | null>> {
  const named = argv.map((word) => /^(?:--build-arg=)?([A-Za-z_][A-Za-z0-9_]*)$/.exec(word)?.[1] ?? '');
  const names = new Set([...VARIABLES, ...named.filter((name) => name !== '')]);
  return Object.fromEntries([...names].map((name) => [name, env[name] ?? null]));
}

function rootOf({ argv, env, cwd }: Invocation): string {
  const at = argv.findIndex((word) => word === '--root' || word.startsWith('--root='));
  const word = argv[at];
  const given =
    word === undefined ? undefined : word === '--root' ? argv[at + 1] : word.slice('--root='.length);
  return resolve(cwd, given ?? defaultRoot(env));
}

/** True when every name in the store's index still stands for the same manifest. */
function tagsPoint(root: string, tags: LastBuild['tags']): boolean {
  const names = Object.entries(tags);
  if (names.length === 0) return true;
  try {
    const { manifests } = JSON.parse(readFileSync(join(root, 'index.json'), 'utf8')) as {
      manifests: { digest: string; annotations?: Record<string, string> }[];
    };
    const now = new Map(
      manifests.map(({ digest, annotations }) => [
        annotations?.['org.opencontainers.image.ref.name'],
        digest,
      ]),
    );
    return names.every(([name, digest]) => now.get(name) === digest);
  } catch {
    return false;
  }
}

function equal(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((word, i) => word === b[i]);
}

/** FNV-1a, twice with different starts: names files only, the record itself is compared. */
function hashName(text: string): string {
  const half = (start: number): string => {
    let hash = start;
    for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
    return (hash >>> 0).toString(16).padStart(8, '0');
  };
  return half(0x811c9dc5) + half(0x9dc5811c);
}
