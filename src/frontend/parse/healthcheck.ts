import type { Healthcheck } from '../../image/types.ts';
import { formatDuration, parseDuration } from '../../util/go-duration.ts';
import { type Flags, flagError, instructionError } from './flags.ts';
import type { RawInstruction } from './parser.ts';
import { readJsonForm } from './words.ts';

const MILLISECOND = 1_000_000;
const MAX_INT32 = 2 ** 31 - 1;

/** @throws DOCKERFILE_INSTRUCTION_INVALID, DOCKERFILE_FLAG_INVALID */
export function parseHealthcheck(raw: RawInstruction, flags: Flags): Healthcheck {
  const fail = (message: string) => instructionError(raw, 'DOCKERFILE_INSTRUCTION_INVALID', { message });
  const [, word, command = ''] = /^(\S+)\s*([\s\S]*)$/.exec(raw.rest) ?? [];
  if (word === undefined)
    throw fail('Cannot use HEALTHCHECK without arguments: expected "NONE" or "CMD command"');
  const kind = word.toUpperCase();
  if (kind === 'NONE') {
    if (command !== '') throw fail(`Cannot use HEALTHCHECK NONE with "${command}": it takes no arguments`);
    return { Test: ['NONE'] };
  }
  if (kind !== 'CMD') throw fail(`Cannot use HEALTHCHECK "${word}": expected "NONE" or "CMD command"`);
  const form = readJsonForm(command);
  if (form === 'not strings')
    throw fail('Cannot use the JSON array of HEALTHCHECK: its members must be strings');
  if (command === '' || form?.items.length === 0) throw fail('Cannot use HEALTHCHECK CMD without a command');
  const duration = (name: string) => readDuration(raw, name, flags.text(name));
  const numbers = {
    Interval: duration('interval'),
    Timeout: duration('timeout'),
    StartPeriod: duration('start-period'),
    StartInterval: duration('start-interval'),
    Retries: readRetries(raw, flags.text('retries')),
  };
  // Zero stands for the default, so the config leaves it out.
  const given = Object.fromEntries(Object.entries(numbers).filter(([, value]) => value !== 0));
  return { Test: form === undefined ? ['CMD-SHELL', command] : ['CMD', ...form.items], ...given };
}

/** The text that other builders put into the history for a check: `&{["CMD" "x"] "30s" "0s" "0s" "0s" '\x03'}`. */
export function healthcheckText(check: Healthcheck, quote: (text: string) => string): string {
  const durations = [check.Interval, check.Timeout, check.StartPeriod, check.StartInterval];
  const times = durations.map((value) => `"${formatDuration(value ?? 0)}"`);
  const count = check.Retries ?? 0;
  const isRune = count <= 0x10ffff && (count < 0xd800 || count > 0xdfff);
  const retries = String.fromCodePoint(isRune ? count : 0xfffd);
  const rune = retries === "'" ? "'\\''" : retries === '"' ? `'"'` : `'${quote(retries).slice(1, -1)}'`;
  return `&{[${(check.Test ?? []).map(quote).join(' ')}] ${times.join(' ')} ${rune}}`;
}

function readDuration(raw: RawInstruction, name: string, text: string | undefined): number {
  if (text === undefined || text === '') return 0;
  const flag = raw.flags.find((candidate) => candidate.name === name) ?? raw;
  const value = parseDuration(text);
  if (value === undefined) {
    const message = `Cannot read "${text}" as the duration of "--${name}"`;
    throw flagError(raw, flag, message, 'write it as "30s", "1m30s" or "500ms"');
  }
  if (value !== 0 && value < MILLISECOND) {
    throw flagError(raw, flag, `Cannot use "${text}" for "--${name}": expected 0 or at least 1 ms`);
  }
  return value;
}

function readRetries(raw: RawInstruction, text: string | undefined): number {
  if (text === undefined || text === '') return 0;
  const value = /^\+?\d+$/.test(text) ? Number(text) : undefined;
  if (value !== undefined && value <= MAX_INT32) return value;
  const flag = raw.flags.find(({ name }) => name === 'retries') ?? raw;
  throw flagError(raw, flag, `Cannot use "${text}" for "--retries": expected a whole number from 0`);
}
