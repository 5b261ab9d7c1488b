import { OcibuildError } from '../../errors/error.ts';
import { GLOBAL_FLAGS } from '../flags/global-flags.ts';
import { oneOf } from '../flags/one-of.ts';
import { flagReader, parseArgs } from '../flags/parse-args.ts';
import { CACHE_FLAGS } from '../flags/prune-flags.ts';
import type { ParsedArgs } from '../flags/types.ts';
import { print } from '../print.ts';
import { storeOf } from '../store-of.ts';
import { oneLine, sizeOf, table } from '../table.ts';
import type { CliContext } from '../types.ts';
import { agoOf } from './du-text.ts';
import { enterStore } from './prune-command.ts';

const CACHE_ACTIONS = ['ls', 'rm', 'path', 'shell'] as const;
const MAX_ID = 60;

/** `ocibuild cache ls|rm|path|shell [ID…]`: gives the exit code. */
export async function cacheCommand(args: readonly string[], context: CliContext): Promise<number> {
  const parsed = parseArgs(args, [...CACHE_FLAGS, ...GLOBAL_FLAGS]);
  const [word, ...ids] = parsed.positional;
  const action = word === undefined ? 'ls' : oneOf('cache', word, CACHE_ACTIONS);
  const [id = ''] = ids;
  const all = flagReader(parsed).bool('all');
  if (all && action !== 'rm')
    throw new OcibuildError('USAGE_INVALID', `Cannot use --all with "cache ${action}": it is for "cache rm"`);
  const isRight =
    action === 'ls' ? ids.length === 0 : action === 'rm' ? all === (ids.length === 0) : ids.length === 1;
  if (!isRight) {
    const one = 'one ID';
    const expected = { ls: 'no arguments', rm: 'one ID or more, or --all', path: one, shell: one }[action];
    throw new OcibuildError('USAGE_INVALID', `Cannot use "cache ${action}": expected ${expected}`, {
      hint: '`ocibuild cache ls` shows the ids',
    });
  }
  const mounts = await import('../../build/prune/mounts.ts');
  switch (action) {
    case 'ls':
      return print(await list(parsed, context), context);
    case 'rm': {
      const { root } = await enterStore(parsed, context);
      const removed = await mounts.removeCacheMounts(root, all ? 'all' : ids, context);
      return print(removed.map((each) => `${each}\n`).join(''), context);
    }
    case 'path':
      // No file is read, so no namespace is needed.
      return print(`${await mounts.cacheMountPath(await storeOf(parsed, context), id, context)}\n`, context);
    case 'shell': {
      const { root } = await enterStore(parsed, context);
      return mounts.shellInCacheMount(root, id, context);
    }
  }
}

async function list(parsed: ParsedArgs, context: CliContext): Promise<string> {
  const { bool, text } = flagReader(parsed);
  const format = oneOf('--format', text('format') ?? 'table', ['table', 'json']);
  const { root } = await enterStore(parsed, context);
  const { listCacheMounts } = await import('../../build/prune/mounts.ts');
  const found = await listCacheMounts(root, context);
  if (format === 'json') return `${JSON.stringify(found, undefined, 2)}\n`;
  const now = Date.now();
  return table([
    ['ID', 'NAME', 'SIZE', 'LAST USED', 'USERS'],
    ...found.map(({ id, name, bytes, usedMs, users }) => [
      bool('no-trunc') ? id : oneLine(id, MAX_ID),
      name,
      sizeOf(bytes),
      users > 0 ? 'now' : agoOf(now - usedMs),
      String(users),
    ]),
  ]);
}
