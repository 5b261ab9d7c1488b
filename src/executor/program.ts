import { lstatSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { DEFAULT_PATH } from '../image/runtime-config.ts';
import { readHead } from './elf.ts';
import { finalPath, locate } from './in-root.ts';
import type { ProcessSpec } from './types.ts';

/** A program that the kernel would load. */
export interface Program {
  /** In the root, as it was called. */
  readonly path: string;
  /** Its first bytes. */
  readonly head: Buffer;
}

/** The kernel's own limit on scripts that name scripts (BINPRM_MAX_RECURSION). */
const MAX_SCRIPTS = 5;

/** The program that a process in `root` starts, or the interpreter of its script. Undefined where it cannot be read:
 * the runtime then says why. */
export function programOf(
  root: string,
  { args, env, cwd }: Pick<ProcessSpec, 'args' | 'env' | 'cwd'>,
): Program | undefined {
  const [command = ''] = args;
  const path = env.findLast((entry) => entry.startsWith('PATH='))?.slice('PATH='.length) ?? DEFAULT_PATH;
  const candidates = command.includes('/')
    ? [resolve(cwd, command)]
    : path.split(':').map((folder) => resolve(cwd, folder, command));
  for (const candidate of candidates) {
    const found = follow(root, candidate);
    if (found !== undefined) return found;
  }
  return undefined;
}

function follow(root: string, start: string): Program | undefined {
  let path = start;
  for (let depth = 0; depth < MAX_SCRIPTS; depth++) {
    let head: Buffer;
    try {
      const file = join(root, finalPath(locate(root, path)));
      // To open a fifo waits for a writer, to open a device may do anything.
      if (!lstatSync(file).isFile()) return undefined;
      head = readHead(file);
    } catch {
      return undefined;
    }
    const script = /^#!\s*(\/\S+)/.exec(head.toString('latin1', 0, 256))?.[1];
    if (script === undefined) return { path, head };
    path = script;
  }
  return undefined;
}
