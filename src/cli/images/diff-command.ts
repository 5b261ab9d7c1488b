import type { ImageDiff } from '../../build/images/diff-images.ts';
import { stripControls } from '../../errors/redact.ts';
import { GLOBAL_FLAGS } from '../flags/global-flags.ts';
import { DIFF_FLAGS } from '../flags/image-flags.ts';
import { oneOf } from '../flags/one-of.ts';
import { flagReader, parseArgs } from '../flags/parse-args.ts';
import { takePositional } from '../flags/positional.ts';
import { print } from '../print.ts';
import { storeOf } from '../store-of.ts';
import type { CliContext } from '../types.ts';

/** `ocibuild diff A B`: 0 when they are the same, 1 when they differ, as diff(1) does. */
export async function diffCommand(args: readonly string[], context: CliContext): Promise<number> {
  const parsed = parseArgs(args, [...DIFF_FLAGS, ...GLOBAL_FLAGS]);
  const [before = '', after = ''] = takePositional(parsed, ['A', 'B']);
  const { text } = flagReader(parsed);
  const format = oneOf('--format', text('format') ?? 'text', ['text', 'json']);
  const { diffImages } = await import('../../build/images/diff-images.ts');
  const platform = text('platform');
  const options = { ...context, ...(platform === undefined ? {} : { platform }) };
  const diff = await diffImages(await storeOf(parsed, context), { before, after }, options);
  const shown = format === 'json' ? `${JSON.stringify(diff, undefined, 2)}\n` : textOf(diff);
  await print(shown, context);
  return diff.before.digest === diff.after.digest ? 0 : 1;
}

function textOf(diff: ImageDiff): string {
  const { before, after, config, sameLayers, recompressed, files } = diff;
  if (before.digest === after.digest) return `the images are the same: ${before.digest}\n`;
  const lines = [
    `- ${before.name} ${before.digest}`,
    `+ ${after.name} ${after.digest}`,
    '',
    `layers: ${sameLayers} the same, then ${before.layers - sameLayers} → ${after.layers - sameLayers}`,
    ...recompressed.map(
      (layer) => `  the same content, compressed otherwise: ${layer.before} → ${layer.after}`,
    ),
    ...section(
      'config',
      config.map((change) => `${change.field}: ${change.before} → ${change.after}`),
    ),
    ...section(
      'files',
      files.map(({ kind, path, facts }) => {
        const mark = { added: '+', removed: '-', changed: '~' }[kind];
        return `${mark} /${path}${facts.length === 0 ? '' : `: ${facts.join(', ')}`}`;
      }),
    ),
  ];
  return `${lines.map((line) => stripControls(line)).join('\n')}\n`;
}

function section(title: string, lines: readonly string[]): string[] {
  return lines.length === 0 ? [`${title}: the same`] : [`${title}:`, ...lines.map((line) => `  ${line}`)];
}
