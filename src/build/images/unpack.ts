import { mkdirSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import type { LayerBlob } from '../../cache/types.ts';
import { OcibuildError } from '../../errors/error.ts';
import { exportError } from '../../exporter/export-error.ts';
import type { Descriptor } from '../../image/types.ts';
import { makeDirs } from '../../util/make-dirs.ts';
import { type Engine, openEngine } from '../engine.ts';
import { checkDirectory } from '../outputs/writable-places.ts';
import type { StoreCommandOptions } from './store-commands.ts';
import { findImage, type ImageDetails } from './stored-image.ts';

/**
 * Makes an OCI runtime bundle: `rootfs` from all layers, `config.json` by the image-spec's conversion rules. It
 * shares the host's network, so that `runc run` needs nothing set up. Nothing is left when it fails.
 * @throws IMAGE_NOT_FOUND, EXPORT_TARGET_INVALID, LAYER_INVALID, DISK_FULL
 * @see image-spec conversion.md
 */
export async function unpackImage(
  root: string,
  name: string,
  options: StoreCommandOptions & { readonly bundle: string },
): Promise<ImageDetails & { readonly devicesLeftOut: readonly string[] }> {
  const { bundle, signal } = options;
  await using engine = await openEngine({ root, ...options, access: 'look' });
  const image = findImage(engine, name, options.platform);
  refuseUsed(bundle);
  const [{ applyLayer }, { bundleConfig }] = await Promise.all([
    import('../../layer/unpack-layer.ts'),
    import('../../executor/bundle.ts'),
  ]);
  checkDirectory(bundle);
  const temp = `${bundle}.${process.pid}.tmp`;
  const devices: string[] = [];
  try {
    makeDirs(dirname(bundle));
    mkdirSync(temp, { mode: 0o755 });
    const rootfs = join(temp, 'rootfs');
    mkdirSync(rootfs, { mode: 0o755 });
    for (const blob of await blobsOf(engine, image, signal)) {
      const { digest, size } = blob.descriptor;
      const how = { digest, size, diffId: blob.diffId, dest: rootfs, ignoreDevices: engine.rootless, signal };
      const { tree } = await applyLayer({ path: blob.path }, how);
      if (!engine.rootless) continue;
      devices.push(...tree.filter(({ type }) => type === 'char' || type === 'block').map(({ path }) => path));
    }
    writeFileSync(join(temp, 'config.json'), bundleConfig(image.config, rootfs, engine.rootless));
    rmSync(bundle, { recursive: true, force: true });
    renameSync(temp, bundle);
  } catch (error) {
    rmSync(temp, { recursive: true, force: true });
    throw exportError(error, bundle);
  }
  return { ...image, devicesLeftOut: devices };
}

/** Blobs that are not here yet are fetched, a few at a time, from where the image came from. */
async function blobsOf(
  engine: Engine,
  image: ImageDetails,
  signal: AbortSignal,
): Promise<readonly LayerBlob[]> {
  const { default: PQueue } = await import('p-queue');
  const queue = new PQueue({ concurrency: availableParallelism() });
  return Promise.all(
    image.layers.map(({ diffId }, i) =>
      queue.add(() => {
        engine.layers.addBase({
          diffId,
          descriptor: image.manifest.layers[i] as Descriptor,
          origin: undefined,
        });
        return engine.layers.blob(diffId, { compression: 'gzip' }, signal);
      }),
    ),
  );
}

function refuseUsed(bundle: string): void {
  const stat = statSync(bundle, { throwIfNoEntry: false });
  if (stat === undefined || (stat.isDirectory() && readdirSync(bundle).length === 0)) return;
  throw new OcibuildError(
    'EXPORT_TARGET_INVALID',
    `Cannot unpack to "${bundle}": it exists and is not an empty directory`,
    {
      hint: 'remove it, or name another directory',
    },
  );
}
