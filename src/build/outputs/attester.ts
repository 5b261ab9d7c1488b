import { makeProvenance } from '../../attest/provenance.ts';
import { digestSet, imagePurl } from '../../attest/purl.ts';
import { makeAttestationManifest, makeStatement } from '../../attest/statement.ts';
import type { ImageFiles, Predicate, SbomSubject, Subject } from '../../attest/types.ts';
import type { ExportAttestation, ExportImage } from '../../exporter/types.ts';
import type { Descriptor, Digest } from '../../image/types.ts';
import { EMPTY_LAYER, type LayerId } from '../../layer/layer-id.ts';
import type { Engine } from '../engine.ts';
import type { PlannedImage } from '../graph.ts';
import type { Output, PlatformProvenance } from '../options.ts';
import { VERSION } from '../version.ts';
import { type AttestOptions, isInline } from './attest-options.ts';
import { type BuildRecord, createFacts, type FactsOf } from './build-facts.ts';
import type { ImageOutput } from './image-outputs.ts';
import { mergedTree } from './merged-tree.ts';

/** An image, and what it was made from. */
export interface AttestedImage {
  readonly planned: PlannedImage;
  /** The target that was asked for; undefined: the last stage. */
  readonly stage: string | undefined;
  /** Layers of the result, base first, `EMPTY_LAYER` for steps that changed nothing. */
  readonly layers: readonly LayerId[];
  /** Layers of a stage or of the context, where an SBOM tells of them as well. */
  readonly layersOf: (root: Digest) => readonly LayerId[];
  /** Normalised names. */
  readonly names: readonly string[];
}

/** Says about the images of one build what was asked for. */
export interface Attester {
  /** The manifest that goes beside an image. */
  manifest(image: AttestedImage, made: ExportImage, output: ImageOutput): Promise<ExportAttestation>;
  /** Files that go beside the files of an image, as JSON texts. */
  files(
    image: AttestedImage,
    subjects: readonly Subject[],
    output: Output,
  ): Promise<readonly { readonly name: string; readonly text: string }[]>;
  /** For the caller, whatever the images carry. */
  provenance(
    image: Pick<AttestedImage, 'planned' | 'stage'>,
    mode: 'min' | 'max',
  ): Promise<PlatformProvenance>;
}

export function createAttester(
  { attest, epochSec }: { readonly attest: AttestOptions; readonly epochSec: number | undefined },
  { engine, record }: { readonly engine: Engine; readonly record: BuildRecord },
): Attester {
  const factsOf: FactsOf = createFacts(record);
  const { signal } = record;
  const filesOf = new Map<string, Promise<ImageFiles>>();

  async function predicates(
    image: AttestedImage,
    made: ExportImage | undefined,
    output: Output,
  ): Promise<Predicate[]> {
    const { sboms, provenance } = attest;
    const found: Predicate[] = [];
    for (const { format, filename } of sboms) {
      found.push({ ...(await sbom(format, image, made)), filename });
      for (const { name, root } of image.planned.front.scans ?? []) {
        const part = { ...image, part: name, layers: image.layersOf(root) };
        // `sbom.spdx.json` → `sbom-base.spdx.json`
        const own = filename.replace(/(?=\.)|$/, `-${name}`);
        found.push({ ...(await sbom(format, part, made)), filename: own });
      }
    }
    if (provenance !== undefined && (!provenance.inlineOnly || isInline(output))) {
      const facts = await factsOf(image, made === undefined ? [] : descriptorsOf(image, made));
      found.push(makeProvenance(facts, provenance));
    }
    return found;
  }

  async function sbom(
    format: 'spdx' | 'cyclonedx',
    { planned, layers, names, part }: AttestedImage & { readonly part?: string },
    made: ExportImage | undefined,
  ): Promise<Predicate> {
    const key = layers.join(' ');
    const reading = filesOf.get(key) ?? readFiles(layers);
    filesOf.set(key, reading);
    const files = await reading;
    const { takeInventory } = await import('../../attest/packages/inventory.ts');
    const created =
      made?.config.created ?? (epochSec === undefined ? planned.front.config.created : undefined);
    const subject: SbomSubject = {
      ...(part === undefined
        ? { isImage: true, name: names[0] ?? made?.manifest.digest ?? 'image' }
        : { isImage: false, name: part }),
      ...(made === undefined || part !== undefined ? {} : { digest: made.manifest.digest }),
      platform: planned.platform,
      // The image's own time: equal images are told of in equal documents.
      createdMs: created === undefined ? (epochSec ?? 0) * 1000 : Date.parse(created) || 0,
      toolVersion: VERSION,
      layerOf: files.layerOf,
    };
    const inventory = takeInventory(files, signal);
    if (format === 'spdx') return (await import('../../attest/spdx.ts')).makeSpdx(inventory, subject);
    return (await import('../../attest/cyclonedx.ts')).makeCycloneDx(inventory, subject);
  }

  async function readFiles(layers: readonly LayerId[]): Promise<ImageFiles> {
    const { imageFiles } = await import('../../attest/packages/image-files.ts');
    const whole = layers.filter((id) => id !== EMPTY_LAYER);
    const diffIds = whole.map((id): Digest | undefined => engine.rows.get(id)?.diffId);
    const merged = await mergedTree(whole, engine, signal);
    return imageFiles({ ...merged, layerOf: (path) => diffIds[merged.layerOf(path)] });
  }

  return {
    async manifest(image, made, output) {
      const subjects = image.names.map((name) => ({
        name: imagePurl(name, image.planned.platform),
        digest: digestSet(made.manifest.digest),
      }));
      const statements = (await predicates(image, made, output)).map((one) => makeStatement(one, subjects));
      const artifact = output.ociArtifact ?? output.ociMediaTypes ?? true;
      return makeAttestationManifest(made.manifest, statements, { artifact });
    },
    async files(image, subjects, output) {
      return (await predicates(image, undefined, output)).map((one) => ({
        name: one.filename,
        text: `${JSON.stringify(makeStatement(one, subjects), undefined, 2)}\n`,
      }));
    },
    async provenance(image, mode) {
      const { builderId = '', reproducible = false } = attest.provenance ?? {};
      const options = { mode, version: 'v1', builderId, reproducible, filename: '' } as const;
      const { predicate } = makeProvenance(await factsOf(image, mode === 'max' ? [] : undefined), options);
      return {
        platform: image.planned.platform,
        predicate: mode === 'max' ? predicate : withoutRun(predicate),
      };
    },
  };
}

/** Which build it was and when says nothing about how. */
function withoutRun(predicate: PlatformProvenance['predicate']): PlatformProvenance['predicate'] {
  const { builder } = predicate.runDetails as { readonly builder: unknown };
  return { ...predicate, runDetails: { builder } };
}

/** Descriptors of the layers, with gaps for steps that changed nothing. */
function descriptorsOf({ layers }: AttestedImage, made: ExportImage): (Descriptor | undefined)[] {
  let next = 0;
  return layers.map((id) => (id === EMPTY_LAYER ? undefined : made.layers[next++]?.descriptor));
}
