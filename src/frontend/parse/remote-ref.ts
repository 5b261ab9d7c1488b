import { posix } from 'node:path';
import { OcibuildError } from '../../errors/error.ts';
import { didYouMean } from '../../errors/suggest.ts';
import type { GitSource } from '../../llb/ops.ts';
import { decodePercent } from '../../util/decode-percent.ts';
import { instructionError } from './flags.ts';
import type { RawInstruction } from './parser.ts';

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

const HTTP = /^https?:\/\//i;
/** `user@host:path`, as ssh and scp take it. */
const SCP = /^[A-Za-z0-9_-]+@[A-Za-z0-9.-]+:(?!\/\/)/;

/**
 * Reads a git address with its fragment (`#ref:dir`) and query (`?ref=…&subdir=…`).
 * @param at the instruction that holds it; undefined: it is a context, and `github.com/x/y` counts as well
 * @returns undefined where the text is no git address
 * @throws DOCKERFILE_INSTRUCTION_INVALID or, for contexts, USAGE_INVALID
 */
export function parseGitRef(text: string, at: RawInstruction | undefined): GitSource | undefined {
  const [beforeFragment = '', fragment = ''] = cut(text, '#');
  const [remote = '', query = ''] = cut(beforeFragment, '?');
  const full = at === undefined && remote.startsWith('github.com/') ? `https://${remote}` : remote;
  if (!isGitRemote(full, remote !== full)) return undefined;
  const fail = failure(text, at);
  const source: Mutable<GitSource> = { type: 'git', remote: full };
  const [ref = '', subdir = ''] = cut(fragment, ':');
  if (ref !== '') source.ref = ref;
  setSubdir(source, subdir);
  readQuery(source, query, fail);
  if (SCP.test(full) || /^ssh:/i.test(full)) source.ssh = 'default';
  return source;
}

/** An http(s) address and the name that its file has; undefined where the text is none. */
export function parseHttpRef(text: string): { readonly url: string; readonly filename: string } | undefined {
  if (!HTTP.test(text) || !URL.canParse(text)) return undefined;
  const name = posix.basename(decodePercent(new URL(text).pathname));
  return { url: text, filename: name === '' || name === '.' || name === '..' ? '__unnamed__' : name };
}

function isGitRemote(remote: string, implied: boolean): boolean {
  if (implied || SCP.test(remote)) return true;
  if (!URL.canParse(remote)) return false;
  if (/^(?:git|ssh):\/\//i.test(remote)) return true;
  return HTTP.test(remote) && new URL(remote).pathname.endsWith('.git');
}

type Fail = (message: string, hint?: string) => OcibuildError;

function failure(text: string, at: RawInstruction | undefined): Fail {
  return (reason, hint) => {
    const message = `Cannot read git address "${text}": ${reason}`;
    if (at !== undefined) return instructionError(at, 'DOCKERFILE_INSTRUCTION_INVALID', { message, hint });
    return new OcibuildError('USAGE_INVALID', message, hint === undefined ? {} : { hint });
  };
}

const KEYS = [
  'ref',
  'tag',
  'branch',
  'subdir',
  'checksum',
  'commit',
  'keep-git-dir',
  'submodules',
  'mtime',
  'fetch-by-commit',
];

function readQuery(source: Mutable<GitSource>, query: string, fail: Fail): void {
  const seen = new Set<string>();
  for (const [key, value] of new URLSearchParams(query)) {
    if (!KEYS.includes(key)) {
      const hint = didYouMean(key, KEYS);
      throw fail(`it does not know the key "${key}", only ${KEYS.join(', ')}`, hint);
    }
    if (seen.has(key)) throw fail(`the key "${key}" is there twice`);
    seen.add(key);
    applyKey(source, { key, value, fail });
  }
}

function applyKey(
  source: Mutable<GitSource>,
  { key, value, fail }: { key: string; value: string; fail: Fail },
): void {
  const isSwitch = key === 'keep-git-dir' || key === 'submodules' || key === 'fetch-by-commit';
  if (value === '' && !isSwitch) throw fail(`the key "${key}" has no value`);
  const agree = (name: string, before: string | undefined, now: string) => {
    if (before !== undefined && before !== now) {
      throw fail(`it asks for ${name} "${before}" and for ${name} "${now}"`);
    }
    return now;
  };
  switch (key) {
    case 'ref':
      source.ref = agree('ref', source.ref, value);
      return;
    case 'tag':
      source.ref = agree('ref', source.ref, withPrefix('refs/tags/', value));
      return;
    case 'branch':
      source.ref = agree('ref', source.ref, withPrefix('refs/heads/', value));
      return;
    case 'subdir': {
      const before = source.subdir;
      setSubdir(source, value);
      if (before !== undefined) agree('subdirectory', before, source.subdir ?? '');
      return;
    }
    case 'checksum':
    case 'commit':
      if (!/^[0-9a-f]{7,64}$/.test(value)) throw fail(`"${value}" is no commit, nor the start of one`);
      source.checksum = agree('commit', source.checksum, value);
      return;
    case 'mtime':
      if (value !== 'checkout' && value !== 'commit') {
        throw fail(
          `"mtime" is "${value}", not "checkout" or "commit"`,
          didYouMean(value, ['checkout', 'commit']),
        );
      }
      source.mtime = value;
      return;
    case 'keep-git-dir':
      source.keepGitDir = readSwitch(key, value, fail);
      return;
    case 'submodules':
      source.submodules = readSwitch(key, value, fail);
      return;
    case 'fetch-by-commit':
      source.fetchByCommit = readSwitch(key, value, fail);
  }
}

function readSwitch(key: string, value: string, fail: Fail): boolean {
  if (/^(?:|1|t|true)$/i.test(value)) return true;
  if (/^(?:0|f|false)$/i.test(value)) return false;
  throw fail(`"${key}" is "${value}", not "true" or "false"`);
}

function setSubdir(source: Mutable<GitSource>, text: string): void {
  const path = posix.resolve('/', text).slice(1);
  if (path !== '') source.subdir = path;
}

function withPrefix(prefix: string, name: string): string {
  return name.startsWith(prefix) ? name : prefix + name;
}

function cut(text: string, separator: string): readonly [string, string] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
}
