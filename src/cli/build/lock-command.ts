import type { LockResult } from '../../build/lock/lock.ts';
import type { LockChange } from '../../build/lock/lock-file.ts';
import { isOcibuildError } from '../../errors/error.ts';
import { commandBuild } from '../config/config-builds.ts';
import { LOCK_FLAGS } from '../flags/build-flags.ts';
import { GLOBAL_FLAGS } from '../flags/global-flags.ts';
import { flagReader, parseArgs } from '../flags/parse-args.ts';
import type { CliContext } from '../types.ts';
import { readBuildRequest } from './build-options.ts';

/** `ocibuild lock`: what changed goes to stderr, stdout stays empty. */
export async function lockCommand(args: readonly string[], context: CliContext): Promise<number> {
  const { cwd, env, signal, stderr } = context;
  const own = LOCK_FLAGS.filter(({ name }) => name !== 'check');
  const parsed = commandBuild(parseArgs(args, [...LOCK_FLAGS, ...GLOBAL_FLAGS]), own, context);
  const { bool, text } = flagReader(parsed);
  const { options } = readBuildRequest(parsed, env);
  const { enterNamespaceIfNeeded } = await import('../../build/user-namespace.ts');
  // The store of a build with RUN is one of a namespace.
  await enterNamespaceIfNeeded({ ...options, env, cwd }, 'look');
  const { lock } = await import('../../build/lock/lock.ts');
  const { pull, ...others } = options;
  const asked = text('pull') === undefined || pull === undefined ? {} : { pull };
  try {
    const result = await lock({ ...others, ...asked, env, cwd, signal, check: bool('check') });
    stderr.write(report(result));
    return 0;
  } catch (error) {
    if (isOcibuildError(error) && error.code === 'LOCK_OUTDATED') {
      stderr.write(changeLines(error.details.changes as readonly LockChange[] | undefined));
    }
    throw error;
  }
}

function report({ file, lock, changes, fromStore }: LockResult): string {
  const count = [lock.images, lock.urls, lock.git].flatMap((section) => Object.keys(section)).length;
  const entries = count === 1 ? '1 entry' : `${count} entries`;
  const notes = fromStore.map(
    (name) => `note: image ${name} is from the store, its registry did not give it\n`,
  );
  const state = changes.length === 0 ? `${file} is up to date: ${entries}` : `${file}: ${entries}`;
  return `${changeLines(changes)}${notes.join('')}${state}\n`;
}

/** One line for each entry: `+` new, `-` gone, `~` changed. */
function changeLines(changes: readonly LockChange[] = []): string {
  const lines = changes.map(({ kind, name, before, after }) => {
    if (before === undefined) return `+ ${kind} ${name}\n      ${after}`;
    if (after === undefined) return `- ${kind} ${name}\n      ${before}`;
    return `~ ${kind} ${name}\n      ${before}\n   -> ${after}`;
  });
  return lines.map((line) => `${line}\n`).join('');
}
