import type { TransferOptions } from '../../build/images/image-commands.ts';
import { OcibuildError } from '../../errors/error.ts';
import type { TransferPrinterOptions } from '../../ui/transfer.ts';
import { GLOBAL_FLAGS } from '../flags/global-flags.ts';
import { COPY_FLAGS, HISTORY_FLAGS, PULL_FLAGS, PUSH_FLAGS, RMI_FLAGS } from '../flags/image-flags.ts';
import { oneOf } from '../flags/one-of.ts';
import { flagReader, parseArgs } from '../flags/parse-args.ts';
import { takePositional } from '../flags/positional.ts';
import type { ParsedArgs } from '../flags/types.ts';
import { storeOf } from '../store-of.ts';
import { oneLine, sizeOf, table } from '../table.ts';
import type { CliContext } from '../types.ts';

/** `ocibuild push REF [DEST]`: gives the digest. */
export async function pushCommand(args: readonly string[], context: CliContext): Promise<string> {
  const parsed = parseArgs(args, [...PUSH_FLAGS, ...GLOBAL_FLAGS]);
  const [name = '', to] = takePositional(parsed, ['REF'], 1);
  const { pushImage } = await import('../../build/images/image-commands.ts');
  const root = await storeOf(parsed, context);
  const shown = { words: { running: 'Pushing', done: 'Pushed' }, name: to ?? name };
  return transfer({ parsed, shown }, context, (options) =>
    pushImage(root, { name, ...(to === undefined ? {} : { to }) }, options),
  );
}

/** `ocibuild pull REF`: gives the digest. */
export async function pullCommand(args: readonly string[], context: CliContext): Promise<string> {
  const parsed = parseArgs(args, [...PULL_FLAGS, ...GLOBAL_FLAGS]);
  const [name = ''] = takePositional(parsed, ['REF']);
  const { bool, text } = flagReader(parsed);
  const allPlatforms = bool('all-platforms');
  if (allPlatforms) refusePlatform(text('platform'));
  const { pullImage } = await import('../../build/images/image-commands.ts');
  const root = await storeOf(parsed, context);
  const shown = { words: { running: 'Pulling', done: 'Pulled' }, name };
  return transfer({ parsed, shown }, context, (options) =>
    pullImage(root, name, { ...options, allPlatforms }),
  );
}

function refusePlatform(platform: string | undefined): void {
  if (platform === undefined) return;
  throw new OcibuildError('USAGE_INVALID', 'Cannot use --all-platforms together with --platform');
}

async function transfer(
  {
    parsed,
    shown,
  }: { readonly parsed: ParsedArgs; readonly shown: Pick<TransferPrinterOptions, 'words' | 'name'> },
  { env, signal, stderr }: CliContext,
  run: (options: TransferOptions) => Promise<{ digest: string }>,
): Promise<string> {
  const { bool, text } = flagReader(parsed);
  const platform = text('platform');
  const { openTransferPrinter } = await import('../../ui/transfer.ts');
  const printer = bool('quiet') ? undefined : await openTransferPrinter({ ...shown, env, stream: stderr });
  try {
    const { digest } = await run({
      env,
      signal,
      ...(platform === undefined ? {} : { platform }),
      ...(printer === undefined ? {} : { onEvent: printer.event }),
    });
    await printer?.finish();
    return `${digest}\n`;
  } catch (error) {
    await printer?.finish(error);
    throw error;
  }
}

/** `ocibuild copy SRC DST`: gives the digest. */
export async function copyCommand(args: readonly string[], context: CliContext): Promise<string> {
  const parsed = parseArgs(args, [...COPY_FLAGS, ...GLOBAL_FLAGS]);
  const [from = '', to = ''] = takePositional(parsed, ['SRC', 'DST']);
  const { bool, text } = flagReader(parsed);
  if (bool('all-platforms')) refusePlatform(text('platform'));
  const asked = text('format');
  const format = asked === undefined ? undefined : oneOf('--format', asked, ['oci', 'docker']);
  const { cwd, stdout } = context;
  const toStdout = /^(?:oci|docker)-archive:-(?::|$)/.test(to);
  if (toStdout && stdout.isTTY) {
    throw new OcibuildError('USAGE_INVALID', 'Cannot write an archive to a terminal', {
      hint: 'redirect stdout, or name a file',
    });
  }
  const { copyBetween } = await import('../../build/images/copy-between.ts');
  const root = await storeOf(parsed, context);
  const shown = { words: { running: 'Copying', done: 'Copied' }, name: `${from} to ${to}` };
  const digest = await transfer({ parsed, shown }, context, (options) =>
    copyBetween(root, { from, to }, { ...options, cwd, stdout, ...(format === undefined ? {} : { format }) }),
  );
  return toStdout ? '' : digest;
}

/** `ocibuild tag REF NAME` */
export async function tagCommand(args: readonly string[], context: CliContext): Promise<string> {
  const parsed = parseArgs(args, GLOBAL_FLAGS);
  const [name = '', as = ''] = takePositional(parsed, ['REF', 'NAME']);
  const { tagImage } = await import('../../build/images/image-commands.ts');
  await tagImage(await storeOf(parsed, context), { name, as }, context);
  return '';
}

/** `ocibuild rmi REF…` */
export async function rmiCommand(args: readonly string[], context: CliContext): Promise<string> {
  const parsed = parseArgs(args, [...RMI_FLAGS, ...GLOBAL_FLAGS]);
  const names = takePositional(parsed, ['REF'], Number.POSITIVE_INFINITY);
  const { untagImages } = await import('../../build/images/image-commands.ts');
  const force = flagReader(parsed).bool('force');
  await untagImages(await storeOf(parsed, context), names, { ...context, force });
  return '';
}

const MAX_TEXT = 60;

/** `ocibuild history REF`: newest first. */
export async function historyCommand(args: readonly string[], context: CliContext): Promise<string> {
  const parsed = parseArgs(args, [...HISTORY_FLAGS, ...GLOBAL_FLAGS]);
  if (parsed.positional.length === 0)
    return (await import('../store/builds-command.ts')).buildsTable(parsed, context);
  const [name = ''] = takePositional(parsed, ['REF']);
  const { bool, text } = flagReader(parsed);
  const format = oneOf('--format', text('format') ?? 'table', ['table', 'json']);
  const { imageHistory } = await import('../../build/images/image-commands.ts');
  const lines = await imageHistory(await storeOf(parsed, context), name, context);
  if (format === 'json') return `${JSON.stringify(lines, undefined, 2)}\n`;
  const rows = lines.map(({ created, created_by: by = '', comment = '', sizeBytes }) => [
    created?.slice(0, 19).replace('T', ' ') ?? '-',
    sizeOf(sizeBytes),
    bool('no-trunc') ? by : oneLine(by, MAX_TEXT),
    comment,
  ]);
  return table([['CREATED', 'SIZE', 'CREATED BY', 'COMMENT'], ...rows]);
}
