import type { ExitStatus } from '../../executor/types.ts';
import type { ExecOp } from '../../llb/ops.ts';
import { equipStep } from './exec-mounts.ts';
import { stepProcess } from './exec-spec.ts';
import type { FailedExec, StepDeps } from './types.ts';

/** How a program is run in the file system of a failed step. */
export interface InFailedOptions {
  readonly args: readonly string[];
  /** `K=V`, after those of the step. */
  readonly env?: readonly string[];
  /** The terminal of this process is the program's; else what it prints goes to `onOutput`. */
  readonly terminal: boolean;
  readonly signal: AbortSignal;
  onOutput?(stream: 'stdout' | 'stderr', data: Uint8Array): void | Promise<void>;
}

const AS_THE_STEP = {
  readonlyRoot: false,
  annotations: {},
  addCapabilities: [],
  dropCapabilities: [],
  limits: {},
} as const;

/**
 * Runs a program where a RUN failed: its mounts, environment, directory, user and network. What the program changes in
 * the root is dropped afterwards, for an upper directory of overlay must not be one a second time.
 */
export async function runInFailed(
  failed: Pick<FailedExec, 'op' | 'inputs' | 'layers'>,
  deps: StepDeps,
  { args, env = [], terminal, signal, onOutput }: InFailedOptions,
): Promise<ExitStatus> {
  const { inputs, layers } = failed;
  const [executor, lower] = await Promise.all([
    deps.executor(),
    Promise.all(layers.map((id) => deps.layers.snapshot(id, signal))),
  ]);
  const op: ExecOp = { ...failed.op, args, env: [...failed.op.env, ...env] };
  await using equipment = await equipStep({ op, inputs, deps, signal }, false);
  const layer = deps.layers.newMutable(lower);
  try {
    const { upper, work } = layer;
    const process = stepProcess(op, { rootfs: { lower, upper, work }, equipment }, deps);
    const joined = { ...AS_THE_STEP, terminal: 'inherit', stdin: 'inherit' } as const;
    return await executor.run(terminal ? { ...process, container: joined } : process, {
      signal,
      onOutput: (stream, data) => onOutput?.(stream, data),
    });
  } finally {
    await layer.discard();
  }
}

/** The shell that a RUN was written for: that of `SHELL`, without its options; `/bin/sh` where it was written as JSON. */
export function shellOf({ args }: Pick<ExecOp, 'args'>): readonly string[] {
  const isShellForm = args.length > 2 && /^-\w*c$/.test(args.at(-2) ?? '');
  const first = args.findIndex((word) => word.startsWith('-'));
  const shell = args.slice(0, first);
  return isShellForm && shell.at(-1)?.endsWith('sh') === true ? shell : ['/bin/sh'];
}
