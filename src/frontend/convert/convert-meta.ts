import { posix } from 'node:path';
import type { FileOp } from '../../llb/ops.ts';
import { parseOwner } from '../parse/copy-values.ts';
import { expandWith } from '../parse/expand.ts';
import { instructionError } from '../parse/flags.ts';
import { healthcheckText } from '../parse/healthcheck.ts';
import type {
  ArgInstruction,
  CommandInstruction,
  Instruction,
  ListInstruction,
  PairsInstruction,
  TextInstruction,
} from '../parse/instructions.ts';
import { expandPorts, isSignal } from '../parse/ports.ts';
import { type ArgEntry, buildArg, isExported } from './args.ts';
import { quoteGo } from './quote-go.ts';
import { type Build, commit, expandIn, nextStep, type StageState, setEnv } from './state.ts';

/** Carries out an instruction that only changes config and environment, or makes the working directory. */
export function convertMeta(build: Build, state: StageState, instruction: Instruction): void {
  switch (instruction.kind) {
    case 'ARG':
      convertArg(build, state, instruction);
      return;
    case 'ENV':
    case 'LABEL':
      convertPairs(build, state, instruction);
      return;
    case 'WORKDIR':
      convertWorkdir(build, state, instruction);
      return;
    case 'USER':
    case 'STOPSIGNAL':
    case 'MAINTAINER':
      convertText(build, state, instruction);
      return;
    case 'EXPOSE':
    case 'VOLUME':
    case 'SHELL':
      convertList(build, state, instruction);
      return;
    case 'CMD':
    case 'ENTRYPOINT':
      convertCommand(state, instruction);
      return;
    case 'HEALTHCHECK':
      state.config = { ...state.config, Healthcheck: instruction.check };
      commit(state, `HEALTHCHECK ${healthcheckText(instruction.check, quoteGo)}`);
      return;
    case 'ONBUILD':
      // Other builders write no history for it.
      state.config = { ...state.config, OnBuild: [...(state.config.OnBuild ?? []), instruction.text] };
  }
}

/** The command line of a shell form. */
export function withShell({ config, image }: StageState, text: string): string[] {
  const usual = image.os === 'windows' ? ['cmd', '/S', '/C'] : ['/bin/sh', '-c'];
  const shell = config.Shell ?? [];
  return [...(shell.length > 0 ? shell : usual), text];
}

/**
 * Build argument, else default, else the global of that name; the default is looked at only if it is needed. An
 * ARG sees the ones before it, on its own line too.
 */
function convertArg(build: Build, state: StageState, instruction: ArgInstruction): void {
  const entries = instruction.args.map(({ key, value: fallback }): ArgEntry => {
    const given = buildArg(build.context, key);
    const own = fallback === undefined ? undefined : () => expandIn(build, state, instruction, fallback);
    const value = given ?? (own === undefined ? build.globals.get(key) : own());
    if (value !== undefined && isExported(key)) setEnv(state, key, value);
    return { key, value };
  });
  state.args.push(...entries);
  const shown = entries.map(({ key, value }) => (value === undefined ? key : `${key}=${value}`));
  commit(state, `ARG ${shown.join(' ')}`);
}

function convertPairs(build: Build, state: StageState, instruction: PairsInstruction): void {
  const pairs = instruction.pairs.map(({ key, value }) => ({
    key: expandIn(build, state, instruction, key),
    value: expandIn(build, state, instruction, value),
  }));
  for (const { key, value } of pairs) {
    if (instruction.kind === 'LABEL') {
      state.config = { ...state.config, Labels: { ...state.config.Labels, [key]: value } };
      continue;
    }
    if (key === '') {
      throw instructionError(instruction.raw, 'DOCKERFILE_INSTRUCTION_INVALID', {
        message: 'Cannot set a variable without a name in ENV: its name is empty after expansion',
      });
    }
    state.config = { ...state.config, Env: replaceEnv(state.config.Env ?? [], key, value) };
    setEnv(state, key, value);
  }
  const shown = pairs.map(({ key, value }) => `${key}=${value}`);
  commit(state, `${instruction.kind} ${shown.join(' ')}`);
}

/** A variable that is there already keeps its place. */
function replaceEnv(env: readonly string[], key: string, value: string): string[] {
  const entry = `${key}=${value}`;
  const index = env.findIndex((known) => known.startsWith(`${key}=`));
  return index < 0 ? [...env, entry] : env.with(index, entry);
}

function convertWorkdir(build: Build, state: StageState, instruction: TextInstruction): void {
  const path = expandIn(build, state, instruction, instruction.text);
  const current = state.config.WorkingDir ?? '/';
  const joined = posix.resolve('/', current, path);
  // Other builders keep an absolute path as it is written, in the config and in the history.
  const shown = path.startsWith('/') ? path : path === '' && current !== '' ? current : joined;
  state.config = { ...state.config, WorkingDir: shown };
  if (joined === '/') {
    commit(state, `WORKDIR ${shown}`);
    return;
  }
  const meta = nextStep(build, state, instruction);
  const user = state.config.User ?? '';
  // Nobody wrote this user for the directory's sake: an image without such a name may still be meant.
  const owner = user === '' ? {} : { owner: { ...parseOwner(user), orRoot: true } };
  const op: FileOp = {
    kind: 'file',
    base: state.root === undefined ? -1 : 0,
    actions: [{ type: 'mkdir', path: joined, mode: 0o755, ...owner }],
  };
  state.root = build.graph.add(op, state.root === undefined ? [] : [state.root], meta);
  commit(state, `WORKDIR ${shown}`, true);
}

function convertText(build: Build, state: StageState, instruction: TextInstruction): void {
  const { kind, raw } = instruction;
  const text =
    kind === 'MAINTAINER' ? instruction.text : expandIn(build, state, instruction, instruction.text);
  if (kind === 'MAINTAINER') state.image = { ...state.image, author: text };
  else if (kind === 'USER') state.config = { ...state.config, User: text };
  else if (isSignal(text)) state.config = { ...state.config, StopSignal: text };
  else {
    throw instructionError(raw, 'DOCKERFILE_INSTRUCTION_INVALID', {
      message: `Cannot use "${text}" as STOPSIGNAL: it is no signal`,
      hint: 'name it as "SIGTERM" or by its number',
    });
  }
  commit(state, `${kind} ${text}`);
}

function convertList(build: Build, state: StageState, instruction: ListInstruction): void {
  const { kind, items, raw } = instruction;
  if (kind === 'SHELL') {
    state.config = { ...state.config, Shell: items };
    commit(state, `SHELL [${items.join(' ')}]`);
    return;
  }
  if (kind === 'EXPOSE') {
    const options = { escapeChar: build.escapeChar };
    // Other builders sort the words as they are written, not what variables make of them.
    const words = [...items].sort().flatMap((item) => expandWith(raw, item, state.env, options).words);
    const ports = expandPorts(raw, words);
    state.config = { ...state.config, ExposedPorts: toSet(state.config.ExposedPorts, ports) };
    commit(state, `EXPOSE [${ports.join(' ')}]`);
    return;
  }
  const paths = items.map((item) => expandIn(build, state, instruction, item));
  if (paths.some((path) => path.trim() === '')) {
    throw instructionError(raw, 'DOCKERFILE_INSTRUCTION_INVALID', {
      message: 'Cannot use an empty path in VOLUME',
      hint: 'check the variables that it is made of',
    });
  }
  state.config = { ...state.config, Volumes: toSet(state.config.Volumes, paths) };
  commit(state, `VOLUME [${paths.join(' ')}]`);
}

function toSet(
  known: Readonly<Record<string, Record<string, never>>> | undefined,
  added: readonly string[],
): Readonly<Record<string, Record<string, never>>> {
  const names = new Set([...Object.keys(known ?? {}), ...added]);
  return Object.fromEntries([...names].sort().map((name) => [name, {}]));
}

function convertCommand(state: StageState, { kind, args, shell }: CommandInstruction): void {
  const command = shell ? withShell(state, args[0] ?? '') : args;
  if (kind === 'CMD') {
    state.config = { ...state.config, Cmd: command, ArgsEscaped: true };
    state.cmdSet = true;
  } else {
    // A command that was meant for the base's entry point has no meaning for this one.
    state.config = { ...state.config, Entrypoint: command, ...(state.cmdSet ? {} : { Cmd: null }) };
  }
  commit(state, `${kind} [${command.map(quoteGo).join(' ')}]`);
}
