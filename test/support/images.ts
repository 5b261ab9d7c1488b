import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Descriptor } from '../../src/image/types.ts';
import { type FlatImage, flattenLayout } from './flatten.ts';
import { validateImage } from './validate-image.ts';

export interface CheckedImage extends FlatImage {
  readonly layers: readonly Descriptor[];
}

/** Reads a layout directory; throws where the image breaks the image-spec. */
export async function checkedLayout(dir: string, tag?: string): Promise<CheckedImage> {
  const problems = await validateImage(dir, tag, { signal: AbortSignal.timeout(100_000) });
  if (problems.length > 0) throw new Error(`Image in "${dir}" is not right: ${JSON.stringify(problems)}`);
  const flat = await flattenLayout(dir, tag === undefined ? {} : { tag });
  const manifest = JSON.parse(
    readFileSync(join(dir, 'blobs', ...flat.manifestDigest.split(':')), 'utf8'),
  ) as Pick<CheckedImage, 'layers'>;
  return { ...flat, layers: manifest.layers };
}

/** The same for an OCI archive: a file, or its bytes. */
export async function checkedArchive(archive: string | Buffer): Promise<CheckedImage> {
  const dir = mkdtempSync(join(tmpdir(), 'ocibuild-archive-'));
  try {
    const file = typeof archive === 'string' ? archive : join(dir, 'archive.tar');
    if (typeof archive !== 'string') writeFileSync(file, archive);
    const layout = join(dir, 'layout');
    mkdirSync(layout);
    execFileSync('tar', ['-xf', file, '-C', layout]);
    return await checkedLayout(layout);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** A flattened file system that two builds can be compared by. */
export function filesOf(image: Pick<FlatImage, 'files'>): Record<string, unknown> {
  return Object.fromEntries(image.files);
}
