import { createCacheMounts } from '../../cache/cache-mounts.ts';
import { OcibuildError } from '../../errors/error.ts';
import { runInFailed, shellOf } from '../../solver/ops/failed-exec.ts';
import { isAlive } from '../../util/owner.ts';
import { openEngine } from '../engine.ts';
import { findBuild } from '../history/past-builds.ts';
import { createLazyExecutor } from '../lazy-executor.ts';
import { createStepDeps } from '../op-deps.ts';
import type { RunInStep } from '../options.ts';
import { holdStep, type KeptStep, keptSteps, releaseStep } from './kept-steps.ts';

export interface EnterOptions {
  /** The store. */
  readonly root: string;
  /** Id of a build or the start of one; `latest` is the newest that left a step. */
  readonly build: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly runtime?: string;
  readonly signal: AbortSignal;
}

/** A failed step of a build that is over. */
export interface EnteredStep {
  /** `[build 2/5] RUN make` */
  readonly name: string;
  /** What it failed with. */
  readonly message: string;
  readonly shell: readonly string[];
  readonly cwd: string;
  /** Runs a program as the step ran. @returns its exit code, 128 + n for a signal @throws RUN_START_FAILED */
  run(args: readonly string[], how: RunInStep): Promise<number>;
}

/**
 * Gives the failed step that a build has left, which no later build takes away until `use` has ended.
 * @throws FAILED_STEP_NOT_FOUND, FAILED_STEP_IN_USE
 */
export async function enterFailedStep<T>(
  { root, build, env, runtime, signal }: EnterOptions,
  use: (step: EnteredStep) => Promise<T>,
): Promise<T> {
  const chosen = runtime === undefined ? {} : { runtime };
  await using engine = await openEngine({ root, env, signal, ...chosen });
  const kept = findKept(engine.root.dir, build);
  if (kept.user !== undefined && isAlive(kept.user)) {
    throw new OcibuildError(
      'FAILED_STEP_IN_USE',
      `Cannot enter the failed step of the build "${kept.build}": process ${kept.user.pid} is in it`,
      { details: { build: kept.build, pid: kept.user.pid } },
    );
  }
  holdStep(engine, kept);
  const executor = createLazyExecutor(engine, { env, ...chosen });
  const deps = createStepDeps({
    ...{ engine, signal },
    options: { secrets: kept.secrets, ssh: kept.ssh, cwd: kept.cwd, env, buildArgs: {} },
    executor: executor.get,
    cacheMounts: createCacheMounts(engine.root, engine.db),
    // Nothing is written down of what is printed here.
    onSecret: () => undefined,
  });
  try {
    return await use({
      ...{ name: kept.name, message: kept.message, shell: shellOf(kept.op), cwd: kept.op.cwd },
      async run(args, { terminal = false, ...how }) {
        return (await runInFailed(kept, deps, { args, terminal, signal, ...how })).code;
      },
    });
  } finally {
    await executor.close();
    releaseStep(engine, kept);
  }
}

/** @throws FAILED_STEP_NOT_FOUND, BUILD_NOT_FOUND */
function findKept(root: string, build: string): KeptStep {
  const all = keptSteps(root);
  const found = build === 'latest' ? all[0] : all.find((step) => step.build.startsWith(build));
  if (found !== undefined) return found;
  if (build !== 'latest') findBuild(root, build);
  const [latest] = all;
  throw new OcibuildError(
    'FAILED_STEP_NOT_FOUND',
    build === 'latest'
      ? 'Cannot enter a failed step: the last build left none'
      : `Cannot enter a failed step of the build "${build}": it left none`,
    {
      hint:
        latest === undefined || build === 'latest'
          ? 'the next build clears it away: build again with --debug-shell for a shell where a RUN fails'
          : `the last that left one is ${latest.build}`,
      details: { build },
    },
  );
}
