import { writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { BuildResult } from '../../build/options.ts';
import { OcibuildError } from '../../errors/error.ts';
import type { Platform } from '../../image/types.ts';
import { errnoOf } from '../../util/atomic-fs.ts';
import type { BuildRequest } from './build-options.ts';

/** One line for each image. */
export function digestLines({ digest, targets = {} }: BuildResult): string {
  if (digest !== undefined) return `${digest}\n`;
  return Object.values(targets).map(digestLines).join('');
}

/** What `--iidfile` and `--metadata-file` ask for. @throws EXPORT_TARGET_INVALID */
export function writeResultFiles(
  { iidFile, metadataFile }: Pick<BuildRequest, 'iidFile' | 'metadataFile'>,
  result: BuildResult,
  cwd: string,
): void {
  const ids = Object.values(result.targets ?? { only: result }).flatMap(
    ({ configDigest, digest }) => configDigest ?? digest ?? [],
  );
  if (iidFile !== undefined && ids.length > 0) writeResultFile(resolve(cwd, iidFile), ids.join('\n'));
  if (metadataFile !== undefined) {
    writeResultFile(resolve(cwd, metadataFile), `${JSON.stringify(metadataOf(result), undefined, 2)}\n`);
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

function writeResultFile(path: string, text: string): void {
  try {
    writeFileSync(path, text);
  } catch (cause) {
    throw new OcibuildError(
      'EXPORT_TARGET_INVALID',
      `Cannot write "${path}": ${errnoOf(cause) ?? 'unknown'}`,
      {
        cause,
      },
    );
  }
}
