import type { BlobOptions } from '../cache/types.ts';
import type { ExportImage, ExportOptions, ExportTree } from '../exporter/types.ts';
import type { FrontendResult } from '../frontend/types.ts';
import { EMPTY_LAYER, type LayerId } from '../layer/layer-id.ts';
import { fsPath } from '../layer/path-bytes.ts';
import { createTreeView } from '../layer/tree-view.ts';
import { assembleResult } from './assemble.ts';
import type { Engine } from './engine.ts';
import type { InternalSteps } from './internal-steps.ts';
import type { NormalOptions } from './normalise.ts';
import type { Output } from './options.ts';

export interface OutputContext {
  readonly options: NormalOptions;
  readonly engine: Engine;
  readonly front: FrontendResult;
  readonly layers: readonly LayerId[];
  readonly steps: InternalSteps;
  readonly signal: AbortSignal;
  readonly nowMs: number;
}

/** Outputs that are images; the others are file systems or nothing. */
export function isImageOutput(output: Output): boolean {
  return output.type === 'store' || output.type === 'oci';
}

/** How an image output wants its layers. */
export function blobOptions(output: Output): BlobOptions {
  if (output.type !== 'oci') return { compression: 'gzip' };
  const { compression = 'gzip', compressionLevel: level, forceCompression: force } = output;
  return { compression, ...(level === undefined ? {} : { level }), ...(force === true ? { force } : {}) };
}

/** Writes every output. Gives the image of the last image output. */
export async function writeOutputs(context: OutputContext): Promise<ExportImage | undefined> {
  let image: ExportImage | undefined;
  for (const output of context.options.outputs) {
    if (output.type === 'store') image = await toStore(context);
    else if (output.type === 'oci') image = await toOci(context, output);
    else if (output.type === 'local' || output.type === 'tar') await toFiles(context, output);
  }
  return image;
}

async function toStore(context: OutputContext): Promise<ExportImage> {
  const { engine, options } = context;
  return context.steps.run('exporting to the store', async (step) => {
    const image = await makeImage(context, { type: 'store' });
    engine.content.putBytes(image.configBytes);
    engine.content.putBytes(image.manifestBytes);
    step.done('exporting layers');
    step.done(`exporting manifest ${image.manifest.digest}`);
    for (const { familiar, normal } of options.names) {
      // A name that is right already is not written again: index.json unchanged means nothing to look at.
      if (engine.index.resolve(familiar)?.digest !== image.manifest.digest) {
        engine.index.set(familiar, image.manifest);
      }
      step.done(`naming to ${normal}`);
    }
    return image;
  });
}

async function toOci(context: OutputContext, output: Output & { type: 'oci' }): Promise<ExportImage> {
  const { exportOciArchive, exportOciLayout } = await import('../exporter/oci.ts');
  return context.steps.run('exporting to oci image format', async (step) => {
    const image = await makeImage(context, output);
    step.done('exporting layers');
    step.done(`exporting manifest ${image.manifest.digest}`);
    const how = exportOptions(context, step.status);
    if (output.tar === false) await exportOciLayout(image, output.dest, how);
    else await exportOciArchive(image, targetOf(context, output.dest), how);
    return image;
  });
}

async function toFiles(context: OutputContext, output: Output & { type: 'local' | 'tar' }): Promise<void> {
  await context.steps.run(
    `exporting to ${output.type === 'tar' ? 'a tar archive' : 'a directory'}`,
    async (step) => {
      const tree = await mergedTree(context);
      const how = exportOptions(context, step.status);
      if (output.type === 'local') {
        const { exportLocal } = await import('../exporter/local.ts');
        await exportLocal(tree, output.dest, how);
      } else {
        const { exportTar } = await import('../exporter/tar.ts');
        await exportTar(tree, targetOf(context, output.dest), how);
      }
    },
  );
}

async function makeImage(context: OutputContext, output: Output): Promise<ExportImage> {
  const { engine, front, layers, options, signal, nowMs } = context;
  const how = blobOptions(output);
  const packed = layers.filter((id) => id !== EMPTY_LAYER);
  const blobs = await Promise.all(packed.map((id) => engine.layers.blob(id, how, signal)));
  return assembleResult(front, {
    layers,
    blobs,
    rows: engine.rows,
    epochSec: options.epochSec,
    nowMs,
    annotations: options.annotations,
  });
}

/** The image's file system as one tree; layers are unpacked as far as they are not. */
async function mergedTree({ engine, layers, signal }: OutputContext): Promise<ExportTree> {
  const { mergeTrees } = await import('../layer/merge-trees.ts');
  const ids = layers.filter((id) => id !== EMPTY_LAYER);
  const snapshots = await Promise.all(ids.map((id) => engine.layers.snapshot(id, signal)));
  const trees = await Promise.all(ids.map((id) => engine.layers.tree(id, signal)));
  const view = createTreeView(trees);
  return {
    tree: mergeTrees(trees),
    content: (path) => fsPath(`${snapshots[view.layerOf(path)]}/${view.inodePath(path)}`),
  };
}

function exportOptions(
  context: OutputContext,
  onProgress: NonNullable<ExportOptions['onProgress']>,
): ExportOptions {
  const { engine, options, signal } = context;
  return {
    signal,
    names: options.names.map(({ normal }) => normal),
    ...(options.epochSec === undefined ? {} : { epochSec: options.epochSec }),
    // Files of ids that only the namespace has could not be deleted by the user who asked for them.
    keepOwners: !engine.rootless,
    onProgress,
  };
}

function targetOf(
  { options }: OutputContext,
  dest: string,
): { dest: string; stdout?: NodeJS.WritableStream } {
  return { dest, ...(options.stdout === undefined ? {} : { stdout: options.stdout }) };
}
