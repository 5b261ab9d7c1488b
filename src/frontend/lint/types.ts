import type { SourceRange } from '../../errors/source.ts';
import type { StageState } from '../convert/state.ts';
import type { ArgInstruction, FromInstruction, Instruction } from '../parse/instructions.ts';
import type { RawInstruction } from '../parse/parser.ts';
import type { FileProgram } from '../parse/read-file.ts';
import type { SourceEdit } from '../types.ts';

/** What a rule objects to. */
export interface Found {
  readonly raw: RawInstruction;
  /** What is wrong with this instruction, in the words that Docker uses: tools compare them. */
  readonly detail: string;
  /** The part that is at fault. @default the whole instruction */
  readonly range?: SourceRange | undefined;
  /** The lines to show, where they are not those of the instruction. */
  readonly lines?: SourceRange | undefined;
  /** Changes that put it right and change nothing else; absent where more than one way is right. */
  readonly fix?: readonly SourceEdit[] | undefined;
}

/** One rule. Each of its functions is asked at its own time; most rules have one. */
export interface Rule {
  readonly name: string;
  /** One sentence for lists of rules. */
  readonly description: string;
  /** Silent unless `experimental=` names it. */
  readonly experimental?: true;
  /** The file as it is written, whether or not its stages can be built. */
  readonly file?: (view: FileProgram) => Iterable<Found>;
  /** A FROM line, with the arguments that it can use. */
  readonly from?: (view: FromView) => Iterable<Found>;
  /** A stage that is built, before its first instruction. */
  readonly stage?: (view: StageView) => Iterable<Found>;
  /** An instruction of a stage that is built, triggers of its base included, before it is carried out. */
  readonly step?: (view: StepView) => Iterable<Found>;
}

export interface FromView {
  readonly from: FromInstruction;
  readonly escapeChar: string;
  /** Values with the build arguments of the caller, and as the file alone has them. */
  readonly globals: ReadonlyMap<string, string>;
  readonly defaults: ReadonlyMap<string, string>;
  /** Names that FROM lines may use, whether they have a value or not. */
  readonly declared: readonly ArgInstruction[];
  /** Names of the stages above. */
  readonly earlier: readonly string[];
}

export interface StageView {
  readonly state: StageState;
  /** The base is an image that was asked for by this name, not a named context. */
  readonly baseName: string | undefined;
}

export interface StepView {
  readonly state: StageState;
  readonly instruction: Instruction;
  readonly escapeChar: string;
  /** Values that the caller gave for ARGs. */
  readonly isGiven: (arg: string) => boolean;
  /** Nothing is known of the base image: what it sets cannot be told from what nobody sets. */
  readonly unknownBase: boolean;
  /** Whether the ignore file of the main context hides the path and all that could be below it. */
  readonly ignores: (path: string) => boolean;
  /** Instructions of this stage that were carried out before. */
  readonly earlier: readonly Instruction[];
  /** A WORKDIR stands above, in this stage or in one that it is built on. */
  readonly workdirSet: boolean;
}

/** What `# check=` sets. */
export interface CheckOptions {
  readonly skip: ReadonlySet<string> | 'all';
  readonly experimental: ReadonlySet<string> | 'all';
  readonly error: boolean;
}
