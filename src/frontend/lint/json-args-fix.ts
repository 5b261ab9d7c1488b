import type { StageState } from '../convert/state.ts';
import type { CommandInstruction } from '../parse/instructions.ts';
import type { SourceEdit } from '../types.ts';
import { onOneLine, rangeOf, restOffset } from './places.ts';

/** Words that every shell reads as they are written. */
const PLAIN_WORD = /^[A-Za-z0-9_./:@%+,=-]+$/;

/** What a shell does itself, or understands as a part of its language, when it is the first word. */
const SHELL_WORDS: ReadonlySet<string> = new Set(
  (
    '. : [ alias bg break builtin case cd command continue declare do done echo elif else enable esac eval exec exit ' +
    'export false fc fg fi for function getopts hash help history if in jobs kill let local logout mapfile printf pwd ' +
    'read readarray readonly return select set shift shopt source suspend test then time times trap true type typeset ' +
    'ulimit umask unalias unset until wait while'
  ).split(' '),
);

/**
 * The JSON form of a command that needs no shell: it starts the same process with the same arguments. No fix where
 * the two forms differ in how CMD and ENTRYPOINT go together.
 */
export function jsonArgsFix(
  { stage, config, cmdSet }: StageState,
  { kind, raw, args, trigger }: CommandInstruction,
): readonly SourceEdit[] | undefined {
  const words = (args[0] ?? '').split(/\s+/).filter((word) => word !== '');
  const [command] = words;
  if (trigger === true || !onOneLine(raw) || command === undefined) return undefined;
  if (!words.every((word) => PLAIN_WORD.test(word)) || SHELL_WORDS.has(command) || command.includes('=')) {
    return undefined;
  }
  const other = kind === 'CMD' ? 'ENTRYPOINT' : 'CMD';
  // ENTRYPOINT takes the command away that its base set, but not one of its own stage.
  const inherited = kind === 'CMD' ? (config.Entrypoint ?? []).length > 0 : cmdSet;
  if (inherited || stage.instructions.some((each) => each.kind === other)) return undefined;
  const range = rangeOf(raw, { start: restOffset(raw), end: raw.text.length });
  return range && [{ range, text: `[${words.map((word) => JSON.stringify(word)).join(', ')}]` }];
}
