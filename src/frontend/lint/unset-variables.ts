import { isExported } from '../convert/args.ts';
import type { Instruction } from '../parse/instructions.ts';
import { expandText, LexError, type LexOptions } from '../parse/shell-lex.ts';
import type { StepView } from './types.ts';

/** Names that the texts of an instruction ask for and that nothing has set, each once. */
export function unsetVariables(view: StepView): readonly string[] {
  const { state, instruction, escapeChar } = view;
  const missing = new Set<string>();
  const env = new Map(state.env);
  const lookup = (name: string): string | undefined => {
    const value = env.get(name);
    if (value === undefined) missing.add(name);
    return value;
  };
  const expand = (text: string, options: Partial<LexOptions> = {}): string | undefined => {
    try {
      return expandText(text, lookup, { escapeChar, ...options }).text;
    } catch (error) {
      // The build stops at this text and says why.
      if (error instanceof LexError) return undefined;
      throw error;
    }
  };
  if (instruction.kind === 'ARG') {
    for (const { key, value } of instruction.args) {
      // The default of an argument that is given is never looked at.
      const own = value === undefined || view.isGiven(key) ? undefined : expand(value);
      if (own !== undefined) env.set(key, own);
    }
  } else for (const text of expandedTexts(instruction)) expand(text);
  if (instruction.kind === 'COPY' || instruction.kind === 'ADD') {
    const inline = instruction.raw.heredocs.filter(({ expand: isExpanded }) => isExpanded);
    for (const { content } of inline) expand(content, { ignoreQuotes: true });
  }
  const declared = new Set(state.args.map(({ key }) => key));
  return [...missing].filter((name) => !declared.has(name) && isExported(name));
}

/** What of an instruction has variables; ports of EXPOSE may be unset, as Docker has it. */
function expandedTexts(instruction: Instruction): readonly string[] {
  switch (instruction.kind) {
    case 'ENV':
    case 'LABEL':
      return instruction.pairs.flatMap(({ key, value }) => [key, value]);
    case 'WORKDIR':
    case 'USER':
    case 'STOPSIGNAL':
      return [instruction.text];
    case 'VOLUME':
      return instruction.items;
    case 'COPY':
    case 'ADD': {
      const { chown = '', chmod = '', checksum = '', sources, dest } = instruction;
      return [chown, chmod, checksum, ...sources, dest];
    }
    case 'RUN':
      return instruction.mounts.flatMap(({ fields }) =>
        fields.flatMap(({ key, value }) => (key === 'from' || value === undefined ? [] : [value])),
      );
    default:
      return [];
  }
}
