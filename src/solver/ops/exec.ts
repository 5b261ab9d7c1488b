import type { MutableLayer } from '../../cache/types.ts';
import { isOcibuildError } from '../../errors/error.ts';
import { redactCredentials } from '../../errors/redact.ts';
import { EMPTY_LAYER, type LayerId } from '../../layer/layer-id.ts';
import { canonicalJson, digestOf } from '../../llb/definition.ts';
import type { ExecOp } from '../../llb/ops.ts';
import type { Ingredient, SolvedInputs, SolverOp } from '../types.ts';
import { equipStep, mountIngredients } from './exec-mounts.ts';
import { stepProcess } from './exec-spec.ts';
import { createLogTail } from './log-tail.ts';
import { runError } from './run-error.ts';
import type { FailedExec, OpDeps } from './types.ts';

/** A RUN step: an overlay of the layers below, one container, and what it wrote as a new layer. */
export function bindExec(op: ExecOp, deps: OpDeps): SolverOp {
  const base = (inputs: SolvedInputs): readonly LayerId[] => inputs[op.rootfs]?.layers ?? [];
  return {
    cacheable: true,
    queue: 'exec',
    cacheMap: () => ({ own: ownIngredients(op), deps: [] }),
    async resultIngredients(inputs, signal): Promise<readonly Ingredient[]> {
      const layers = base(inputs).filter((id) => id !== EMPTY_LAYER);
      const mounts = await mountIngredients({ op, inputs, deps, signal });
      return [{ name: 'rootfs', value: digestOf(layers) }, ...mounts];
    },
    base,
    async exec(inputs, context) {
      const { signal } = context;
      const below = base(inputs).filter((id) => id !== EMPTY_LAYER);
      const [executor, lower] = await Promise.all([
        deps.executor(),
        Promise.all(below.map((id) => deps.layers.snapshot(id, signal))),
      ]);
      await using equipment = await equipStep(
        { op, inputs, deps, signal },
        context.meta.ignoreCache === true,
      );
      const layer = deps.layers.newMutable(lower);
      try {
        const { upper, work } = layer;
        const tail = createLogTail();
        const status = await executor.run(
          stepProcess(op, { rootfs: { lower, upper, work }, equipment }, deps),
          {
            signal,
            onOutput(stream, data) {
              tail.push(data);
              context.log(stream, data);
            },
          },
        );
        if (status.code !== 0) {
          const lines = tail.lines().map((line) => redactCredentials(line, equipment.secrets));
          const hasFile = (path: string): boolean => deps.isStackedFile(lower, path);
          throw runError(op, { status, logTail: lines, hasFile }, context);
        }
        return [await layer.commit()];
      } catch (error) {
        if (deps.keepFailed !== undefined && isOfTheStep(error)) {
          await keep(error, layer, { op, inputs, name: context.meta.name, below }, deps.keepFailed);
        } else await layer.discard();
        throw error;
      }
    },
  };
}

/** A fault of the program, not of the machine; and one that a full disk has not made: what it wrote would keep the disk
 * full. */
function isOfTheStep(error: unknown): boolean {
  return (
    isOcibuildError(error) &&
    ['RUN_EXIT_NONZERO', 'RUN_SIGNALLED', 'RUN_START_FAILED'].includes(error.code) &&
    error.details.diskFull !== true
  );
}

async function keep(
  error: unknown,
  layer: MutableLayer,
  step: Pick<FailedExec, 'op' | 'inputs' | 'name'> & { readonly below: readonly LayerId[] },
  keepFailed: NonNullable<OpDeps['keepFailed']>,
): Promise<void> {
  try {
    const own = await layer.commit();
    const { below, ...rest } = step;
    keepFailed({ ...rest, layers: own === EMPTY_LAYER ? below : [...below, own], own, error });
  } catch {
    // The step's own error is the one to tell.
    await layer.discard();
  }
}

/** Everything of the op; of extra hosts only the names, since addresses differ between machines. */
function ownIngredients(op: ExecOp): readonly Ingredient[] {
  const { env, extraHosts = [], ...rest } = op;
  const hosts = extraHosts.map((entry) => entry.slice(0, entry.indexOf(':')));
  // What a cache is called and how it is shared makes no difference to what the step does; who may write to it does.
  const mounts = op.mounts.map((mount) => {
    if (mount.type !== 'cache') return mount;
    const { type, target, readonly, owner, mode } = mount;
    return { type, target, readonly, owner, mode };
  });
  return [
    { name: 'op', value: canonicalJson({ ...rest, mounts, hosts }) },
    ...env.map((entry): Ingredient => {
      const at = entry.indexOf('=');
      return { name: `env ${entry.slice(0, at)}`, value: entry.slice(at + 1) };
    }),
  ];
}
