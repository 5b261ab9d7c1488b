import { realpathSync } from 'node:fs';
import { homedir } from 'node:os';
import { resolve } from 'node:path';
import { OcibuildError } from '../../errors/error.ts';
import type { TargetGraph } from '../graph.ts';
import type { Output } from '../options.ts';
import { parseAnnotations } from './annotations.ts';
import { type ImageName, readName } from './image-name.ts';
import { isImageOutput } from './image-outputs.ts';
import type { ImageContext } from './make-set.ts';

/** A target and what is known for it, as one output sees them: what the output says itself goes first. */
export function asSeenBy<C extends ImageContext>(
  output: Output,
  target: TargetGraph,
  context: C,
): { readonly target: TargetGraph; readonly context: C } {
  const { options } = context;
  const isImage = isImageOutput(output);
  const names = isImage ? output.names : undefined;
  const annotations = isImage ? output.annotations : undefined;
  const epochSec = output.type === 'cacheonly' ? undefined : output.sourceDateEpoch;
  return {
    target:
      names === undefined ? target : { ...target, target: { ...target.target, names: names.map(readName) } },
    context: {
      ...context,
      options: {
        ...options,
        ...(annotations === undefined
          ? {}
          : { annotations: [...options.annotations, ...parseAnnotations(annotations)] }),
        ...(epochSec === undefined ? {} : { epochSec }),
      },
    },
  };
}

/** All names that a target gets, each once. */
export function namesInAll(outputs: readonly Output[], names: readonly ImageName[]): readonly ImageName[] {
  const images = outputs.filter(isImageOutput);
  const all = images.flatMap((output) => output.names?.map(readName) ?? names);
  const found = images.length === 0 ? names : all;
  return [...new Map(found.map((name) => [name.normal, name])).values()];
}

/**
 * Refuses outputs that would overwrite one another, or remove what is none.
 * @throws USAGE_INVALID
 */
export function checkPlaces(
  outputs: readonly Output[],
  { cwd, kept }: { readonly cwd: string; readonly kept: readonly string[] },
): void {
  const seen = new Map<string, Output>();
  for (const output of outputs) {
    if (!('dest' in output) || output.dest === undefined) continue;
    const { dest, type } = output;
    const place = dest === '-' ? dest : resolve(cwd, dest);
    if (output.type === 'local' && output.mode === 'delete') checkRemoval(place, kept);
    const other = seen.get(place);
    seen.set(place, output);
    // A layout keeps what is in it.
    if (other === undefined || (isLayout(output) && isLayout(other))) continue;
    throw new OcibuildError(
      'USAGE_INVALID',
      dest === '-'
        ? 'Cannot write two outputs to stdout'
        : `Cannot write outputs "${other.type}" and "${type}" to one place: "${dest}"`,
      { hint: 'give each a dest of its own' },
    );
  }
}

/** A slip of the pen must not cost more than a result. */
function checkRemoval(dest: string, kept: readonly string[]): void {
  const real = realPath(dest);
  const lost = [homedir(), ...kept].find((path) =>
    `${realPath(path)}/`.startsWith(real === '/' ? '/' : `${real}/`),
  );
  if (lost === undefined) return;
  throw new OcibuildError(
    'USAGE_INVALID',
    `Cannot export to "${dest}" with mode=delete: "${lost}" is in it and would be removed`,
    { hint: 'name a directory that holds nothing but results' },
  );
}

function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}

function isLayout(output: Output): boolean {
  return output.type === 'oci' && output.tar === false;
}
