import type { OverlayRootfs, ProcessSpec } from '../../executor/types.ts';
import type { ExecOp } from '../../llb/ops.ts';
import type { StepEquipment } from './exec-mounts.ts';
import type { OpDeps } from './types.ts';

/** The process of a RUN in a root, with what the step works with besides it. */
export function stepProcess(
  op: ExecOp,
  { rootfs, equipment }: { readonly rootfs: OverlayRootfs; readonly equipment: StepEquipment },
  deps: Pick<OpDeps, 'newRunId' | 'proxyEnv'>,
): ProcessSpec {
  const { mounts, env, secretEnv, devices } = equipment;
  const { lower, upper, work } = rootfs;
  return {
    id: deps.newRunId(),
    rootfs: { lower, upper, work },
    args: op.args,
    env: [...deps.proxyEnv.host, ...op.env, ...deps.proxyEnv.given, ...env],
    secretEnv,
    ...(devices === undefined ? {} : { devices }),
    cwd: op.cwd,
    user: op.user,
    network: op.network,
    security: op.security,
    mounts,
    hostname: op.hostname ?? 'buildkitsandbox',
    extraHosts: op.extraHosts ?? [],
    ulimits: op.ulimits ?? [],
    ...(op.shmSize === undefined ? {} : { shmSize: op.shmSize }),
  };
}
