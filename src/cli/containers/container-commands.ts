import type { Container } from '../../build/containers/types.ts';
import { isOcibuildError, OcibuildError } from '../../errors/error.ts';
import {
  EXEC_FLAGS,
  KILL_FLAGS,
  LOGS_FLAGS,
  PS_FLAGS,
  RM_FLAGS,
  STOP_FLAGS,
} from '../flags/container-flags.ts';
import { GLOBAL_FLAGS } from '../flags/global-flags.ts';
import { oneOf } from '../flags/one-of.ts';
import { flagReader, parseArgs } from '../flags/parse-args.ts';
import { takePositional } from '../flags/positional.ts';
import type { ParsedArgs } from '../flags/types.ts';
import { storeOf } from '../store-of.ts';
import { oneLine, table } from '../table.ts';
import type { CliContext } from '../types.ts';
import { readEnv, readWorkdir } from './container-options.ts';
import { readNumber } from './limit-flags.ts';
import { openOutput } from './output.ts';
import { orExitCode } from './run-command.ts';

const MAX_COMMAND = 30;

/** `ocibuild ps`: a table, ids with `-q`, or JSON. */
export async function psCommand(args: readonly string[], context: CliContext): Promise<string> {
  const parsed = parseArgs(args, [...PS_FLAGS, ...GLOBAL_FLAGS]);
  takePositional(parsed, []);
  const { bool, text } = flagReader(parsed);
  const format = oneOf('--format', text('format') ?? 'table', ['table', 'json']);
  const root = await openContainers(parsed, context);
  const { listContainers } = await import('../../build/containers/records.ts');
  const shown = listContainers(root)
    .filter(({ state }) => bool('all') || state.status !== 'stopped')
    .reverse();
  if (bool('quiet')) return shown.map(({ plan }) => `${plan.id}\n`).join('');
  if (format === 'json') return `${JSON.stringify(shown.map(jsonOf), undefined, 2)}\n`;
  return tableOf(shown, bool('no-trunc'));
}

/** Forgets nothing that is running, and ends what dead monitors left. */
async function openContainers(parsed: ParsedArgs, context: CliContext): Promise<string> {
  const root = await storeOf(parsed, context);
  const { sweepDeadContainers } = await import('../../build/containers/sweep.ts');
  await sweepDeadContainers(root);
  return root;
}

function jsonOf({ plan, state }: Container): Record<string, unknown> {
  const { id, name, image, created, args, labels } = plan;
  const { reach, monitor, ports = [], ...rest } = state;
  return {
    ...{
      id,
      name,
      image: image.name,
      imageDigest: image.digest,
      command: args,
      created,
      labels,
      ports,
      ...rest,
    },
    ...(reach === undefined ? {} : { pid: reach.pid }),
    ...(monitor === undefined || state.status === 'stopped' ? {} : { monitorPid: monitor.pid }),
  };
}

function tableOf(containers: readonly Container[], isWhole: boolean): string {
  return table([
    ['ID', 'NAME', 'IMAGE', 'COMMAND', 'STATE', 'CREATED', 'PORTS'],
    ...containers.map(({ plan, state }) => {
      const command = plan.args.join(' ');
      const short = isWhole ? command : oneLine(command, MAX_COMMAND);
      const why = state.oomKilled === true ? ', out of memory' : '';
      const code = state.status === 'stopped' ? ` (${state.exitCode ?? '?'}${why})` : '';
      const created = plan.created.slice(0, 19).replace('T', ' ');
      return [plan.id, plan.name, plan.image.name, short, `${state.status}${code}`, created, portsOf(state)];
    }),
  ]);
}

function portsOf({ status, ports = [] }: Container['state']): string {
  if (status !== 'running') return '';
  return ports
    .map(({ hostIp = '', hostPort, containerPort, protocol }) => {
      const host = hostIp.includes(':') ? `[${hostIp}]` : hostIp;
      return `${host === '' ? '' : `${host}:`}${hostPort}->${containerPort}/${protocol}`;
    })
    .join(', ');
}

/** `ocibuild exec CONTAINER CMD…`: gives the exit code of the command. */
export async function execCommand(args: readonly string[], context: CliContext): Promise<number> {
  const parsed = parseArgs(args, [...EXEC_FLAGS, ...GLOBAL_FLAGS], 1);
  const [wanted, ...words] = parsed.positional;
  if (wanted === undefined || words.length === 0) {
    throw new OcibuildError('USAGE_INVALID', 'Cannot use "exec": expected CONTAINER and a command');
  }
  const { bool, text } = flagReader(parsed);
  const [interactive, tty, detach] = [bool('interactive'), bool('tty'), bool('detach')];
  if (tty && (context.stdout.isTTY !== true || (interactive && context.stdin.isTTY !== true))) {
    throw new OcibuildError('USAGE_INVALID', 'Cannot use -t: this is no terminal', { hint: 'leave -t out' });
  }
  const [cwd, user] = [readWorkdir(text('workdir')), text('user')];
  const root = await openContainers(parsed, context);
  const [{ findContainer }, { execInContainer }] = await Promise.all([
    import('../../build/containers/records.ts'),
    import('../../build/containers/exec.ts'),
  ]);
  const request = {
    ...{ args: words, env: readEnv(parsed, context), tty, detach },
    // On a terminal of its own Ctrl-C is a key, which must reach it.
    interactive: interactive || (tty && context.stdin.isTTY === true),
    ...(cwd === undefined ? {} : { cwd }),
    ...(user === undefined ? {} : { user }),
  };
  const { write, gone } = openOutput(context);
  return orExitCode(context, () =>
    execInContainer(findContainer(root, wanted), request, { onOutput: write, gone }),
  );
}

/** `ocibuild logs CONTAINER`, `ocibuild logs --build ID [STEP]` */
export async function logsCommand(args: readonly string[], context: CliContext): Promise<number> {
  const parsed = parseArgs(args, [...LOGS_FLAGS, ...GLOBAL_FLAGS]);
  const { bool, text } = flagReader(parsed);
  if (text('build') !== undefined) {
    return (await import('../store/builds-command.ts')).buildLogsCommand(parsed, context);
  }
  if (parsed.positional.length === 0) {
    throw new OcibuildError('USAGE_INVALID', 'Cannot show logs without CONTAINER', {
      hint: '`ocibuild logs --build latest` shows those of the last build, `ocibuild ps -a` lists containers',
    });
  }
  const [wanted = ''] = takePositional(parsed, ['CONTAINER']);
  const [tail, since] = [text('tail'), text('since')];
  const root = await openContainers(parsed, context);
  const [{ findContainer }, { parseSince, showLogs }] = await Promise.all([
    import('../../build/containers/records.ts'),
    import('../../build/containers/logs.ts'),
  ]);
  const { write, gone } = openOutput(context);
  await showLogs(root, findContainer(root, wanted), {
    follow: bool('follow'),
    timestamps: bool('timestamps'),
    signal: AbortSignal.any([context.signal, gone]),
    ...(tail === undefined || tail === 'all' ? {} : { tail: readNumber('--tail', tail) }),
    ...(since === undefined ? {} : { since: parseSince(since, Date.now()) }),
    write,
  });
  return 0;
}

/** `ocibuild stop CONTAINER…`: prints what it was given, as Docker does. */
export async function stopCommand(args: readonly string[], context: CliContext): Promise<string> {
  const parsed = parseArgs(args, [...STOP_FLAGS, ...GLOBAL_FLAGS]);
  const time = flagReader(parsed).text('time');
  const timeout = time === undefined ? {} : { timeoutSec: readNumber('--time', time) };
  const { stopContainer } = await import('../../build/containers/control.ts');
  const { signal } = context;
  return forEach(parsed, context, (root, container) =>
    stopContainer(root, container, { ...timeout, signal }),
  );
}

/** `ocibuild kill CONTAINER…` */
export async function killCommand(args: readonly string[], context: CliContext): Promise<string> {
  const parsed = parseArgs(args, [...KILL_FLAGS, ...GLOBAL_FLAGS]);
  const [{ reachOf, signalContainer }, { parseSignal }] = await Promise.all([
    import('../../build/containers/control.ts'),
    import('../../build/containers/signals.ts'),
  ]);
  const signal = parseSignal(flagReader(parsed).text('signal') ?? 'KILL');
  return forEach(parsed, context, (_, container) =>
    signalContainer(reachOf(container, 'send a signal to'), signal),
  );
}

/** `ocibuild rm CONTAINER…` */
export async function rmCommand(args: readonly string[], context: CliContext): Promise<string> {
  const parsed = parseArgs(args, [...RM_FLAGS, ...GLOBAL_FLAGS]);
  const force = flagReader(parsed).bool('force');
  const { env, cwd, signal } = context;
  const { removeContainer, stopContainer } = await import('../../build/containers/control.ts');
  // Before we are root of a namespace that has no power over another one, which is where the container is.
  if (force) {
    const stop = (root: string, each: Container) => stopContainer(root, each, { timeoutSec: 0, signal });
    await forEach(parsed, context, stop, { mayLack: true });
  }
  // The files of a container belong to its own users.
  const { enterNamespaceIfNeeded } = await import('../../build/user-namespace.ts');
  await enterNamespaceIfNeeded({ env, cwd }, 'must');
  const remove = (root: string, each: Container) => removeContainer(root, each, { force, signal });
  return forEach(parsed, context, remove, { mayLack: force });
}

/** `ocibuild wait CONTAINER…`: the exit code of each. */
export async function waitCommand(args: readonly string[], context: CliContext): Promise<string> {
  const parsed = parseArgs(args, GLOBAL_FLAGS);
  const names = takePositional(parsed, ['CONTAINER'], Number.POSITIVE_INFINITY);
  const root = await openContainers(parsed, context);
  const [{ findContainer }, { waitWhile }] = await Promise.all([
    import('../../build/containers/records.ts'),
    import('../../build/containers/control.ts'),
  ]);
  const { signal } = context;
  const ends = await Promise.all(
    names
      .map((name) => findContainer(root, name))
      .map((container) => waitWhile(root, container, { states: ['creating', 'created', 'running'], signal })),
  );
  return ends.map((container) => `${container?.state.exitCode ?? '?'}\n`).join('');
}

/** All are looked up before anything is done to one; where some may lack, those are passed over. */
async function forEach(
  parsed: ParsedArgs,
  context: CliContext,
  act: (root: string, container: Container) => Promise<void>,
  { mayLack = false }: { readonly mayLack?: boolean } = {},
): Promise<string> {
  const names = takePositional(parsed, ['CONTAINER'], Number.POSITIVE_INFINITY);
  const root = await openContainers(parsed, context);
  const { findContainer } = await import('../../build/containers/records.ts');
  const found = names.flatMap((name): [string, Container][] => {
    try {
      return [[name, findContainer(root, name)]];
    } catch (error) {
      if (mayLack && isOcibuildError(error) && error.code === 'CONTAINER_NOT_FOUND') return [];
      throw error;
    }
  });
  await Promise.all(found.map(([, container]) => act(root, container)));
  return found.map(([name]) => `${name}\n`).join('');
}
