import type { DiskUsageItem, PrunePolicy } from '../../build/prune/types.ts';
import { OcibuildError } from '../../errors/error.ts';
import { GLOBAL_FLAGS } from '../flags/global-flags.ts';
import { oneOf } from '../flags/one-of.ts';
import { flagReader, parseArgs } from '../flags/parse-args.ts';
import { takePositional } from '../flags/positional.ts';
import { DU_FLAGS, PRUNE_FLAGS } from '../flags/prune-flags.ts';
import type { ParsedArgs } from '../flags/types.ts';
import { storeOf } from '../store-of.ts';
import { sizeOf } from '../table.ts';
import type { CliContext } from '../types.ts';
import { itemBlocks, itemTable } from './du-text.ts';

/** `ocibuild du` */
export async function duCommand(args: readonly string[], context: CliContext): Promise<string> {
  const parsed = parseArgs(args, [...DU_FLAGS, ...GLOBAL_FLAGS]);
  takePositional(parsed, []);
  const { text, list } = flagReader(parsed);
  const format = oneOf('--format', text('format') ?? 'table', ['table', 'json']);
  const { diskUsage } = await import('../../build/prune/prune.ts');
  const usage = await diskUsage({
    ...(await enterStore(parsed, context)),
    filters: list('filter'),
  });
  if (format === 'json') return `${JSON.stringify(usage, undefined, 2)}\n`;
  const totals: [string, number][] = [
    ['Shared with images', usage.sharedBytes],
    ['In use', usage.inUseBytes],
    ['Reclaimable', usage.reclaimableBytes],
    ['Total', usage.totalBytes],
  ];
  return [
    shownItems(usage.items, parsed),
    '\n',
    ...totals.map(([name, bytes]) => `${`${name}:`.padEnd(20)}${sizeOf(bytes)}\n`),
  ].join('');
}

/** `ocibuild prune`: asks on a terminal, as Docker does. */
export async function pruneCommand(args: readonly string[], context: CliContext): Promise<string> {
  const parsed = parseArgs(args, [...PRUNE_FLAGS, ...GLOBAL_FLAGS]);
  takePositional(parsed, []);
  const { bool, text, list } = flagReader(parsed);
  const format = oneOf('--format', text('format') ?? 'table', ['table', 'json']);
  const [{ prune }, { diskSpace, parseSpace }, { parseDuration, parseFilters }, { existsSync }] =
    await Promise.all([
      import('../../build/prune/prune.ts'),
      import('../../build/prune/sizes.ts'),
      import('../../build/prune/filters.ts'),
      import('node:fs'),
    ]);
  const root = await storeOf(parsed, context);
  const diskBytes = existsSync(root) ? diskSpace(root).total : 0;
  const space = (flag: string, value = text(flag)): number | undefined =>
    value === undefined ? undefined : parseSpace(`--${flag}`, value, diskBytes);
  const keep = text('keep-duration');
  const policy: PrunePolicy = {
    ...{ all: bool('all'), filters: list('filter') },
    ...given('keepDurationMs', keep === undefined ? undefined : parseDuration('--keep-duration', keep)),
    ...given('maxUsedSpace', space('max-used-space')),
    ...given('reservedSpace', space('reserved-space') ?? space('keep-storage')),
    ...given('minFreeSpace', space('min-free-space')),
  };
  // What is wrong is not asked about.
  parseFilters(list('filter'), 0);
  const dryRun = bool('dry-run');
  const isAsked = !dryRun && !bool('force');
  if (isAsked) checkTerminal(context);
  // This may start the process anew, so it comes before the question.
  const where = await enterStore(parsed, context);
  if (isAsked && !(await confirm(bool('all'), context))) return 'Nothing was removed\n';
  const result = await prune({ ...where, ...policy, dryRun });
  if (format === 'json') return `${JSON.stringify({ ...result, dryRun }, undefined, 2)}\n`;
  const total = `${dryRun ? 'Would be freed' : 'Freed'}: ${sizeOf(result.freedBytes)}\n`;
  return result.removed.length === 0 ? total : `${shownItems(result.removed, parsed)}\n${total}`;
}

function shownItems(items: readonly DiskUsageItem[], parsed: ParsedArgs): string {
  const show = flagReader(parsed).bool('verbose') ? itemBlocks : itemTable;
  return show(items, Date.now());
}

/** Nobody is there to answer in a script: it says --force. */
function checkTerminal({ stdin, stderr }: CliContext): void {
  if (stdin.isTTY === true && stderr.isTTY === true) return;
  throw new OcibuildError('USAGE_INVALID', 'Cannot ask whether to prune: this is no terminal', {
    hint: 'write --force, or --dry-run to see what would go',
  });
}

async function confirm(all: boolean, context: CliContext): Promise<boolean> {
  const what = all ? 'all of the build cache' : 'the build cache that no image shares';
  context.stderr.write(`This removes ${what}, and what is left of removed images. Images stay.\n`);
  const { ask } = await import('../ask.ts');
  return /^y(?:es)?$/i.test(await ask('Go on? [y/N] ', context));
}

/** The store as a command sees it that has to read or remove files of other owners. */
export async function enterStore(
  parsed: ParsedArgs,
  context: CliContext,
): Promise<{ readonly root: string; readonly env: CliContext['env']; readonly signal: AbortSignal }> {
  const { env, cwd, signal } = context;
  const { enterNamespaceIfNeeded } = await import('../../build/user-namespace.ts');
  await enterNamespaceIfNeeded({ env, cwd }, 'try');
  return { root: await storeOf(parsed, context), env, signal };
}

function given<K extends keyof PrunePolicy>(
  key: K,
  value: PrunePolicy[K],
): { readonly [P in K]?: Exclude<PrunePolicy[K], undefined> } {
  return (value === undefined ? {} : { [key]: value }) as {
    readonly [P in K]?: Exclude<PrunePolicy[K], undefined>;
  };
}
