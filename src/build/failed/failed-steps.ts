import { resolve } from 'node:path';
import { OcibuildError } from '../../errors/error.ts';
import type { Definition } from '../../llb/definition.ts';
import { parseStepName } from '../../llb/step-name.ts';
import { runInFailed, shellOf } from '../../solver/ops/failed-exec.ts';
import type { FailedExec, StepDeps } from '../../solver/ops/types.ts';
import type { EventSink } from '../../solver/types.ts';
import { hasWildcard } from '../../util/go-match.ts';
import type { Engine } from '../engine.ts';
import { isStep } from '../history/find-step.ts';
import type { InternalSteps } from '../internal-steps.ts';
import type { NormalOptions } from '../normalise.ts';
import type { FailedStep } from '../options.ts';
import { dropStep, holdStep, type KeptStep, releaseStep } from './kept-steps.ts';

/** The RUNs of one build that failed. */
export interface FailedSteps {
  /** Takes over what a step has written. */
  readonly keep: (failed: FailedExec) => void;
  /** Does what was asked for should the build fail. Everything else has stopped; the executor still works. */
  settle(error: unknown, deps: StepDeps): Promise<void>;
}

export interface FailedStepsContext {
  readonly options: NormalOptions;
  readonly engine: Engine;
  readonly steps: InternalSteps;
  readonly emit: EventSink;
  readonly signal: AbortSignal;
  /** Id of the build. */
  readonly build: string;
}

export function createFailedSteps(context: FailedStepsContext): FailedSteps {
  const { engine, build, options } = context;
  const all: FailedExec[] = [];
  const keptOf = ({ op, inputs, name, layers, own, error }: FailedExec): KeptStep => ({
    ...{ version: 1, build, name, op, inputs, layers, own },
    message: error instanceof Error ? error.message : String(error),
    secrets: Object.fromEntries(
      Object.entries(options.secrets ?? {}).filter(([, { type }]) => type !== 'value'),
    ),
    ssh: options.ssh ?? {},
    cwd: options.cwd,
  });
  return {
    keep(failed) {
      all.push(failed);
      // Only one of several has a name in the store: should this be killed, the others are for `prune`.
      if (all.length === 1) holdStep(engine, keptOf(failed));
    },
    async settle(error, deps) {
      const reason = all.find((failed) => failed.error === error);
      try {
        if (reason === undefined) return;
        holdStep(engine, keptOf(reason));
        const step = openFailedStep(reason, { ...context, deps });
        await exportFiles(step, context);
        await options.onFailedStep?.(step);
      } catch (failure) {
        const message = failure instanceof Error ? failure.message : String(failure);
        context.emit({ kind: 'warning', time: Date.now(), message });
      } finally {
        for (const failed of all) if (failed !== reason) dropStep(engine, keptOf(failed));
        if (reason !== undefined) releaseStep(engine, keptOf(reason));
        all.length = 0;
      }
    },
  };
}

/** A name that no step has would be noticed only when it is too late. */
export function warnOfUnknownSteps(
  { exportOnFailure = [] }: Pick<NormalOptions, 'exportOnFailure'>,
  { meta }: Definition,
  emit: EventSink,
): void {
  const names = [...meta.values()].map(({ name }) => name);
  const hasStages = names.some((name) => parseStepName(name).stage !== undefined);
  const instead = hasStages
    ? ''
    : ': one stage has no name, so use a number, the beginning of an instruction or *';
  for (const { step } of exportOnFailure) {
    if (names.some((name) => isStep(name, step))) continue;
    const message = `--export-on-failure "${step}" names none of the steps of this build${instead}`;
    emit({ kind: 'warning', time: Date.now(), message });
  }
}

/** What a failed step can be asked for. */
function openFailedStep(
  failed: FailedExec,
  {
    deps,
    signal,
    options,
  }: Pick<FailedStepsContext, 'signal'> & {
    readonly deps: StepDeps;
    readonly options: Pick<NormalOptions, 'cwd'>;
  },
): FailedStep {
  return {
    name: failed.name,
    error: failed.error as OcibuildError,
    shell: shellOf(failed.op),
    cwd: failed.op.cwd,
    async run(args, how = {}) {
      const { code } = await runInFailed(failed, deps, {
        ...{ args, signal, terminal: how.terminal === true },
        ...(how.env === undefined ? {} : { env: how.env }),
        ...(how.onOutput === undefined ? {} : { onOutput: how.onOutput }),
      });
      return code;
    },
    async copyOut(path, dest) {
      const { copyOut } = await import('./copy-out.ts');
      // `resolve` takes the slash away that makes it a directory.
      const target = resolve(options.cwd, dest) + (dest.endsWith('/') ? '/' : '');
      return copyOut({ failed, deps, signal }, path, target);
    },
  };
}

async function exportFiles(step: FailedStep, { options, steps, emit }: FailedStepsContext): Promise<void> {
  for (const { step: wanted, path, dest } of options.exportOnFailure ?? []) {
    if (!isStep(step.name, wanted)) continue;
    const warn = (why: string): void => {
      emit({
        kind: 'warning',
        time: Date.now(),
        message: `Cannot export "${path}" of the failed step: ${why}`,
      });
    };
    try {
      const found = await steps.run(`[internal] exporting ${path} of the failed step to ${dest}`, () =>
        step.copyOut(path, dest),
      );
      if (!found) warn(hasWildcard(path) ? 'nothing matches it' : 'there is no such path');
    } catch (error) {
      warn(error instanceof OcibuildError ? error.message : String(error));
    }
  }
}
