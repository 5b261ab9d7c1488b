import { OcibuildError } from '../../errors/error.ts';
import type { ExitStatus, SandboxMount } from '../../executor/types.ts';
import { EMPTY_LAYER, type LayerId } from '../../layer/layer-id.ts';
import { canonicalJson, digestOf } from '../../llb/definition.ts';
import type { ExecMount, ExecOp } from '../../llb/ops.ts';
import type { ExecContext, Ingredient, SolvedInputs, SolverOp } from '../types.ts';
import { layeredSource } from './layered-source.ts';
import { createLogTail } from './log-tail.ts';
import { selectSources } from './select.ts';
import { selectedTree, withDigests } from './selected-digests.ts';
import type { OpDeps } from './types.ts';

/** A RUN step: an overlay of the layers below, one container, and what it wrote as a new layer. */
export function bindExec(op: ExecOp, deps: OpDeps): SolverOp {
  const base = (inputs: SolvedInputs): readonly LayerId[] => inputs[op.rootfs]?.layers ?? [];
  return {
    cacheable: true,
    queue: 'exec',
    cacheMap: () => ({ own: ownIngredients(op), deps: [] }),
    async resultIngredients(inputs, signal): Promise<readonly Ingredient[]> {
      const layers = base(inputs).filter((id) => id !== EMPTY_LAYER);
      const mounts = op.mounts.map((mount) => mountIngredient(mount, { inputs, deps, signal }));
      return [{ name: 'rootfs', value: digestOf(layers) }, ...(await Promise.all(mounts)).flat()];
    },
    base,
    async exec(inputs, context) {
      const { signal } = context;
      const below = base(inputs).filter((id) => id !== EMPTY_LAYER);
      const [executor, lower, mounts] = await Promise.all([
        deps.executor(),
        Promise.all(below.map((id) => deps.layers.snapshot(id, signal))),
        Promise.all(op.mounts.map((mount) => sandboxMount(mount, { inputs, deps, signal }))),
      ]);
      const layer = deps.layers.newMutable(lower);
      try {
        const { upper, work } = layer;
        const tail = createLogTail();
        const status = await executor.run(
          {
            id: deps.newRunId(),
            rootfs: { lower, upper, work },
            args: op.args,
            env: [...deps.proxyEnv, ...op.env],
            cwd: op.cwd,
            user: op.user,
            network: op.network,
            security: op.security,
            mounts,
            hostname: op.hostname ?? 'buildkitsandbox',
            extraHosts: op.extraHosts ?? [],
            ulimits: op.ulimits ?? [],
            ...(op.shmSize === undefined ? {} : { shmSize: op.shmSize }),
          },
          {
            signal,
            onOutput(stream, data) {
              tail.push(data);
              context.log(stream, data);
            },
          },
        );
        if (status.code !== 0) throw runError(op, status, tail.lines(), context);
        return [await layer.commit()];
      } catch (error) {
        await layer.discard();
        throw error;
      }
    },
  };
}

interface MountContext {
  readonly inputs: SolvedInputs;
  readonly deps: OpDeps;
  readonly signal: AbortSignal;
}

/** What a step may read through a mount counts by content, not by how it was made. */
async function mountIngredient(mount: ExecMount, context: MountContext): Promise<readonly Ingredient[]> {
  const { inputs, deps, signal } = context;
  const input = mount.type === 'bind' ? inputs[mount.input] : undefined;
  if (mount.type !== 'bind' || input === undefined) return [];
  const source = await layeredSource(input.layers, deps, signal);
  const selected = selectSources(source.view, [{ path: mount.source, wildcard: false }]);
  const [found] = await withDigests(selected, source, deps, signal);
  if (found === undefined) return [];
  return [{ name: `mount ${mount.target}`, value: deps.treeDigest(selectedTree(found)) }];
}

async function sandboxMount(mount: ExecMount, { inputs, deps, signal }: MountContext): Promise<SandboxMount> {
  switch (mount.type) {
    case 'tmpfs': {
      const { target, size } = mount;
      return { type: 'tmpfs', target, readonly: false, ...(size === undefined ? {} : { size }) };
    }
    case 'bind': {
      const { target, readonly, source } = mount;
      const ids = (inputs[mount.input]?.layers ?? []).filter((id) => id !== EMPTY_LAYER);
      const lower = await Promise.all(ids.map((id) => deps.layers.snapshot(id, signal)));
      return { type: 'overlay', target, readonly, lower, subpath: `/${source}` };
    }
    default:
      throw new OcibuildError('INTERNAL', `Cannot make a mount of type "${mount.type}"`);
  }
}

/** Everything of the op; of extra hosts only the names, since addresses differ between machines. */
function ownIngredients(op: ExecOp): readonly Ingredient[] {
  const { env, extraHosts = [], ...rest } = op;
  const hosts = extraHosts.map((entry) => entry.slice(0, entry.indexOf(':')));
  return [
    { name: 'op', value: canonicalJson({ ...rest, hosts }) },
    ...env.map((entry): Ingredient => {
      const at = entry.indexOf('=');
      return { name: `env ${entry.slice(0, at)}`, value: entry.slice(at + 1) };
    }),
  ];
}

/** A command as a person would type it: shell form loses its `/bin/sh -c`. */
function commandOf(args: readonly string[]): string {
  const [shell, flag, text] = args;
  return args.length === 3 && flag === '-c' && shell?.endsWith('sh') ? (text ?? '') : args.join(' ');
}

function runError(
  op: ExecOp,
  status: ExitStatus,
  logTail: readonly string[],
  { meta }: ExecContext,
): OcibuildError {
  const command = commandOf(op.args);
  const details = { exitCode: status.code, command, step: meta.name, signal: status.signal };
  if (status.oomKilled === true) {
    return new OcibuildError('RUN_SIGNALLED', `Cannot finish RUN ${command}: it was killed, out of memory`, {
      details: { ...details, oomKilled: true },
      logTail,
      hint: 'give the machine or its control group more memory, or run fewer steps at a time with `--jobs 1`',
    });
  }
  if (status.signal !== undefined) {
    return new OcibuildError(
      'RUN_SIGNALLED',
      `Cannot finish RUN ${command}: killed by signal ${status.signal}`,
      {
        details,
        logTail,
      },
    );
  }
  return new OcibuildError('RUN_EXIT_NONZERO', `Cannot finish RUN ${command}: exit code ${status.code}`, {
    details,
    logTail,
    hint: exitHint(status.code),
  });
}

/** What a shell's own exit codes mean. @see POSIX.1-2024 XCU 2.8.2 */
function exitHint(code: number): string {
  if (code === 127) return 'the command was not found: check its name and the PATH of the image';
  if (code === 126) return 'the command cannot be executed: check its mode, its `#!` line and its platform';
  return 'build again with `--progress plain` to see all that the step prints';
}
