import { redactCredentials } from '../../errors/redact.ts';
import type { Digest } from '../../image/types.ts';
import type { CopyAction, CopySource, FileOp, GitSource, HttpSource } from '../../llb/ops.ts';
import { absoluteDest, copySource, readAttributes } from '../parse/copy-values.ts';
import { expandWith } from '../parse/expand.ts';
import { instructionError } from '../parse/flags.ts';
import type { CopyInstruction } from '../parse/instructions.ts';
import { chompTabs, type Heredoc } from '../parse/lines.ts';
import { checkChecksum, remoteSource } from './add-remote.ts';
import { type Build, commit, expandIn, nextStep, type StageState, sourceOf } from './state.ts';

/** Carries out COPY and ADD: one file vertex on the stage, or on nothing and merged (`--link`). */
export function convertCopy(build: Build, state: StageState, instruction: CopyInstruction): void {
  const { raw } = instruction;
  const texts = expandTexts(build, state, instruction);
  const { sources, dest, chmod, checksum } = texts;
  const origins = sources.map((source) => remoteSource(instruction, source, checksum) ?? source);
  checkSources(instruction, origins, texts);
  const about = {
    dest: absoluteDest(state.config.WorkingDir || '/', dest),
    ...readAttributes(instruction, texts),
  };

  const meta = nextStep(build, state, instruction);
  // A mode applies to parents that exist below as well, so it needs the lower file system.
  const link = instruction.link && !chmod;
  const inputs: Digest[] = link || state.root === undefined ? [] : [state.root];
  const base = inputs.length - 1;
  const addInput = (input: Digest | undefined): number => {
    if (input === undefined) return -1;
    const known = inputs.indexOf(input, base + 1);
    return known < 0 ? inputs.push(input) - 1 : known;
  };
  const actions: CopyAction[] = groupPaths(origins).map((group): CopyAction => {
    if (!Array.isArray(group)) {
      const input = build.graph.add({ kind: 'source', source: group }, [], {
        name: group.type === 'git' ? group.remote : group.url,
        source: sourceOf(state, instruction),
      });
      return { type: 'copy', from: addInput(input), ...remoteAction(instruction, group), ...about };
    }
    return {
      type: 'copy',
      from: addInput(originOf(build, state, instruction)),
      sources: group.map((path): CopySource => copySource(instruction, path)),
      ...about,
      ...(instruction.kind === 'ADD' && instruction.unpack !== false ? { unpack: true } : {}),
      ...(instruction.parents === true ? { parents: true } : {}),
      ...(instruction.ifExists === true ? { ifExists: true } : {}),
    };
  });
  for (const heredoc of raw.heredocs) {
    const from = addInput(inlineFile(build, state, instruction, heredoc));
    actions.push({ type: 'copy', from, sources: [{ path: heredoc.name, wildcard: false }], ...about });
  }
  const op: FileOp = { kind: 'file', base, actions };
  const layer = build.graph.add(op, inputs, meta);
  state.root =
    link && state.root !== undefined ? build.graph.add({ kind: 'merge' }, [state.root, layer], meta) : layer;
  commit(state, `${historyText(instruction, texts, origins)} # buildkit`, true);
}

interface Texts {
  readonly sources: readonly string[];
  readonly dest: string;
  readonly chown: string | undefined;
  readonly chmod: string | undefined;
  readonly checksum: string | undefined;
}

function expandTexts(build: Build, state: StageState, instruction: CopyInstruction): Texts {
  const expand = (text: string): string => expandIn(build, state, instruction, text);
  const optional = (text: string | undefined) => (text === undefined ? undefined : expand(text));
  return {
    sources: instruction.sources.map(expand),
    dest: expand(instruction.dest),
    chown: optional(instruction.chown),
    chmod: optional(instruction.chmod),
    checksum: optional(instruction.checksum),
  };
}

type Origin = string | HttpSource | GitSource;

/** Neighbouring paths are one action; the order of the sources stays, since a later one overwrites. */
function groupPaths(origins: readonly Origin[]): (string[] | HttpSource | GitSource)[] {
  const groups: (string[] | HttpSource | GitSource)[] = [];
  for (const origin of origins) {
    const last = groups.at(-1);
    if (typeof origin !== 'string') groups.push(origin);
    else if (Array.isArray(last)) last.push(origin);
    else groups.push([origin]);
  }
  return groups;
}

/** A download is a file, unpacked only when that is asked for; of a checkout the content is taken. */
function remoteAction(
  { unpack }: CopyInstruction,
  source: HttpSource | GitSource,
): Pick<CopyAction, 'sources' | 'unpack'> {
  const path = source.type === 'http' ? source.filename : '';
  return {
    sources: [{ path, wildcard: false }],
    ...(source.type === 'http' && unpack === true ? { unpack } : {}),
  };
}

function originOf(build: Build, state: StageState, instruction: CopyInstruction): Digest | undefined {
  const source = state.stage.sources.get(instruction);
  if (source === undefined) return build.mainContext();
  return build.sourceVertex(source, sourceOf(state, instruction));
}

function inlineFile(build: Build, state: StageState, { raw }: CopyInstruction, heredoc: Heredoc): Digest {
  const text = heredoc.chomp ? chompTabs(heredoc.content) : heredoc.content;
  // The escape directive does not reach into the text.
  const options = { escapeChar: '\\', ignoreQuotes: true };
  const content = heredoc.expand ? expandWith(raw, text, state.env, options).text : text;
  const data = Buffer.from(content, 'utf8').toString('base64');
  const op: FileOp = {
    kind: 'file',
    base: -1,
    actions: [{ type: 'mkfile', path: `/${heredoc.name}`, mode: 0o644, data }],
  };
  return build.graph.add(op, [], { name: '[internal] preparing inline document' });
}

function checkSources(
  instruction: CopyInstruction,
  origins: readonly Origin[],
  { dest, checksum }: Texts,
): void {
  const { raw, kind, parents } = instruction;
  const count = origins.length + raw.heredocs.length;
  if (checksum) {
    const remotes = origins.filter((origin) => typeof origin !== 'string').length;
    checkChecksum(instruction, { remotes, sources: count });
  }
  if (count > 1 && parents !== true && !/(^|\/)\.{0,2}$/.test(dest)) {
    throw instructionError(raw, 'DOCKERFILE_INSTRUCTION_INVALID', {
      message: `Cannot ${kind === 'COPY' ? 'copy' : 'add'} ${count} sources to "${dest}": it must be a directory`,
      hint: `write the destination as "${dest}/"`,
    });
  }
}

/** As Docker writes it: other flags are not shown. */
function historyText(
  { kind, raw, parents }: CopyInstruction,
  texts: Texts,
  origins: readonly Origin[],
): string {
  return [
    kind,
    ...(parents === true ? ['--parents'] : []),
    ...(texts.chown ? [`--chown=${texts.chown}`] : []),
    ...(texts.chmod ? [`--chmod=${texts.chmod}`] : []),
    // Credentials in an address would be published with the image.
    ...texts.sources.map((source, i) =>
      typeof origins[i] === 'string' ? source : redactCredentials(source),
    ),
    ...raw.heredocs.map(({ name }) => `<<${name}`),
    texts.dest,
  ].join(' ');
}
