import { isDeepStrictEqual } from 'node:util';
import { outcomeOf } from '../conformance/outcome.ts';
import type { FlatEntry, FlatImage } from '../support/flatten.ts';
import type { ImageCheck } from './types.ts';

/** What a build on another day changes even with the same tool. */
const OTHER_DAY = [
  // Dates of installation.
  /^\/var\/log\//,
  // Inode numbers and times.
  /^\/var\/cache\/ldconfig\/aux-cache$/,
  // The time of the source file is in the header.
  /\.pyc$/,
  // Times of the package lists.
  /^\/var\/cache\/apt\/(src)?pkgcache\.bin$/,
];

/** Gives a line for each difference between our image and Docker's: config, history, and all that paths have. */
export function compareImages(ours: FlatImage, docker: FlatImage, check: ImageCheck): string[] {
  const explained = Object.values(check.differs ?? {}).map((text) => new RegExp(text));
  const [a, b] = [ours, docker].map((image) => outcomeOf(image, { ...image, diffIds: ['none'] }));
  const differences: string[] = [];
  if (!isDeepStrictEqual(a?.config, b?.config))
    differences.push(`config ${JSON.stringify(a?.config)} instead of ${JSON.stringify(b?.config)}`);
  const [stepsA, stepsB] = [a, b].map((one) => one?.history.map((step) => step.created_by));
  if (!isDeepStrictEqual(stepsA, stepsB))
    differences.push(`history ${JSON.stringify(stepsA)} instead of ${JSON.stringify(stepsB)}`);
  for (const path of new Set([...ours.files.keys(), ...docker.files.keys()])) {
    if (explained.some((one) => one.test(path))) continue;
    const same = OTHER_DAY.some((one) => one.test(path)) ? withoutBytes : (entry: FlatEntry) => entry;
    const [one, other] = [ours.files.get(path), docker.files.get(path)];
    if (!isDeepStrictEqual(one && same(one), other && same(other)))
      differences.push(`${path}: ${JSON.stringify(one)} instead of ${JSON.stringify(other)}`);
  }
  return differences;
}

function withoutBytes({ size: _size, sha256: _sha, text: _text, ...rest }: FlatEntry): FlatEntry {
  return rest;
}
