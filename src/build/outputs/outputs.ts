import { join, parse } from 'node:path';
import type { ExportOptions, ExportSet, ExportTree } from '../../exporter/types.ts';
import { EMPTY_LAYER } from '../../layer/layer-id.ts';
import { fsPath } from '../../layer/path-bytes.ts';
import { createTreeView } from '../../layer/tree-view.ts';
import type { TargetGraph } from '../graph.ts';
import type { InternalSteps } from '../internal-steps.ts';
import type { Output } from '../options.ts';
import type { BuiltTarget } from '../targets.ts';
import { type ImageContext, makeSet } from './make-set.ts';

export interface OutputContext extends ImageContext {
  readonly steps: InternalSteps;
}

/** Writes every output of every target. What a target gives is the image of the last image output. */
export async function writeOutputs(
  targets: readonly TargetGraph[],
  context: OutputContext,
): Promise<readonly BuiltTarget[]> {
  const built: BuiltTarget[] = [];
  for (const target of targets) {
    const several = targets.length > 1 ? target.target.stage : undefined;
    let set: ExportSet | undefined;
    for (const output of context.options.outputs) {
      set = (await writeOutput(target, placed(output, several), context)) ?? set;
    }
    const { config } = (target.images[0] as TargetGraph['images'][number]).front;
    built.push({ target: target.target, config, ...(set === undefined ? {} : { set }) });
  }
  return built;
}

async function writeOutput(
  target: TargetGraph,
  output: Output,
  context: OutputContext,
): Promise<ExportSet | undefined> {
  switch (output.type) {
    case 'store':
      return toStore(target, output, context);
    case 'oci':
    case 'docker':
      return context.steps.run(stepName(stepOf(output), target, context), async (step) => {
        const { writeImageFile } = await import('./image-files.ts');
        return writeImageFile(target, output, { context, step });
      });
    case 'registry':
      return toRegistry(target, output, context);
    case 'local':
    case 'tar':
      await toFiles(target, output, context);
      return undefined;
    case 'cacheonly':
      return undefined;
  }
}

/** Each of several targets has a place of its own: `out/NAME` in a directory, `out-NAME.tar` beside a file. */
function placed(output: Output, name: string | undefined): Output {
  if (name === undefined || !('dest' in output) || output.dest === undefined) return output;
  if (output.type === 'local' || (output.type === 'oci' && output.tar === false)) {
    return { ...output, dest: join(output.dest, name) };
  }
  const { dir, name: stem, ext } = parse(output.dest);
  return { ...output, dest: join(dir, `${stem}-${name}${ext}`) };
}

function stepOf({ type, ...output }: Output & { type: 'oci' | 'docker' }): string {
  if (type === 'docker' && output.dest === undefined) return 'loading into the daemon';
  return `exporting to ${type} image format`;
}

async function toStore(
  target: TargetGraph,
  output: Output & { type: 'store' },
  context: OutputContext,
): Promise<ExportSet> {
  const { engine } = context;
  return context.steps.run(stepName('exporting to the store', target, context), async (step) => {
    const set = await makeSet(target, output, context);
    step.done('exporting layers');
    keepDocuments(set, engine);
    for (const { manifest } of set.images) step.done(`exporting manifest ${manifest.digest}`);
    if (set.index !== undefined) step.done(`exporting index ${set.top.digest}`);
    for (const { familiar, normal } of target.target.names) {
      // A name that is right already is not written again: index.json unchanged means nothing to look at.
      if (engine.index.resolve(familiar)?.digest !== set.top.digest) engine.index.set(familiar, set.top);
      step.done(`naming to ${normal}`);
    }
    return set;
  });
}

async function toRegistry(
  target: TargetGraph,
  output: Output & { type: 'registry' },
  context: OutputContext,
): Promise<ExportSet> {
  const { engine, signal } = context;
  return context.steps.run(stepName('pushing to the registry', target, context), async (step) => {
    const set = await makeSet(target, output, context);
    step.done('exporting layers');
    keepDocuments(set, engine);
    const { pushEverywhere } = await import('./push.ts');
    const names = target.target.names.map(({ normal }) => normal);
    await pushEverywhere(engine, set.top, {
      ...{ names, signal },
      byDigest: output.byDigest === true,
      onEvent({ descriptor: { digest, size }, current }) {
        step.status(digest, current, size);
      },
      onPushed: (name) => step.done(`pushing ${name}`),
    });
    return set;
  });
}

/** Documents that no name leads to yet; the layers are in the store already. */
function keepDocuments(set: ExportSet, { content }: OutputContext['engine']): void {
  for (const { configBytes, manifestBytes } of set.images) {
    content.putBytes(configBytes);
    content.putBytes(manifestBytes);
  }
  if (set.index !== undefined) content.putBytes(set.index);
}

async function toFiles(
  target: TargetGraph,
  output: Output & { type: 'local' | 'tar' },
  context: OutputContext,
): Promise<void> {
  const what = `exporting to ${output.type === 'tar' ? 'a tar archive' : 'a directory'}`;
  await context.steps.run(stepName(what, target, context), async (step) => {
    const files = await filesOf(target, output, context);
    const how = exportOptions(context, step.status);
    if (output.type === 'local') {
      const { exportLocal } = await import('../../exporter/local.ts');
      await exportLocal(files, output.dest, how);
    } else {
      const { exportTar } = await import('../../exporter/tar.ts');
      await exportTar(files, destOf(context, output.dest), how);
    }
  });
}

function stepName(what: string, { target }: TargetGraph, { options }: OutputContext): string {
  return options.targets.length === 1 ? what : `[${target.stage}] ${what}`;
}

/** The file systems of all platforms, apart or in one. */
async function filesOf(
  { images }: TargetGraph,
  output: Output & { type: 'local' | 'tar' },
  context: OutputContext,
): Promise<ExportTree> {
  const { options } = context;
  const trees = await Promise.all(
    images.map(async ({ platform, front }) => ({ platform, files: await mergedTree(front.target, context) })),
  );
  const [only] = trees;
  const split = output.platformSplit ?? options.indexed;
  if (only !== undefined && trees.length === 1 && !split) return only.files;
  const { joinTrees, splitTrees } = await import('../../exporter/split-trees.ts');
  return split ? splitTrees(trees, options.epochSec) : joinTrees(trees);
}

/** The image's file system as one tree; layers are unpacked as far as they are not. */
async function mergedTree(
  root: Parameters<OutputContext['layersOf']>[0],
  { engine, layersOf, signal }: OutputContext,
): Promise<ExportTree> {
  const { mergeTrees } = await import('../../layer/merge-trees.ts');
  const ids = layersOf(root).filter((id) => id !== EMPTY_LAYER);
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
    names: [],
    ...(options.epochSec === undefined ? {} : { epochSec: options.epochSec }),
    // Files of ids that only the namespace has could not be deleted by the user who asked for them.
    keepOwners: !engine.rootless,
    onProgress,
  };
}

function destOf({ options }: OutputContext, dest: string): { dest: string; stdout?: NodeJS.WritableStream } {
  return { dest, ...(options.stdout === undefined ? {} : { stdout: options.stdout }) };
}
