import { escapeRegExp } from '../../util/go-match.ts';
import { quoteGo } from '../convert/quote-go.ts';
import type { CopyInstruction, ListInstruction, PairsInstruction } from '../parse/instructions.ts';
import { expandText, LexError } from '../parse/shell-lex.ts';
import { splitBlanks, splitQuoted } from '../parse/words.ts';
import { jsonArgsFix } from './json-args-fix.ts';
import { findIn, findVariable, onOneLine, rangeOf, restOffset, type Word, wordsOf } from './places.ts';
import { suggestVariable } from './suggest-variable.ts';
import type { Found, Rule, StepView } from './types.ts';
import { unsetVariables } from './unset-variables.ts';

const UNDEFINED_VAR: Rule = {
  name: 'UndefinedVar',
  description: 'Variables should be set before they are used',
  *step(view) {
    const { state, instruction, unknownBase } = view;
    if (unknownBase) return;
    const { raw } = instruction;
    for (const name of unsetVariables(view)) {
      const near = suggestVariable(name, state.env.keys());
      const hint = near === undefined ? '' : ` (did you mean $${near}?)`;
      yield {
        raw,
        detail: `Usage of undefined variable '$${name}'${hint}`,
        range: findVariable(raw, name),
      };
    }
  },
};

const JSON_ARGS_RECOMMENDED: Rule = {
  name: 'JSONArgsRecommended',
  description: 'CMD and ENTRYPOINT should be JSON arrays: a shell in between keeps signals from the process',
  *step(view) {
    const { state, instruction } = view;
    if (instruction.kind !== 'CMD' && instruction.kind !== 'ENTRYPOINT') return;
    // Who sets a shell wants it.
    if (!instruction.shell || (state.config.Shell ?? []).length > 0) return;
    const { kind, raw } = instruction;
    const detail = `JSON arguments recommended for ${kind} to prevent unintended behavior related to OS signals`;
    // What the base sets decides how the two forms go together with it.
    yield { raw, detail, fix: view.unknownBase ? undefined : jsonArgsFix(state, instruction) };
  },
};

const WORKDIR_RELATIVE_PATH: Rule = {
  name: 'WorkdirRelativePath',
  description: 'The first WORKDIR should be absolute: where a relative one leads is up to the base image',
  *step({ state, instruction, workdirSet, escapeChar }) {
    if (instruction.kind !== 'WORKDIR' || workdirSet) return;
    const { raw, text } = instruction;
    const path = expanded(text, state.env, escapeChar);
    if (path === undefined || path.startsWith('/')) return;
    const detail = `Relative workdir ${quoteGo(path)} can have unexpected results if the base image changes`;
    yield { raw, detail, range: rangeOf(raw, { start: restOffset(raw), end: raw.text.length }) };
  },
};

const MULTIPLE_INSTRUCTIONS: Rule = {
  name: 'MultipleInstructionsDisallowed',
  description: 'Of several CMD, ENTRYPOINT or HEALTHCHECK in a stage only the last one counts',
  *step({ instruction, earlier }) {
    const { kind, raw } = instruction;
    if (kind !== 'CMD' && kind !== 'ENTRYPOINT' && kind !== 'HEALTHCHECK') return;
    const before = earlier.findLast((each) => each.kind === kind);
    if (before === undefined) return;
    const detail = `Multiple ${raw.word} instructions should not be used in the same stage because only the last one will be used`;
    yield { raw: before.raw, detail };
  },
};

/** Words that say that a value is confidential, and words that say that it is none after all. */
const SECRET = /(?:^|_)(?:apikey|auth|credentials?|key|password|pword|passwd|secret|token)(?:_|$)/i;
const HARMLESS = /(?:^|_)(?:public|file|version)(?:_|$)/i;

const SECRETS_USED: Rule = {
  name: 'SecretsUsedInArgOrEnv',
  description: 'ARG and ENV leave their values in the image: use secret mounts for confidential ones',
  *step({ instruction }) {
    const { kind, raw } = instruction;
    if (kind !== 'ARG' && kind !== 'ENV') return;
    const keys = (kind === 'ARG' ? instruction.args : instruction.pairs).map(({ key }) => key);
    for (const key of keys) {
      if (!SECRET.test(key) || HARMLESS.test(key)) continue;
      const detail = `Do not use ARG or ENV instructions for sensitive data (${kind} ${quoteGo(key)})`;
      const expression = new RegExp(`(?<=\\s)${escapeRegExp(key)}(?=[=\\s]|$)`, 'v');
      yield { raw, detail, range: findIn(raw, expression, raw.word.length) };
    }
  },
};

const COPY_IGNORED_FILE: Rule = {
  name: 'CopyIgnoredFile',
  description: 'The ignore file hides a source of COPY or ADD',
  *step({ state, instruction, escapeChar, ignores }) {
    if ((instruction.kind !== 'COPY' && instruction.kind !== 'ADD') || instruction.from !== undefined) return;
    const { kind, raw, sources } = instruction as CopyInstruction;
    for (const source of sources) {
      const path = expanded(source, state.env, escapeChar);
      if (path === undefined || isRemote(path) || !ignores(path.replace(/\/+$/, ''))) continue;
      const verb = kind === 'ADD' ? 'Add' : 'Copy';
      const word = wordsOf(raw, restOffset(raw)).find(({ text }) => text === source);
      const detail = `Attempting to ${verb} file ${quoteGo(path)} that is excluded by .dockerignore`;
      yield { raw, detail, range: word && rangeOf(raw, word) };
    }
  },
};

const LEGACY_KEY_VALUE: Rule = {
  name: 'LegacyKeyValueFormat',
  description: 'ENV and LABEL should be written with "=" between name and value',
  *step({ instruction, escapeChar }) {
    if (instruction.kind !== 'ENV' && instruction.kind !== 'LABEL') return;
    const { raw } = instruction as PairsInstruction;
    if (splitQuoted(raw.rest, escapeChar)[0]?.includes('=') !== false) return;
    const range = rangeOf(raw, { start: restOffset(raw), end: raw.text.length });
    const text = modernPair(instruction as PairsInstruction, escapeChar);
    yield {
      raw,
      detail: `"${raw.word} key=value" should be used instead of legacy "${raw.word} key value" format`,
      range,
      fix: range && text !== undefined && onOneLine(raw) ? [{ range, text }] : undefined,
    };
  },
};

const EXPOSE_PROTO_CASING: Rule = {
  name: 'ExposeProtoCasing',
  description: 'Protocols in EXPOSE should be lower case',
  *step(view) {
    for (const { raw, port, word } of exposed(view)) {
      const [, protocol] = port.split('/', 2);
      if (protocol === undefined || protocol === protocol.toLowerCase()) continue;
      const detail = `Defined protocol '${port}' in EXPOSE instruction should be lowercase`;
      yield {
        raw,
        detail,
        ...replaceWord(raw, word, port, port.slice(0, -protocol.length) + protocol.toLowerCase()),
      };
    }
  },
};

const EXPOSE_INVALID_FORMAT: Rule = {
  name: 'ExposeInvalidFormat',
  description: 'EXPOSE takes ports of the container only, without addresses and ports of a host',
  *step(view) {
    for (const { raw, port, word } of exposed(view)) {
      const [spec = '', ...protocol] = port.split('/');
      const own = spec.slice(spec.lastIndexOf(':') + 1);
      if (own === spec) continue;
      const detail = `EXPOSE instruction should not define an IP address or host-port mapping, found '${port}'`;
      yield { raw, detail, ...replaceWord(raw, word, port, [own, ...protocol].join('/')) };
    }
  },
};

/** Rules about the instructions of stages that are built. */
export const STEP_RULES: readonly Rule[] = [
  UNDEFINED_VAR,
  JSON_ARGS_RECOMMENDED,
  WORKDIR_RELATIVE_PATH,
  MULTIPLE_INSTRUCTIONS,
  SECRETS_USED,
  COPY_IGNORED_FILE,
  LEGACY_KEY_VALUE,
  EXPOSE_PROTO_CASING,
  EXPOSE_INVALID_FORMAT,
];

function expanded(text: string, env: ReadonlyMap<string, string>, escapeChar: string): string | undefined {
  try {
    return expandText(text, (name) => env.get(name), { escapeChar }).text;
  } catch (error) {
    if (error instanceof LexError) return undefined;
    throw error;
  }
}

function isRemote(source: string): boolean {
  return /^[a-z][a-z0-9+.-]*:\/\/|^git@/i.test(source);
}

/** `key=value` that means the same as `key value`, where that is certain. */
function modernPair({ pairs: [pair] }: PairsInstruction, escapeChar: string): string | undefined {
  if (pair === undefined || /["'\\`$]/.test(pair.key)) return undefined;
  const { key, value } = pair;
  const words = splitQuoted(value, escapeChar);
  if (words.length === 1 && words[0] === value) return `${key}=${value}`;
  return /["'\\`]/.test(value) ? undefined : `${key}="${value}"`;
}

/** Ports of EXPOSE with their variables expanded, each with the word that gave it. */
function* exposed({ state, instruction, escapeChar }: StepView) {
  if (instruction.kind !== 'EXPOSE') return;
  const { raw } = instruction as ListInstruction;
  for (const word of wordsOf(raw, restOffset(raw))) {
    const text = expanded(word.text, state.env, escapeChar) ?? '';
    for (const port of splitBlanks(text)) yield { raw, port, word };
  }
}

function replaceWord(
  raw: Found['raw'],
  word: Word,
  port: string,
  text: string,
): Pick<Found, 'range' | 'fix'> {
  const range = rangeOf(raw, word);
  return { range, fix: range && word.text === port ? [{ range, text }] : undefined };
}
