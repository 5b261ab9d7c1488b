import { posix } from 'node:path';
import type { Digest } from '../image/types.ts';
import type { CopyAction, CopySource, FileOp, Owner } from '../llb/ops.ts';
import { BadPatternError, compileGoMatch, hasWildcard } from '../util/go-match.ts';
import { expandWith } from './expand.ts';
import { instructionError } from './flags.ts';
import type { CopyInstruction } from './instructions.ts';
import { chompTabs, type Heredoc } from './lines.ts';
import { type Build, commit, expandIn, nextStep, type StageState, sourceOf } from './state.ts';

/** Carries out COPY and ADD: one file vertex on the stage, or on nothing and merged (`--link`). */
export function convertCopy(build: Build, state: StageState, instruction: CopyInstruction): void {
  const { raw, kind } = instruction;
  const expand = (text: string) => expandIn(build, state, instruction, text);
  const sources = instruction.sources.map(expand);
  const dest = expand(instruction.dest);
  const chown = instruction.chown === undefined ? undefined : expand(instruction.chown);
  const chmod = instruction.chmod === undefined ? undefined : expand(instruction.chmod);
  checkSources(instruction, sources, dest);
  const about = {
    dest: absoluteDest(state.config.WorkingDir || '/', dest),
    ...(chown ? { owner: readOwner(instruction, chown) } : {}),
    ...(chmod ? { mode: readMode(instruction, chmod) } : {}),
  };

  const meta = nextStep(build, state, instruction);
  // A mode applies to parents that exist below as well, so it needs the lower file system.
  const link = instruction.link && chmod === undefined;
  const inputs: Digest[] = link || state.root === undefined ? [] : [state.root];
  const base = inputs.length - 1;
  const actions: CopyAction[] = [];
  if (sources.length > 0) {
    const origin = originOf(build, state, instruction);
    if (origin !== undefined) inputs.push(origin);
    actions.push({
      type: 'copy',
      from: origin === undefined ? -1 : inputs.length - 1,
      sources: sources.map((source) => copySource(instruction, source)),
      ...about,
      ...(kind === 'ADD' ? { unpack: true } : {}),
    });
  }
  for (const heredoc of raw.heredocs) {
    inputs.push(inlineFile(build, state, instruction, heredoc));
    const file = [{ path: heredoc.name, wildcard: false }];
    actions.push({ type: 'copy', from: inputs.length - 1, sources: file, ...about });
  }
  const op: FileOp = { kind: 'file', base, actions };
  const layer = build.graph.add(op, inputs, meta);
  state.root =
    link && state.root !== undefined ? build.graph.add({ kind: 'merge' }, [state.root, layer], meta) : layer;
  commit(state, `${historyText(instruction, { sources, dest, chown, chmod })} # buildkit`, true);
}

/** `user[:group]` as numbers where they are numbers. An empty group after `:` is 0. */
export function parseOwner(text: string): Owner {
  const [user = '', group] = text.split(':', 2);
  const side = (part: string) => (/^\d{1,10}$/.test(part) ? Number(part) : part);
  return {
    ...(user === '' ? {} : { user: side(user) }),
    ...(group === undefined ? {} : { group: group === '' ? 0 : side(group) }),
  };
}

function originOf(build: Build, state: StageState, instruction: CopyInstruction): Digest | undefined {
  const source = state.stage.sources.get(instruction);
  if (source === undefined) return build.mainContext();
  return build.sourceVertex(source, sourceOf(state, instruction));
}

function inlineFile(build: Build, state: StageState, { raw }: CopyInstruction, heredoc: Heredoc): Digest {
  const text = heredoc.chomp ? chompTabs(heredoc.content) : heredoc.content;
  const options = { escapeChar: build.escapeChar, ignoreQuotes: true };
  const content = heredoc.expand ? expandWith(raw, text, state.env, options).text : text;
  const data = Buffer.from(content, 'utf8').toString('base64');
  const op: FileOp = {
    kind: 'file',
    base: -1,
    actions: [{ type: 'mkfile', path: `/${heredoc.name}`, mode: 0o644, data }],
  };
  return build.graph.add(op, [], { name: '[internal] preparing inline document' });
}

function checkSources({ raw, kind }: CopyInstruction, sources: readonly string[], dest: string): void {
  for (const source of sources) {
    if (!/^(https?|git|ssh):\/\/|^git@[^/:]+:/i.test(source)) continue;
    if (kind === 'COPY') {
      throw instructionError(raw, 'DOCKERFILE_INSTRUCTION_INVALID', {
        message: `Cannot copy "${source}": COPY takes paths only`,
        hint: 'use ADD for URLs and git repositories',
      });
    }
    const form = /^https?:/i.test(source) && !/\.git(?:[#?]|$)/.test(source) ? 'a URL' : 'a git repository';
    throw instructionError(raw, 'DOCKERFILE_UNSUPPORTED', {
      message: `Cannot add "${source}": ADD of ${form} is not supported yet`,
    });
  }
  const count = sources.length + raw.heredocs.length;
  if (count > 1 && !/(^|\/)\.{0,2}$/.test(dest)) {
    throw instructionError(raw, 'DOCKERFILE_INSTRUCTION_INVALID', {
      message: `Cannot ${kind === 'COPY' ? 'copy' : 'add'} ${count} sources to "${dest}": it must be a directory`,
      hint: `write the destination as "${dest}/"`,
    });
  }
}

function copySource({ raw }: CopyInstruction, source: string): CopySource {
  const path = posix.resolve('/', source).slice(1);
  const wildcard = hasWildcard(path);
  try {
    if (wildcard) compileGoMatch(path);
  } catch (error) {
    if (!(error instanceof BadPatternError)) throw error;
    throw instructionError(raw, 'DOCKERFILE_INSTRUCTION_INVALID', { message: error.message });
  }
  return { path, wildcard };
}

/** Empty and `.` are the working directory itself, and what ends in `/.` is a directory, whether it exists or not. */
function absoluteDest(workdir: string, dest: string): string {
  const path = posix.resolve('/', workdir, dest);
  const directory = /^\.?$|\/\.?$/.test(dest);
  return directory && path !== '/' ? `${path}/` : path;
}

function readOwner({ raw }: CopyInstruction, chown: string): Owner {
  if (/^[^:\s]*(?::[^:\s]*)?$/.test(chown) && chown !== ':') return parseOwner(chown);
  throw instructionError(raw, 'DOCKERFILE_FLAG_INVALID', {
    message: `Cannot use owner "${chown}": expected "user" or "user:group"`,
    range: raw.flags.find(({ name }) => name === 'chown')?.range ?? raw.range,
  });
}

function readMode({ raw }: CopyInstruction, chmod: string): number {
  if (/^[0-7]{1,6}$/.test(chmod) && Number.parseInt(chmod, 8) <= 0o7777) return Number.parseInt(chmod, 8);
  const range = raw.flags.find(({ name }) => name === 'chmod')?.range ?? raw.range;
  const clause = '[ugoa]*(?:[-+=][rwxXstugo]*)+';
  if (new RegExp(`^${clause}(?:,${clause})*$`).test(chmod)) {
    throw instructionError(raw, 'DOCKERFILE_UNSUPPORTED', {
      message: `Cannot use "--chmod=${chmod}": symbolic modes are not supported yet`,
      hint: 'write the mode in octal, for example "--chmod=755"',
      range,
    });
  }
  throw instructionError(raw, 'DOCKERFILE_FLAG_INVALID', {
    message: `Cannot use "--chmod=${chmod}": expected an octal mode between 0 and 07777`,
    range,
  });
}

function historyText(
  { kind, raw }: CopyInstruction,
  parts: { sources: readonly string[]; dest: string; chown: string | undefined; chmod: string | undefined },
): string {
  return [
    kind,
    ...(parts.chown ? [`--chown=${parts.chown}`] : []),
    ...(parts.chmod ? [`--chmod=${parts.chmod}`] : []),
    ...parts.sources,
    ...raw.heredocs.map(({ name }) => `<<${name}`),
    parts.dest,
  ].join(' ');
}
