import { type FlagKind, instructionError, readFlags } from './flags.ts';
import { parseHealthcheck } from './healthcheck.ts';
import type { CopyInstruction, FromInstruction, Instruction, Pair } from './instructions.ts';
import { parseHeredocWord } from './lines.ts';
import type { RawInstruction } from './parser.ts';
import { parseReset } from './reset.ts';
import { parseRunFlags } from './run-flags.ts';
import { hintOfUnknown } from './unknown-word.ts';
import { readJsonForm, splitBlanks, splitQuoted } from './words.ts';

const KEYWORDS = [
  'ADD',
  'ARG',
  'CMD',
  'COPY',
  'ENTRYPOINT',
  'ENV',
  'EXPOSE',
  'FROM',
  'HEALTHCHECK',
  'LABEL',
  'MAINTAINER',
  'ONBUILD',
  'RUN',
  'SHELL',
  'STOPSIGNAL',
  'USER',
  'VOLUME',
  'WORKDIR',
] as const;

type Keyword = (typeof KEYWORDS)[number];

const FLAGS: Readonly<Partial<Record<Keyword, Readonly<Record<string, FlagKind>>>>> = {
  FROM: { platform: 'text', reset: 'optional' },
  RUN: { mount: 'list', network: 'text', security: 'text', device: 'list' },
  COPY: {
    from: 'text',
    chown: 'text',
    chmod: 'text',
    link: 'switch',
    parents: 'switch',
    exclude: 'list',
    'if-exists': 'switch',
  },
  ADD: {
    chown: 'text',
    chmod: 'text',
    link: 'switch',
    checksum: 'text',
    exclude: 'list',
    'keep-git-dir': 'switch',
    unpack: 'switch',
  },
  HEALTHCHECK: {
    interval: 'text',
    timeout: 'text',
    'start-period': 'text',
    'start-interval': 'text',
    retries: 'text',
  },
};

/** Instructions that may be written as a JSON array. */
const JSON_KEYWORDS: readonly string[] = [
  'ADD',
  'CMD',
  'COPY',
  'ENTRYPOINT',
  'RUN',
  'SHELL',
  'VOLUME',
] satisfies Keyword[];

/** Instructions that a trigger cannot be. */
const NO_TRIGGERS: readonly string[] = ['ONBUILD', 'FROM', 'MAINTAINER'];

/**
 * Reads one instruction; variables stay unexpanded.
 * @throws DOCKERFILE_INSTRUCTION_UNKNOWN, DOCKERFILE_INSTRUCTION_INVALID, DOCKERFILE_FLAG_INVALID
 */
export function parseInstruction(raw: RawInstruction, escapeChar: string): Instruction {
  const keyword = knownKeyword(raw, escapeChar);
  const flags = readFlags(raw, FLAGS[keyword] ?? {});
  switch (keyword) {
    case 'FROM':
      return parseFrom(raw, {
        ...optional('platform', flags.text('platform')),
        ...(flags.switch('reset') ? { reset: parseReset(raw, flags.text('reset')) } : {}),
      });
    case 'ARG':
      return { kind: keyword, raw, args: parseArgs(raw, escapeChar) };
    case 'ENV':
    case 'LABEL':
      return { kind: keyword, raw, pairs: parsePairs(raw, escapeChar) };
    case 'WORKDIR':
    case 'USER':
    case 'STOPSIGNAL':
    case 'MAINTAINER':
      return { kind: keyword, raw, text: needText(raw, 'exactly one argument') };
    case 'EXPOSE':
      return { kind: keyword, raw, items: splitBlanks(needText(raw, 'at least one port')) };
    case 'VOLUME':
      return { kind: keyword, raw, items: parseList(raw, 'at least one path') };
    case 'SHELL':
      return { kind: keyword, raw, items: parseShell(raw) };
    case 'CMD':
    case 'ENTRYPOINT':
      return { kind: keyword, raw, ...parseCommand(raw) };
    case 'RUN':
      return { kind: keyword, raw, ...parseCommand(raw), ...parseRunFlags(raw, flags) };
    case 'HEALTHCHECK':
      return { kind: keyword, raw, check: parseHealthcheck(raw, flags) };
    case 'ONBUILD':
      return { kind: keyword, raw, text: parseOnbuild(raw, escapeChar) };
    case 'COPY':
    case 'ADD':
      return parseCopy(raw, keyword, {
        ...optional('from', flags.text('from')),
        ...optional('chown', flags.text('chown')),
        ...optional('chmod', flags.text('chmod')),
        ...optional('checksum', flags.text('checksum')),
        exclude: flags.list('exclude'),
        link: flags.switch('link'),
        parents: flags.switch('parents'),
        ifExists: flags.switch('if-exists'),
        ...(flags.has('unpack') ? { unpack: flags.switch('unpack') } : {}),
        ...(flags.has('keep-git-dir') ? { keepGitDir: flags.switch('keep-git-dir') } : {}),
      });
  }
}

function optional<K extends string>(key: K, value: string | undefined): { [P in K]?: string } {
  return value === undefined ? {} : ({ [key]: value } as { [P in K]?: string });
}

function knownKeyword(raw: RawInstruction, escapeChar: string): Keyword {
  const known = KEYWORDS.find((candidate) => candidate === raw.keyword);
  if (known !== undefined) return known;
  throw instructionError(raw, 'DOCKERFILE_INSTRUCTION_UNKNOWN', {
    message: `Cannot understand instruction "${raw.word}"`,
    hint: hintOfUnknown(raw, KEYWORDS, escapeChar),
    range: raw.keywordRange,
  });
}

function invalid(raw: RawInstruction, message: string, hint?: string) {
  return instructionError(raw, 'DOCKERFILE_INSTRUCTION_INVALID', { message, hint });
}

function needText(raw: RawInstruction, wanted: string): string {
  if (raw.rest === '') throw invalid(raw, `Cannot use ${raw.keyword} without arguments: it needs ${wanted}`);
  return raw.rest;
}

function parseFrom(raw: RawInstruction, flags: Pick<FromInstruction, 'platform' | 'reset'>): FromInstruction {
  const [base, as, written, ...more] = splitBlanks(raw.rest);
  const form = '"FROM image" or "FROM image AS name"';
  if (base === undefined || more.length > 0 || (as !== undefined && written === undefined)) {
    throw invalid(raw, `Cannot read "${raw.text}": expected ${form}`, hintOfFrom(base, as, written));
  }
  if (as !== undefined && as.toUpperCase() !== 'AS') {
    throw invalid(
      raw,
      `Cannot read "${raw.text}": got "${as}" in place of "AS", expected ${form}`,
      hintOfFrom(base, as, written),
    );
  }
  const name = written?.toLowerCase();
  if (name !== undefined && !/^[a-z][a-z0-9-_.]*$/.test(name)) {
    throw instructionError(raw, 'DOCKERFILE_STAGE_INVALID', {
      message: `Cannot name a stage "${written}"`,
      hint: 'a name starts with a letter and has only letters, digits, "-", "_" and "."',
    });
  }
  return {
    kind: 'FROM',
    raw,
    base,
    ...flags,
    ...optional('name', name),
    ...(as === undefined || written === undefined ? {} : { written: { as, name: written } }),
  };
}

function hintOfFrom(base = 'image', as?: string, name?: string): string | undefined {
  if (as === undefined) return undefined;
  if (base.endsWith(':') || /^[:@]/.test(as)) return `write the image without a blank in it: "${base}${as}"`;
  return `write "FROM ${base} AS ${name ?? (as.toUpperCase() === 'AS' ? 'NAME' : as)}"`;
}

function parseArgs(raw: RawInstruction, escapeChar: string): { key: string; value?: string }[] {
  const words = splitQuoted(needText(raw, 'at least one name'), escapeChar);
  return words.map((word) => {
    const equals = word.indexOf('=');
    if (equals === 0) throw invalid(raw, `Cannot read "${word}" in ARG: the name is empty`);
    return equals < 0 ? { key: word } : { key: word.slice(0, equals), value: word.slice(equals + 1) };
  });
}

/** The first word decides between `k=v …` and the old `k rest of the line`. */
function parsePairs(raw: RawInstruction, escapeChar: string): Pair[] {
  const words = splitQuoted(needText(raw, 'a name and a value'), escapeChar);
  if (words[0]?.includes('=') !== true) {
    const [, key = '', value] = /^([^\t\v\f\r ]+)(?:[\t\v\f\r ]+([\s\S]*))?$/.exec(raw.rest) ?? [];
    if (value === undefined) {
      throw invalid(
        raw,
        `Cannot set "${key}" in ${raw.keyword}: the value is missing`,
        `write "${raw.keyword} ${key}=VALUE"`,
      );
    }
    return [{ key, value }];
  }
  return words.map((word) => {
    const equals = word.indexOf('=');
    if (equals < 0) {
      const hint = 'put a value with blanks in it in double quotes';
      throw invalid(raw, `Cannot read "${word}" in ${raw.keyword}: expected "name=value"`, hint);
    }
    if (equals === 0) throw invalid(raw, `Cannot read "${word}" in ${raw.keyword}: the name is empty`);
    return { key: word.slice(0, equals), value: word.slice(equals + 1) };
  });
}

function jsonItems(raw: RawInstruction, text: string): readonly string[] | undefined {
  const form = readJsonForm(text);
  if (form !== 'not strings') return form?.items;
  throw invalid(raw, `Cannot use the JSON array of ${raw.keyword}: its members must be strings`);
}

function parseList(raw: RawInstruction, wanted: string): readonly string[] {
  const items = jsonItems(raw, needText(raw, wanted)) ?? splitBlanks(raw.rest);
  if (items.length === 0)
    throw invalid(raw, `Cannot use ${raw.keyword} with an empty array: it needs ${wanted}`);
  return items;
}

function parseShell(raw: RawInstruction): readonly string[] {
  const items = jsonItems(raw, needText(raw, 'a command in JSON form'));
  const hint = 'write it as SHELL ["/bin/bash", "-c"]';
  if (items === undefined)
    throw invalid(raw, 'Cannot use SHELL with a text: it takes the JSON form only', hint);
  if (items.length === 0) throw invalid(raw, 'Cannot use SHELL with an empty array', hint);
  return items;
}

function parseCommand(raw: RawInstruction): { args: readonly string[]; shell: boolean } {
  const items = jsonItems(raw, raw.rest);
  return items === undefined ? { args: [raw.rest], shell: true } : { args: items, shell: false };
}

function parseOnbuild(raw: RawInstruction, escapeChar: string): string {
  const trigger = needText(raw, 'an instruction');
  const [word = ''] = splitBlanks(trigger);
  const keyword = word.toUpperCase();
  if (NO_TRIGGERS.includes(keyword)) throw invalid(raw, `Cannot use ${keyword} in ONBUILD`);
  checkTrigger({ ...raw, keyword, rest: trigger.slice(word.length).trim() }, escapeChar);
  return trigger + raw.heredocs.map(({ content, name }) => `\n${content}${name}`).join('');
}

/** Pairs and arrays that nobody can read. Everything else about a trigger is looked at when it fires: the child may be
 * built by another version. */
function checkTrigger(trigger: RawInstruction, escapeChar: string): void {
  const { keyword, rest } = trigger;
  if (rest === '') return;
  if (keyword === 'ENV' || keyword === 'LABEL') parsePairs(trigger, escapeChar);
  else if (JSON_KEYWORDS.includes(keyword)) jsonItems(trigger, rest);
}

function parseCopy(
  raw: RawInstruction,
  kind: CopyInstruction['kind'],
  flags: Omit<CopyInstruction, 'kind' | 'raw' | 'sources' | 'dest' | 'trigger'>,
): CopyInstruction {
  const words = jsonItems(raw, needText(raw, 'sources and a destination')) ?? splitBlanks(raw.rest);
  const dest = words.at(-1);
  if (words.length < 2 || dest === undefined) {
    const shown = words.length === 0 ? 'without arguments' : `with "${dest}" alone`;
    throw invalid(raw, `Cannot use ${kind} ${shown}: it needs at least a source and a destination`);
  }
  if (raw.heredocs.length > 0 && parseHeredocWord(dest) !== undefined) {
    throw invalid(raw, `Cannot ${kind} to the here-document "${dest}": it can only be a source`);
  }
  const path = raw.heredocs.find(({ name }) => name.includes('/'))?.name;
  if (path !== undefined) {
    throw invalid(
      raw,
      `Cannot ${kind} the here-document "${path}": its name is that of the file, and holds a "/"`,
    );
  }
  const isInline = (word: string) => raw.heredocs.length > 0 && parseHeredocWord(word) !== undefined;
  return { kind, raw, ...flags, sources: words.slice(0, -1).filter((word) => !isInline(word)), dest };
}
