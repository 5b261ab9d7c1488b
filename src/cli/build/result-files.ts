import { rmSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import type { BuildResult } from '../../build/options.ts';
import { isImageOutput } from '../../build/outputs/image-outputs.ts';
import { checkFile, madeDirectories, writeWhole } from '../../build/outputs/writable-places.ts';
import { OcibuildError } from '../../errors/error.ts';
import type { Platform } from '../../image/types.ts';
import type { BuildRequest } from './build-options.ts';

/** One line for each image. */
export function digestLines({ digest, targets = {} }: BuildResult): string {
  if (digest !== undefined) return `${digest}\n`;
  return Object.values(targets).map(digestLines).join('');
}

/**
 * Before a build: its files can be written, and no id of an older build stands in one.
 * @throws USAGE_INVALID, EXPORT_TARGET_INVALID
 */
export function prepareResultFiles(
  { iidFile, metadataFile, options: { outputs = [] } }: BuildRequest,
  cwd: string,
): void {
  if (iidFile !== undefined && outputs.length > 0 && !outputs.some(isImageOutput)) {
    throw new OcibuildError('USAGE_INVALID', 'Cannot use --iidfile: no output is an image that has an id', {
      hint: 'add an output, such as -o type=store',
    });
  }
  const made = madeDirectories(outputs, cwd);
  for (const file of [iidFile, metadataFile]) if (file !== undefined) checkFile(resolve(cwd, file), made);
  if (iidFile !== undefined && isPlainFile(resolve(cwd, iidFile))) rmSync(resolve(cwd, iidFile));
}

/** Where the result goes, and what the metadata tells beside it. */
export interface ResultFiles extends Pick<BuildRequest, 'iidFile' | 'metadataFile'> {
  /** Warnings of the build, as BuildKit has them. */
  readonly told?: readonly object[];
}

/** What `--iidfile` and `--metadata-file` ask for. @throws EXPORT_TARGET_INVALID */
export function writeResultFiles(
  { iidFile, metadataFile, told = [] }: ResultFiles,
  result: BuildResult,
  cwd: string,
): void {
  const ids = Object.values(result.targets ?? { only: result }).flatMap(
    ({ configDigest, digest }) => configDigest ?? digest ?? [],
  );
  if (iidFile !== undefined && ids.length > 0) writeWhole(resolve(cwd, iidFile), ids.join('\n'));
  if (metadataFile !== undefined) {
    const metadata = {
      ...metadataOf(result),
      ...(told.length === 0 ? {} : { 'buildx.build.warnings': told }),
    };
    writeWhole(resolve(cwd, metadataFile), `${JSON.stringify(metadata, undefined, 2)}\n`);
  }
}

/** The keys that buildx writes, as far as they apply; of several targets by target, as bake writes them. */
export function metadataOf(result: BuildResult): Record<string, unknown> {
  if (result.targets !== undefined) {
    return Object.fromEntries(
      Object.entries(result.targets).map(([name, target]) => [name, metadataOf(target)]),
    );
  }
  const { configDigest, descriptor, digest, names, provenance = [] } = result;
  const keyFor = ({ os, architecture, variant }: Platform): string =>
    ['buildx.build.provenance', ...(provenance.length > 1 ? [os, architecture, variant] : [])]
      .filter((part) => part !== undefined)
      .join('/');
  return {
    ...Object.fromEntries(provenance.map(({ platform, predicate }) => [keyFor(platform), predicate])),
    ...(configDigest === undefined ? {} : { 'containerimage.config.digest': configDigest }),
    ...(descriptor === undefined ? {} : { 'containerimage.descriptor': descriptor }),
    ...(digest === undefined ? {} : { 'containerimage.digest': digest }),
    ...(names.length === 0 ? {} : { 'image.name': names.join(',') }),
  };
}

function isPlainFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() === true;
}
