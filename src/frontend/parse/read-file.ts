import { OcibuildError } from '../../errors/error.ts';
import type { SourceFile } from '../../errors/source.ts';
import type { FrontendContext } from '../types.ts';
import type { Directive } from './directives.ts';
import { createFaults, type Faults } from './faults.ts';
import type { Instruction } from './instructions.ts';
import { parseInstruction } from './parse-instruction.ts';
import { type ParsedFile, parseFile } from './parser.ts';
import { readMount } from './run-mount.ts';

/** A Dockerfile, read: its instructions with variables unexpanded, and in which language it is. */
export interface FileProgram {
  readonly file: SourceFile;
  readonly directives: readonly Directive[];
  readonly instructions: readonly Instruction[];
  readonly escapeChar: string;
  /** It begins with `# syntax=ocibuild`: extensions without a flag of their own are on. */
  readonly extended: boolean;
}

/**
 * @param onRead gets what can be read, before faults are thrown
 * @throws DOCKERFILE_*; several faults of syntax come together as a MultiError
 */
export async function readProgram(
  context: FrontendContext,
  file: SourceFile,
  onRead?: (program: FileProgram) => void,
): Promise<FileProgram> {
  const parsed = await parseFile(file);
  const { directives, escapeChar } = parsed;
  const extended = isExtended(file, directives, context.buildArgs.BUILDKIT_SYNTAX);
  const faults = createFaults();
  const instructions = parseAll(parsed, faults);
  const program: FileProgram = { file, directives, instructions, escapeChar, extended };
  onRead?.(program);
  if (faults.any()) addMountFaults(program, faults);
  faults.check();
  return program;
}

/** The languages that this frontend is: Docker's own, whatever the version, and the same with our extensions. */
const BUILT_IN = /^(?:docker\.io\/)?docker\/dockerfile(?:-upstream)?(?:[:@].*)?$|^dockerfile\.v0$/;
const EXTENDED = /^ocibuild(?:\/[^\s:@]+)?(?:[:@].*)?$/;

function isExtended(file: SourceFile, directives: readonly Directive[], wanted: string | undefined): boolean {
  const directive = directives.find(({ name }) => name === 'syntax');
  const image = (wanted ?? directive?.value)?.trim().split(/\s+/)[0];
  if (image !== undefined && EXTENDED.test(image)) return true;
  if (image === undefined || image === '' || BUILT_IN.test(image)) return false;
  throw new OcibuildError(
    'DOCKERFILE_UNSUPPORTED',
    `Cannot read "${file.name}" with syntax "${image}": built in are "docker/dockerfile" and "ocibuild"`,
    {
      hint: 'remove the syntax directive, or set it to "docker/dockerfile:1", or to "ocibuild" for extensions',
      ...(directive === undefined ? {} : { source: { file, ranges: [directive.range] } }),
    },
  );
}

/** Faults of one instruction do not hide those of the next. */
function parseAll(parsed: ParsedFile, faults: Faults): Instruction[] {
  for (const error of parsed.errors) faults.add(error);
  return parsed.instructions.flatMap(
    (raw) => faults.attempt(() => parseInstruction(raw, parsed.escapeChar)) ?? [],
  );
}

/** Mounts are read with their stage, which a file that has faults of syntax does not come to. */
function addMountFaults({ instructions, extended, escapeChar }: FileProgram, faults: Faults): void {
  const expand = (text: string): string => text;
  for (const instruction of instructions) {
    if (instruction.kind !== 'RUN') continue;
    for (const mount of instruction.mounts) {
      const isPlain = mount.fields.every(
        ({ value = '' }) => !value.includes('$') && !value.includes(escapeChar),
      );
      if (isPlain) faults.attempt(() => readMount(instruction.raw, mount, { expand, extended }));
    }
  }
}
