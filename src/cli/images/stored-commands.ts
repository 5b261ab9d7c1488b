import { resolve } from 'node:path';
import type { StoredImage } from '../../build/images/store-commands.ts';
import { OcibuildError } from '../../errors/error.ts';
import { GLOBAL_FLAGS } from '../flags/global-flags.ts';
import { IMAGES_FLAGS, INSPECT_FLAGS, UNPACK_FLAGS } from '../flags/image-flags.ts';
import { oneOf } from '../flags/one-of.ts';
import { flagReader, parseArgs } from '../flags/parse-args.ts';
import { takePositional } from '../flags/positional.ts';
import type { ParsedArgs } from '../flags/types.ts';
import { storeOf } from '../store-of.ts';
import { sizeOf, table } from '../table.ts';
import type { CliContext } from '../types.ts';

/** `ocibuild images`: a table, JSON, or digests with `-q`. */
export async function imagesCommand(args: readonly string[], context: CliContext): Promise<string> {
  const parsed = parseArgs(args, [...IMAGES_FLAGS, ...GLOBAL_FLAGS]);
  takePositional(parsed, []);
  const { bool, text } = flagReader(parsed);
  const format = oneOf('--format', text('format') ?? 'table', ['table', 'json']);
  const { listImages } = await import('../../build/images/store-commands.ts');
  const images = await listImages(await storeOf(parsed, context), context);
  if (bool('quiet')) {
    return [...new Set(images.map(({ digest }) => `${digest}\n`))].join('');
  }
  if (format === 'json') return `${JSON.stringify(images, undefined, 2)}\n`;
  return tableOf(images, bool('no-trunc'));
}

/** `ocibuild inspect REF`: JSON; with `--raw` the bytes of the manifest, or of the index over several. */
export async function inspectCommand(args: readonly string[], context: CliContext): Promise<string | Buffer> {
  const parsed = parseArgs(args, [...INSPECT_FLAGS, ...GLOBAL_FLAGS]);
  const [name = ''] = takePositional(parsed, ['REF']);
  const { bool } = flagReader(parsed);
  const views = ['raw', 'config', 'layers'].filter(bool);
  if (views.length > 1) {
    throw new OcibuildError('USAGE_INVALID', `Cannot use --${views.join(' and --')} together: choose one`);
  }
  const { inspectImage } = await import('../../build/images/store-commands.ts');
  const image = await inspectImage(await storeOf(parsed, context), name, {
    ...context,
    ...platformOf(parsed),
  });
  const isOne = flagReader(parsed).text('platform') !== undefined;
  if (bool('raw')) return isOne || image.index === undefined ? image.manifestBytes : image.index.bytes;
  const { manifest, config, layers, descriptor, index } = image;
  const shown = bool('config')
    ? config
    : bool('layers')
      ? layers
      : {
          name: image.name,
          ...(index === undefined ? {} : { index: index.descriptor, manifests: manifestsOf(index.bytes) }),
          ...{ descriptor, configDigest: manifest.config.digest, config, layers },
        };
  return `${JSON.stringify(shown, undefined, 2)}\n`;
}

/** `ocibuild unpack REF BUNDLE` */
export async function unpackCommand(args: readonly string[], context: CliContext): Promise<string> {
  const parsed = parseArgs(args, [...UNPACK_FLAGS, ...GLOBAL_FLAGS]);
  const [name = '', bundle = ''] = takePositional(parsed, ['REF', 'BUNDLE']);
  const { env, signal, cwd } = context;
  const { enterNamespaceIfNeeded } = await import('../../build/user-namespace.ts');
  await enterNamespaceIfNeeded({ env, cwd }, 'must');
  const { unpackImage } = await import('../../build/images/unpack.ts');
  const where = { env, signal, bundle: resolve(cwd, bundle), ...platformOf(parsed) };
  const { devicesLeftOut } = await unpackImage(await storeOf(parsed, context), name, where);
  if (devicesLeftOut.length > 0) {
    const list = devicesLeftOut.map((path) => `"/${path}"`).join(', ');
    context.stderr.write(`warning: Cannot make devices without root: ${list} left out\n`);
  }
  return '';
}

function platformOf(parsed: ParsedArgs): { platform?: string } {
  const platform = flagReader(parsed).text('platform');
  return platform === undefined || platform === '' ? {} : { platform };
}

function manifestsOf(index: Buffer): unknown {
  return (JSON.parse(index.toString('utf8')) as { manifests: unknown }).manifests;
}

function tableOf(images: readonly StoredImage[], isWhole: boolean): string {
  return table([
    ['NAME', 'DIGEST', 'PLATFORM', 'CREATED', 'SIZE'],
    ...images.map(({ name, digest, platform, created, sizeBytes }) => [
      name,
      isWhole ? digest : digest.slice(0, 19),
      platform,
      created?.slice(0, 19).replace('T', ' ') ?? '-',
      sizeOf(sizeBytes),
    ]),
  ]);
}
