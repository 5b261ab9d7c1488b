import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import { OcibuildError } from '../errors/error.ts';
import { defaultRoot } from './default-root.ts';
import { type ImageOptions, readImageOptions } from './image-options.ts';
import type { BuildOptions, Output } from './options.ts';

/** Options with every default filled in; paths are absolute. */
export interface NormalOptions
  extends Omit<
      BuildOptions,
      'context' | 'platform' | 'tags' | 'target' | 'targets' | 'targetTags' | 'annotations'
    >,
    ImageOptions {
  readonly contextDir: string;
  readonly outputs: readonly Output[];
  readonly jobs: number;
  readonly root: string;
  readonly pull: NonNullable<BuildOptions['pull']>;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  /** SOURCE_DATE_EPOCH, seconds. */
  readonly epochSec: number | undefined;
  /** Directories among the named contexts. */
  readonly contextDirs: Readonly<Record<string, string>>;
}

/** Fills in defaults and checks what can be checked without looking at the disk.
 * @throws USAGE_INVALID, REFERENCE_INVALID, PLATFORM_INVALID */
export function normaliseOptions(options: BuildOptions): NormalOptions {
  const env = options.env ?? process.env;
  const cwd = options.cwd ?? process.cwd();
  const outputs = options.outputs ?? [{ type: 'store' as const }];
  const { jobs = availableParallelism(), buildContexts = {} } = options;
  if (!Number.isInteger(jobs) || jobs < 1) {
    throw new OcibuildError(
      'USAGE_INVALID',
      `Cannot run ${jobs} steps at a time: jobs must be a whole number above 0`,
    );
  }
  if (outputs.filter((output) => 'dest' in output && output.dest === '-').length > 1) {
    throw new OcibuildError('USAGE_INVALID', 'Cannot write two outputs to stdout');
  }
  const images = readImageOptions(options, env);
  if (images.targets.length > 1 && outputs.some((output) => 'dest' in output && output.dest === '-')) {
    throw new OcibuildError('USAGE_INVALID', 'Cannot write several targets to stdout', {
      hint: 'write files: with dest=out.tar the target "a" goes to "out-a.tar"',
    });
  }
  return {
    ...options,
    contextDir: resolve(cwd, options.context),
    ...images,
    outputs: outputs.map((output) =>
      'dest' in output && output.dest !== '-' ? { ...output, dest: resolve(cwd, output.dest) } : output,
    ),
    jobs,
    root: resolve(cwd, options.root ?? defaultRoot(env)),
    pull: options.pull ?? 'missing',
    env,
    cwd,
    epochSec: epochOf(options.buildArgs?.SOURCE_DATE_EPOCH ?? env.SOURCE_DATE_EPOCH),
    contextDirs: Object.fromEntries(
      Object.entries(buildContexts).flatMap(([name, value]) => {
        if (/^(oci-layout|docker-image):\/\//.test(value)) return [];
        if (/^[a-z+]+:\/\//i.test(value) || /^git@/.test(value)) {
          throw new OcibuildError(
            'USAGE_UNSUPPORTED',
            `Cannot use the build context "${name}=${value}": this version takes directories, oci-layout:// and docker-image://`,
          );
        }
        return [[name, resolve(cwd, value)]];
      }),
    ),
  };
}

function epochOf(text: string | undefined): number | undefined {
  if (text === undefined || text === '') return undefined;
  if (/^\d{1,12}$/.test(text)) return Number(text);
  throw new OcibuildError(
    'USAGE_INVALID',
    `Cannot use SOURCE_DATE_EPOCH "${text}": it must be a number of seconds since 1970`,
  );
}
