import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createOutputBatcher } from '../../executor/output.ts';
import { startFailure } from '../../executor/runtime.ts';
import { resolveGroups, resolveUser } from '../../executor/user.ts';
import { readText } from '../../util/read-text.ts';
import { reachOf, runtimeCommand } from './control.ts';
import type { LogStream } from './log-file.ts';
import type { Container, ContainerReach } from './types.ts';

export interface ExecRequest {
  readonly args: readonly string[];
  /** `K=V`, on top of the container's. */
  readonly env: readonly string[];
  readonly cwd?: string;
  readonly user?: string;
  readonly interactive: boolean;
  readonly tty: boolean;
  /** Do not wait for it; its output goes nowhere. */
  readonly detach: boolean;
}

interface ExecOutput {
  onOutput(stream: LogStream, data: Uint8Array): void | Promise<void>;
  /** Nobody wants its output any more: it is told so as by any pipe. */
  readonly gone: AbortSignal;
}

interface SpecProcess {
  readonly user: { readonly uid: number; readonly gid: number; readonly additionalGids?: readonly number[] };
  readonly env: readonly string[];
  readonly capabilities: Readonly<Record<'bounding' | 'effective' | 'permitted', readonly string[]>>;
}

/**
 * Runs one more process in a container that runs.
 * @returns its exit code, 128 + n for a signal
 * @throws CONTAINER_STATE_INVALID, RUN_USER_UNKNOWN, RUN_START_FAILED
 */
export async function execInContainer(
  container: Container,
  request: ExecRequest,
  options: ExecOutput,
): Promise<number> {
  const reach = reachOf(container, 'run a command in');
  const name = join(container.dir, `exec-${process.pid}-${randomBytes(4).toString('hex')}`);
  const [processFile, log] = [`${name}.json`, `${name}.log`];
  writeFileSync(processFile, JSON.stringify(processOf(container, { reach, request })), { mode: 0o600 });
  try {
    const args = ['exec', ...(request.detach ? ['--detach'] : []), '--process', processFile, reach.runtimeId];
    const code = await run(runtimeCommand(reach, args, log), { request, log, ...options });
    if (code !== 0) {
      const failure = startFailure(readText(log) ?? '', request.args);
      if (failure !== undefined) throw failure;
    }
    return code;
  } finally {
    for (const file of [processFile, log]) rmSync(file, { force: true });
  }
}

function run(
  [file, args]: [string, string[]],
  { request, log, onOutput, gone }: ExecOutput & { readonly request: ExecRequest; readonly log: string },
): Promise<number> {
  const { interactive, tty, detach } = request;
  const output = tty ? 'inherit' : detach ? 'ignore' : 'pipe';
  const child = spawn(file, args, { stdio: [interactive ? 'inherit' : 'ignore', output, output] });
  const batcher = createOutputBatcher(
    (parts) => {
      for (const { stream, data } of parts) {
        const taken = (): void => batcher.taken(data.length);
        const wait = onOutput(stream, data);
        if (wait instanceof Promise) void wait.then(taken);
        else taken();
      }
    },
    // What the runtime says about a program that it cannot start is told by the error.
    () => startFailure(readText(log) ?? '', request.args) !== undefined,
  );
  if (child.stdout !== null) batcher.attach('stdout', child.stdout);
  if (child.stderr !== null) batcher.attach('stderr', child.stderr);
  gone.addEventListener('abort', () => {
    child.stdout?.destroy();
    child.stderr?.destroy();
  });
  return new Promise((done, fail) => {
    child.once('error', fail);
    child.once('close', (code, signal) => {
      if (startFailure(readText(log) ?? '', request.args) !== undefined) batcher.drop('stderr');
      batcher.flush();
      done(code ?? 128 + (signal === 'SIGKILL' ? 9 : 15));
    });
  });
}

/** The container's own process settings, with what was asked for. @see runtime-spec config.md §Process */
function processOf(
  { plan }: Container,
  { reach, request }: { readonly reach: ContainerReach; readonly request: ExecRequest },
): SpecProcess & Record<string, unknown> {
  const config = JSON.parse(readFileSync(join(reach.bundle, 'config.json'), 'utf8')) as {
    process: SpecProcess;
  };
  const own = config.process;
  const { args, cwd, tty } = request;
  const settings = { ...own, args, terminal: tty, ...(cwd === undefined ? {} : { cwd: join('/', cwd) }) };
  const terminal = tty ? ['TERM=xterm'] : [];
  if (request.user === undefined) return { ...settings, env: [...terminal, ...own.env, ...request.env] };
  // Through the thread that has the root mounted: the processes of some runtimes do not show it.
  const root = join(reach.mountNamespace.replace(/\/ns\/mnt$/, '/root'), reach.bundle, 'rootfs');
  const { uid, gid, additionalGids: ownGids, home } = resolveUser(root, request.user);
  const additionalGids = [...ownGids, ...resolveGroups(root, plan.extras?.groups ?? [])];
  const { bounding } = own.capabilities;
  const started = uid === 0 ? bounding : [];
  const hasHome = plan.env.some((entry) => entry.startsWith('HOME='));
  return {
    ...settings,
    env: [...terminal, ...own.env, ...(hasHome ? [] : [`HOME=${home}`]), ...request.env],
    user: { ...own.user, uid, gid, additionalGids },
    capabilities: plan.privileged
      ? own.capabilities
      : { ...own.capabilities, effective: started, permitted: started },
  };
}
