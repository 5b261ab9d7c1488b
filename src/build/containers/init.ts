import { OcibuildError } from '../../errors/error.ts';
import { isDynamic, readHead } from '../../executor/elf.ts';
import { findProgram } from '../../executor/find-program.ts';

/** Programs that start another, hand signals on and reap what it leaves behind; all of them take `-- CMD…`. */
const PROGRAMS = ['docker-init', 'catatonit', 'tini-static', 'tini', 'dumb-init'];
/** Where Docker has it. */
export const INIT_TARGET = '/sbin/docker-init';

/** Path of an init program of this machine that runs in any image. @throws USAGE_UNSUPPORTED */
export function findInit(searchPath: string): string {
  const found = PROGRAMS.flatMap((name) => findProgram(name, searchPath) ?? []);
  // A program that is not whole would look for its libraries in the image.
  const usable = found.find((path) => !isDynamic(readHead(path)));
  if (usable !== undefined) return usable;
  throw new OcibuildError(
    'USAGE_UNSUPPORTED',
    `Cannot use --init: this machine has no ${found[0] === undefined ? 'init program' : `static init program: "${found[0]}" needs libraries of its own`}`,
    { hint: 'sudo apt-get install catatonit', details: { searched: PROGRAMS } },
  );
}
