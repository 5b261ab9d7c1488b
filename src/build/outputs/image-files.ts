import { createdOf, indexEntries, sortedRecord } from '../../exporter/image-writer.ts';
import type { ExportSet } from '../../exporter/types.ts';
import { ANNOTATION, type Descriptor } from '../../image/types.ts';
import { type ArchiveTargetOptions, archiveTarget } from '../../transfer/archive-target.ts';
import { copyImage } from '../../transfer/copy-image.ts';
import { imageSetSource } from '../../transfer/image-set.ts';
import type { ImageTarget } from '../../transfer/types.ts';
import type { TargetGraph } from '../graph.ts';
import type { InternalStep } from '../internal-steps.ts';
import type { Output } from '../options.ts';
import { makeSet } from './make-set.ts';
import type { OutputContext } from './outputs.ts';

type FileOutput = Output & { type: 'oci' | 'docker' };

/** Writes an image to an archive or a layout directory, or into a daemon. */
export async function writeImageFile(
  graph: TargetGraph,
  output: FileOutput,
  { context, step }: { readonly context: OutputContext; readonly step: InternalStep },
): Promise<ExportSet> {
  const { signal } = context;
  const targetFor = await targetOf(graph, output, context);
  const set = await makeSet(graph, output, context);
  step.done('exporting layers');
  for (const { manifest } of set.images) step.done(`exporting manifest ${manifest.digest}`);
  for (const { manifest } of set.attestations ?? []) step.done(`exporting attestations ${manifest.digest}`);
  if (set.index !== undefined) step.done(`exporting index ${set.top.digest}`);
  const layers = new Set(
    set.images.flatMap((image) => image.layers.map(({ descriptor }) => descriptor.digest)),
  );
  const from = imageSetSource(set);
  const write = targetFor(set);
  await write(set.top, (to) =>
    copyImage(
      set.top,
      { from, to },
      {
        signal,
        onEvent({ descriptor: { digest, size }, current }) {
          if (layers.has(digest)) step.status(digest, current, size);
        },
      },
    ),
  );
  return set;
}

/** A daemon that is not there is found out before anything is packed. */
async function targetOf(
  { target }: TargetGraph,
  output: FileOutput,
  { options, signal }: OutputContext,
): Promise<(set: ExportSet) => ImageTarget> {
  const names = target.names.map(({ normal }) => normal);
  const { epochSec, stdout, env } = options;
  const entriesOf = (set: ExportSet) => (top: Descriptor) =>
    indexEntries(top, names, createdOf(set, epochSec));
  const about = (set: ExportSet): ArchiveTargetOptions => ({
    signal,
    entries: entriesOf(set),
    ...(epochSec === undefined ? {} : { epochSec }),
    ...(output.type === 'docker' ? { docker: { names: target.names.map(({ familiar }) => familiar) } } : {}),
  });
  const { dest } = output;
  if (dest === undefined) {
    const { daemonTarget } = await import('../../transfer/daemon.ts');
    const { daemonOf } = await import('./output-daemon.ts');
    const daemon = await daemonOf(output, env, signal);
    return (set) => daemonTarget(daemon, about(set));
  }
  if (output.type === 'oci' && output.tar === false) {
    const { layoutTarget } = await import('../../transfer/layout-target.ts');
    return (set) => layoutTarget(dest, { ...about(set), entries: (top) => tagged(entriesOf(set)(top)) });
  }
  return (set) => archiveTarget({ dest, ...(stdout === undefined ? {} : { stdout }) }, about(set));
}

/** In a directory that keeps its images, those of builds without a name would pile up, and most readers ask for a
 * tag: as in Docker, the last one is `latest`. */
function tagged(entries: readonly Descriptor[]): Descriptor[] {
  return entries.map((entry) =>
    entry.annotations?.[ANNOTATION.refName] === undefined
      ? { ...entry, annotations: sortedRecord({ ...entry.annotations, [ANNOTATION.refName]: 'latest' }) }
      : entry,
  );
}
