import { COMMANDS, type Command, type CommandName, findCommand } from '../commands.ts';
import { GLOBAL_FLAGS } from '../flags/global-flags.ts';
import { splitAt } from '../flags/parse-args.ts';
import type { Flag } from '../flags/types.ts';

/** What may stand at one place of a command line. */
export interface Completion {
  readonly candidates: readonly Candidate[];
  /** What the shell itself offers beside them. */
  readonly paths: 'files' | 'dirs' | 'none';
}

export interface Candidate {
  readonly value: string;
  readonly help?: string;
}

/** Names that only the store knows; asked for where one may stand. */
export interface CompletionSources {
  images(): Promise<readonly string[]>;
  containers(): Promise<readonly string[]>;
  /** Stages of the Dockerfile of a build. */
  stages(): Promise<readonly string[]>;
  /** Builds of the config file, each as `@NAME`. */
  named(): Promise<readonly string[]>;
  /** Builds that the store remembers. */
  builds(): Promise<readonly string[]>;
  cacheMounts(): Promise<readonly string[]>;
}

const PLATFORMS = ['amd64', 'arm64', 'arm/v7', 'riscv64', 'ppc64le', 's390x', '386'].map(
  (arch) => `linux/${arch}`,
);

const NOTHING: Completion = { candidates: [], paths: 'none' };

/**
 * What fits at the end of a command line.
 * @param words those after the program's name; the last one, perhaps empty, is being written
 */
export async function complete(words: readonly string[], sources: CompletionSources): Promise<Completion> {
  const done = words.slice(0, -1);
  const word = words.at(-1) ?? '';
  const { name, named, args } = findCommand(done);
  const command = commandOf(name);
  if (command === undefined) return NOTHING;
  const flags = [...command.flags, ...GLOBAL_FLAGS].filter(isOffered);
  if (!done.includes('--')) {
    const open = openFlag(args, flags);
    if (open !== undefined) return starting(word, await valuesOf(open, word, sources));
    if (word.startsWith('--') && word.includes('=')) {
      const [flagName, value = ''] = splitAt(word.slice(2), '=');
      const flag = flags.find((candidate) => candidate.name === flagName);
      if (flag === undefined) return NOTHING;
      const { candidates, paths } = starting(value, await valuesOf(flag, value, sources));
      return { candidates: candidates.map((c) => ({ ...c, value: `--${flagName}=${c.value}` })), paths };
    }
    if (word.startsWith('-')) return starting(word, { candidates: flagNames(flags, args), paths: 'none' });
  }
  const ordinary = positionals(args, flags);
  if (word.startsWith('@') && command.usage.includes('CONTEXT')) {
    return starting(word, listed(await sources.named()));
  }
  const here = await placeOf(name as CommandName, ordinary, sources);
  if (named || ordinary.length > 0) return starting(word, here);
  const commands = Object.entries(COMMANDS).map(([value, { summary }]) => ({ value, help: summary }));
  return starting(word, { candidates: [...commands, ...here.candidates], paths: here.paths });
}

/** The form that the scripts of the shells read: `value TAB help` lines, then what paths to offer. */
export function completionText({ candidates, paths }: Completion): string {
  const lines = candidates.map(({ value, help }) => (help === undefined ? value : `${value}\t${help}`));
  return [...lines, `:${paths}`, ''].join('\n');
}

function commandOf(name: string): Command | undefined {
  return Object.hasOwn(COMMANDS, name) ? COMMANDS[name as CommandName] : undefined;
}

function isOffered({ help, refused }: Flag): boolean {
  return help !== undefined && refused === undefined;
}

function takesNext({ kind }: Flag): boolean {
  return kind === 'string' || kind === 'list';
}

/** The flag at the end whose value comes next. */
function openFlag(args: readonly string[], flags: readonly Flag[]): Flag | undefined {
  const last = args.at(-1);
  const flag = flags.find(
    ({ name, short }) => last === `--${name}` || (short !== undefined && last === `-${short}`),
  );
  return flag !== undefined && takesNext(flag) ? flag : undefined;
}

function positionals(args: readonly string[], flags: readonly Flag[]): readonly string[] {
  const end = args.indexOf('--');
  const before = end < 0 ? args : args.slice(0, end);
  const own = before.filter(
    (arg, i) => (arg === '-' || !arg.startsWith('-')) && openFlag(before.slice(0, i), flags) === undefined,
  );
  return end < 0 ? own : [...own, ...args.slice(end + 1)];
}

function flagNames(flags: readonly Flag[], args: readonly string[]): readonly Candidate[] {
  return flags
    .filter(({ name, kind }) => kind === 'list' || !args.some((arg) => splitAt(arg, '=')[0] === `--${name}`))
    .map(({ name, help }) => ({ value: `--${name}`, ...(help === undefined ? {} : { help }) }));
}

async function valuesOf(flag: Flag, word: string, sources: CompletionSources): Promise<Completion> {
  if (flag.choices !== undefined) {
    return { candidates: flag.choices.map((value) => ({ value })), paths: 'none' };
  }
  if (flag.value === 'STAGE' || flag.value === 'STAGES') return listed(await sources.stages());
  if (flag.value === 'OS/ARCH') {
    const others = word.slice(0, word.lastIndexOf(',') + 1);
    return listed(PLATFORMS.map((platform) => `${others}${platform}`));
  }
  if (flag.value === 'ID') return listed(['latest', ...(await sources.builds())]);
  if (flag.value === 'DIR') return { candidates: [], paths: 'dirs' };
  if (/FILE|PATH|SRC/.test(flag.value ?? '')) return { candidates: [], paths: 'files' };
  return NOTHING;
}

/** What the usage line says of the next ordinary argument; the last place may be filled many times. */
async function placeOf(
  command: CommandName,
  { length }: readonly string[],
  sources: CompletionSources,
): Promise<Completion> {
  const places = COMMANDS[command].usage
    .replace(/^ocibuild \S+ /, '')
    .replace(/\[(?:flags|--[^\]]*)\]/g, '')
    .trim()
    .split(/\s+/);
  const place = places[length] ?? places.findLast((name) => name.includes('…')) ?? '';
  // Words that stand for themselves.
  if (/^\[?[a-z]+(?:\|[a-z]+)*$/.test(place)) return listed(place.replace('[', '').split('|'));
  if (/^\[?ID/.test(place))
    return listed(await (command === 'cache' ? sources.cacheMounts() : sources.builds()));
  if (/^\[?BUILD/.test(place)) return listed(['latest', ...(await sources.builds())]);
  if (place.includes('CONTAINER')) return listed(await sources.containers());
  if (place.includes('COMMAND')) return listed(Object.keys(COMMANDS));
  if (place.includes('SHELL')) return listed(['bash', 'zsh', 'fish']);
  if (place.includes('CONTEXT')) {
    return place.includes('REF')
      ? { ...listed(await sources.images()), paths: 'dirs' }
      : { candidates: [], paths: 'dirs' };
  }
  if (/^(?:REF|A|B)\b/.test(place)) return listed(await sources.images());
  if (/^(?:SRC|DST|BUNDLE|CMD)/.test(place)) return { candidates: [], paths: 'files' };
  return NOTHING;
}

function listed(names: readonly string[]): Completion {
  return { candidates: names.map((value) => ({ value })), paths: 'none' };
}

function starting(word: string, { candidates, paths }: Completion): Completion {
  return { candidates: candidates.filter(({ value }) => value.startsWith(word)), paths };
}
