import { setPriority } from 'node:os';
import { readGcOptions } from './auto-gc.ts';
import { defaultPolicies } from './policy.ts';
import { prune } from './prune.ts';
import { diskSpace } from './sizes.ts';
import type { GcOptions } from './types.ts';

/** Builds come first. */
const NICE = 10;

const [root = '', given = '{}'] = process.argv.slice(2);
const disk = diskSpace(root);
const options = readGcOptions(JSON.parse(given) as GcOptions, process.env, disk.total);
if (options !== undefined) {
  setPriority(NICE);
  await prune({ root, policies: defaultPolicies(disk, options) });
}
