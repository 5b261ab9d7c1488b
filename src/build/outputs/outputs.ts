import { rmSync } from 'node:fs';
import { join, parse } from 'node:path';
import type { ExportOptions, ExportSet, ExportTree } from '../../exporter/types.ts';
import { normalName, parseReference } from '../../image/reference.ts';
import type { PlannedImage, TargetGraph } from '../graph.ts';
import type { InternalSteps } from '../internal-steps.ts';
import type { FileOutput, Output } from '../options.ts';
import type { BuiltTarget } from '../targets.ts';
import { carriesAttestations } from './attest-options.ts';
import { type ImageContext, makeSet } from './make-set.ts';
import { asSeenBy, namesInAll } from './own-options.ts';
import { storeNames } from './store-names.ts';

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
    const written: string[] = [];
    for (const given of context.options.outputs) {
      const own = asSeenBy(given, target, context);
      const output = placed(given, several);
      set = (await writeOutput(own.target, output, own.context)) ?? set;
      if ('dest' in output && output.dest !== undefined && output.dest !== '-') written.push(output.dest);
    }
    const { config } = (target.images[0] as PlannedImage).front;
    const provenance = await provenanceOf(target, context);
    built.push({
      target: { ...target.target, names: namesInAll(context.options.outputs, target.target.names) },
      config,
      written,
      ...(set === undefined ? {} : { set }),
      ...(provenance === undefined ? {} : { provenance }),
    });
  }
  return built;
}

async function provenanceOf(
  { images, target: { stage } }: TargetGraph,
  { options, attester }: OutputContext,
): Promise<BuiltTarget['provenance']> {
  const { resultProvenance: mode } = options;
  if (mode === undefined || attester === undefined) return undefined;
  return Promise.all(images.map((planned) => attester.provenance({ planned, stage }, mode)));
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
    for (const { manifest } of set.attestations ?? []) step.done(`exporting attestations ${manifest.digest}`);
    if (set.index !== undefined) step.done(`exporting index ${set.top.digest}`);
    for (const name of storeNames(target.target.names, set.top.digest, output)) {
      // A name that is right already is not written again: index.json unchanged means nothing to look at.
      if (engine.index.resolve(name)?.digest !== set.top.digest) engine.index.set(name, set.top);
      step.done(`naming to ${normalName(parseReference(name))}`);
    }
    if (output.unpack === true) {
      const { unpackSet } = await import('./unpack-set.ts');
      await unpackSet(set, engine, context.signal);
      step.done('unpacking');
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
      insecure: output.insecure === true,
      env: context.options.env,
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
  for (const { configBytes, manifestBytes } of [...set.images, ...(set.attestations ?? [])]) {
    content.putBytes(configBytes);
    content.putBytes(manifestBytes);
  }
  for (const { layers } of set.attestations ?? []) for (const { bytes } of layers) content.putBytes(bytes);
  if (set.index !== undefined) content.putBytes(set.index);
}

async function toFiles(target: TargetGraph, output: FileOutput, context: OutputContext): Promise<void> {
  const what = `exporting to ${output.type === 'tar' ? 'a tar archive' : 'a directory'}`;
  await context.steps.run(stepName(what, target, context), async (step) => {
    const temps: string[] = [];
    try {
      const files = await filesOf(target, output, { context, temps });
      const how = exportOptions(context, step.status);
      if (output.type === 'local') {
        const { exportLocal } = await import('../../exporter/local.ts');
        await exportLocal(files, output.dest, { ...how, removeOthers: output.mode === 'delete' });
      } else {
        const { exportTar } = await import('../../exporter/tar.ts');
        await exportTar(files, destOf(context, output.dest), how);
      }
    } finally {
      for (const path of temps) rmSync(path, { force: true });
    }
  });
}

function stepName(what: string, { target }: TargetGraph, { options }: OutputContext): string {
  return options.targets.length === 1 ? what : `[${target.stage}] ${what}`;
}

/** The file systems of all platforms, apart or in one. */
async function filesOf(
  { images, target }: TargetGraph,
  output: FileOutput,
  { context, temps }: { readonly context: OutputContext; readonly temps: string[] },
): Promise<ExportTree> {
  const { options, engine, signal, nowMs, layersOf } = context;
  const split = output.platformSplit ?? options.indexed;
  const attester = carriesAttestations(output, options.attest) ? context.attester : undefined;
  const { mergedTree } = await import('./merged-tree.ts');
  const one = async (planned: PlannedImage): Promise<ExportTree> => {
    const layers = layersOf(planned.front.target);
    const files = await mergedTree(layers, engine, signal);
    if (attester === undefined) return files;
    const { withAttestations } = await import('./attestation-files.ts');
    const names = target.names.map(({ normal }) => normal);
    return withAttestations(
      files,
      { planned, layers, names, layersOf, stage: target.stage },
      {
        ...{ attester, output, signal },
        named: !split && images.length > 1,
        mtimeSec: options.epochSec ?? Math.floor(nowMs / 1000),
        tempPath() {
          const path = engine.root.tempPath();
          temps.push(path);
          return path;
        },
      },
    );
  };
  const trees = await Promise.all(
    images.map(async (planned) => ({ platform: planned.platform, files: await one(planned) })),
  );
  const [only] = trees;
  if (only !== undefined && trees.length === 1 && !split) return only.files;
  const { joinTrees, splitTrees } = await import('../../exporter/split-trees.ts');
  return split ? splitTrees(trees, options.epochSec) : joinTrees(trees);
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
