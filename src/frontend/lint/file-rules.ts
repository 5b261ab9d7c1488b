import type { SourceRange } from '../../errors/source.ts';
import type { FromInstruction, Instruction, TextInstruction } from '../parse/instructions.ts';
import { lineRange } from '../parse/lines.ts';
import type { RawInstruction } from '../parse/parser.ts';
import type { SourceEdit } from '../types.ts';
import { findIn, flagWord, onOneLine, rangeOf, restOffset, wordsOf } from './places.ts';
import type { Rule } from './types.ts';

const STAGE_NAME_CASING: Rule = {
  name: 'StageNameCasing',
  description: 'Names of stages should be lower case',
  *file({ instructions }) {
    for (const instruction of instructions) {
      const name = writtenName(instruction);
      if (name === undefined || name === name.toLowerCase()) continue;
      const range = nameRange(instruction);
      yield {
        raw: instruction.raw,
        detail: `Stage name '${name}' should be lowercase`,
        range,
        fix: range && [
          { range, text: name.toLowerCase() },
          ...instructions.flatMap((each) => referencesTo(each, name.toLowerCase())),
        ],
      };
    }
  },
};

const FROM_AS_CASING: Rule = {
  name: 'FromAsCasing',
  description: 'AS should be written in the case of FROM',
  *file({ instructions }) {
    for (const { kind, raw, ...rest } of instructions) {
      const as = kind === 'FROM' && 'written' in rest ? rest.written?.as : undefined;
      const wanted = as === undefined ? undefined : inCaseOf(raw.word, as);
      if (as === undefined || wanted === undefined || wanted === as) continue;
      const range = rangeAt(raw, 1);
      const fix = range && [{ range, text: wanted }];
      yield { raw, detail: `'${as}' and '${raw.word}' keywords' casing do not match`, range, fix };
    }
  },
};

const CONSISTENT_INSTRUCTION_CASING: Rule = {
  name: 'ConsistentInstructionCasing',
  description: 'All instructions of a file should be written in the same case',
  *file({ instructions }) {
    const first = instructions.findIndex(({ kind }) => kind === 'FROM');
    const inStages = first < 0 ? [] : instructions.slice(first);
    const lower = inStages.filter(({ raw: { word } }) => word === word.toLowerCase()).length;
    const upper = inStages.filter(({ raw: { word } }) => word === word.toUpperCase()).length;
    for (const { raw } of inStages) {
      const wanted = lower > upper ? raw.word.toLowerCase() : raw.word.toUpperCase();
      if (raw.word === wanted) continue;
      const majority = lower > upper ? 'lowercase' : 'uppercase';
      const detail = `Command '${raw.word}' should match the case of the command majority (${majority})`;
      yield { raw, detail, range: raw.keywordRange, fix: [{ range: raw.keywordRange, text: wanted }] };
    }
  },
};

const NO_EMPTY_CONTINUATION: Rule = {
  name: 'NoEmptyContinuation',
  description: 'No blank line should stand inside an instruction',
  *file({ instructions }) {
    for (const { raw } of instructions) {
      const [blank] = raw.blankLines ?? [];
      if (blank === undefined) continue;
      const last = raw.parts?.at(-1)?.line ?? raw.range.end.line;
      const fix = (raw.blankLines ?? []).map(({ start }) => ({ range: wholeLine(start.line), text: '' }));
      yield { raw, detail: 'Empty continuation line', range: blank, lines: lineRange(last, 1, 1), fix };
    }
  },
};

const DUPLICATE_STAGE_NAME: Rule = {
  name: 'DuplicateStageName',
  description: 'Each stage should have a name of its own',
  *file({ instructions }) {
    const seen = new Set<string>();
    for (const instruction of instructions) {
      if (instruction.kind !== 'FROM' || instruction.name === undefined) continue;
      const { name, raw } = instruction;
      if (seen.has(name)) {
        const detail = `Duplicate stage name "${name}", stage names should be unique`;
        yield { raw, detail, range: nameRange(instruction) };
      }
      seen.add(name);
    }
  },
};

const RESERVED_STAGE_NAME: Rule = {
  name: 'ReservedStageName',
  description: 'No stage should have a name that already means something else',
  *file({ instructions }) {
    for (const instruction of instructions) {
      if (instruction.kind !== 'FROM') continue;
      const { name, raw } = instruction;
      if (name !== 'scratch' && name !== 'context') continue;
      const detail = `Stage name should not use the same name as reserved stage "${name}"`;
      yield { raw, detail, range: nameRange(instruction) };
    }
  },
};

const MAINTAINER_DEPRECATED: Rule = {
  name: 'MaintainerDeprecated',
  description: 'A label should name the author in the place of MAINTAINER',
  *file({ instructions, escapeChar }) {
    const all = instructions.filter((each): each is TextInstruction => each.kind === 'MAINTAINER');
    // One that stays would be the author beside the label of another.
    const fixable = all.every(({ raw }) => onOneLine(raw));
    for (const instruction of all) {
      const { raw, text } = instruction;
      const keyword = raw.word === raw.word.toLowerCase() ? 'label' : 'LABEL';
      const value = text.replace(/["$\\`]/g, (ch) =>
        '"$'.includes(ch) || ch === escapeChar ? escapeChar + ch : ch,
      );
      const label = `${keyword} org.opencontainers.image.authors="${value}"`;
      yield {
        raw,
        detail: 'Maintainer instruction is deprecated in favor of using label',
        fix: fixable ? [{ range: raw.range, text: label }] : undefined,
      };
    }
  },
};

const INVALID_DEFINITION_DESCRIPTION: Rule = {
  name: 'InvalidDefinitionDescription',
  description: 'A comment above FROM or ARG should start with the name of the stage or argument',
  experimental: true,
  *file({ instructions, directives }) {
    for (const [index, { raw, ...instruction }] of instructions.entries()) {
      const names =
        instruction.kind === 'ARG'
          ? instruction.args.map(({ key }) => key)
          : instruction.kind === 'FROM' && instruction.name !== undefined
            ? [instruction.name]
            : [];
      const [name, ...others] = names;
      const said = (index === 0 ? raw.comment?.slice(directives.length) : raw.comment) ?? [];
      const last = said.findLast((text) => text !== '');
      if (name === undefined || last === undefined || names.includes(last.split(' ')[0] ?? '')) continue;
      const shown = others.length > 0 ? '<arg_key>' : name;
      yield {
        raw,
        detail: `Comment for ${raw.keyword} should follow the format: \`# ${shown} <description>\``,
      };
    }
  },
};

/** Rules about what the file looks like: they are asked even where its stages cannot be built. */
export const FILE_RULES: readonly Rule[] = [
  STAGE_NAME_CASING,
  FROM_AS_CASING,
  CONSISTENT_INSTRUCTION_CASING,
  NO_EMPTY_CONTINUATION,
  DUPLICATE_STAGE_NAME,
  RESERVED_STAGE_NAME,
  MAINTAINER_DEPRECATED,
  INVALID_DEFINITION_DESCRIPTION,
];

function writtenName(instruction: Instruction): string | undefined {
  return instruction.kind === 'FROM' ? instruction.written?.name : undefined;
}

function nameRange({ raw }: Instruction): SourceRange | undefined {
  return rangeAt(raw, 2);
}

/** The word of that number behind keyword and flags. */
function rangeAt(raw: RawInstruction, index: number): SourceRange | undefined {
  const word = wordsOf(raw, restOffset(raw))[index];
  return word && rangeOf(raw, word);
}

/** `as` in the case of the keyword, where that has one. */
function inCaseOf(keyword: string, as: string): string | undefined {
  if (keyword === keyword.toLowerCase()) return as.toLowerCase();
  return keyword === keyword.toUpperCase() ? as.toUpperCase() : undefined;
}

/** Line and line feed, so that an edit takes the line away. */
function wholeLine(line: number): SourceRange {
  return { start: { line, column: 1 }, end: { line: line + 1, column: 1 } };
}

/** Edits that write the name of a stage in lower case where an instruction uses it. */
function referencesTo(instruction: Instruction, name: string): SourceEdit[] {
  const { kind, raw } = instruction;
  const ranges: (SourceRange | undefined)[] = [];
  const isReference = (text: string | undefined) => text?.toLowerCase() === name && text !== name;
  if (kind === 'FROM' && isReference(instruction.base)) ranges.push(baseRange(instruction));
  if (kind === 'COPY' && isReference(instruction.from)) {
    const flag = raw.flags.find((each) => each.name === 'from');
    const word = flag && flagWord(raw, flag);
    if (word?.text === `--from=${instruction.from}`) {
      ranges.push(rangeOf(raw, { start: word.start + '--from='.length, end: word.end }));
    }
  }
  if (kind === 'RUN') {
    for (const { from } of instruction.mounts) {
      if (isReference(from)) ranges.push(findIn(raw, new RegExp(`[=,]from=(?<at>${from})(?=[,\\s])`)));
    }
  }
  return ranges.flatMap((range) => (range === undefined ? [] : [{ range, text: name }]));
}

function baseRange({ raw }: FromInstruction): SourceRange | undefined {
  return rangeAt(raw, 0);
}
