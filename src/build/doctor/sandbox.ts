import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { isOcibuildError } from '../../errors/error.ts';
import { findProgram } from '../../executor/find-program.ts';
import { findRuntime } from '../../executor/runtime.ts';
import { capture } from './capture.ts';
import { withScratch } from './scratch.ts';
import { type TrialResult, trial } from './trial.ts';
import type { Finding, Machine } from './types.ts';

const KNOWN_RUNTIMES = ['runc', 'crun', 'youki', 'runsc'];
const TRIAL_MS = 10_000;

/** The runtime that builds take, and the others that are there. */
export async function probeRuntimes(machine: Machine): Promise<Finding> {
  const { runtime, searchPath } = machine;
  const names = [...new Set([...(runtime === undefined ? [] : [runtime]), ...KNOWN_RUNTIMES])];
  const found = await Promise.all(
    names.flatMap((name) => {
      const path = findProgram(name, searchPath);
      return path === undefined ? [] : [versionOf(name, path, machine)];
    }),
  );
  try {
    const chosen = findRuntime(runtime, searchPath).path;
    const list = found.map(({ text, path }) =>
      path === chosen && found.length > 1 ? `${text}, taken` : text,
    );
    return { id: 'runtime', status: 'ok', message: list.join('; ') };
  } catch (error) {
    if (!isOcibuildError(error)) throw error;
    const others = found.map(({ text }) => text).join('; ');
    const message = `${error.message.replace(/^Cannot find an OCI runtime: /, '')}${others === '' ? '' : ` (there is ${others})`}: RUN needs one`;
    return { id: 'runtime', status: 'fail', message, fix: machine.install({ apt: 'runc' }) };
  }
}

async function versionOf(
  name: string,
  path: string,
  machine: Machine,
): Promise<{ readonly path: string; readonly text: string }> {
  const { stdout } = await capture(path, ['--version'], machine);
  const version = /\d+\.\d+(?:\.\d+)?\S*/.exec(stdout)?.[0];
  return { path, text: `${name.split('/').at(-1)} ${version ?? 'of unknown version'} (${path})` };
}

/** A container as RUN starts it, as this user: says more than all other probes. */
export async function probeContainer(machine: Machine): Promise<Finding> {
  const { ms, error } = await tryContainer(machine);
  const as = machine.isRoot ? 'as root' : 'without root';
  if (error === undefined)
    return { id: 'container', status: 'ok', message: `a container ran ${as} in ${ms} ms` };
  const isUntried = error.code === 'USAGE_UNSUPPORTED';
  return {
    id: 'container',
    status: isUntried ? 'warn' : 'fail',
    message: isUntried ? error.message : `no container runs ${as}: ${error.message}`,
    ...(error.hint === undefined ? {} : { fix: asRootHere(error.hint, machine) }),
  };
}

/** Hints of errors say "sudo" wherever they are shown. */
function asRootHere(hint: string, { asRoot }: Machine): string {
  return hint.startsWith('sudo ') ? asRoot(hint.slice('sudo '.length)) : hint;
}

async function tryContainer(machine: Machine): Promise<TrialResult> {
  const { isRoot, selfCommand, env, signal } = machine;
  const limited = { ...machine, signal: AbortSignal.any([signal, AbortSignal.timeout(TRIAL_MS)]) };
  if (isRoot || selfCommand === undefined) return trial(limited);
  const [file = '', ...args] = selfCommand;
  const { stdout, stderr } = await capture(file, args, { signal, env, timeoutMs: TRIAL_MS });
  try {
    return JSON.parse(stdout) as TrialResult;
  } catch {
    const [, message] = /^error\[\w+\]: (.*)$/m.exec(stderr) ?? [];
    const [, hint] = /^hint: (.*)$/m.exec(stderr) ?? [];
    const text = message ?? stderr.trim().split('\n').at(-1) ?? 'it did not answer';
    return { error: { code: 'RUNTIME_FAILED', message: text, ...(hint === undefined ? {} : { hint }) } };
  }
}

/** An overlay on the file system of the store, in a mount namespace that ends with the probe. */
export async function probeOverlay(machine: Machine): Promise<Finding> {
  const { isRoot, root } = machine;
  const unshare = findProgram('unshare', machine.searchPath);
  if (unshare === undefined) {
    const fix = machine.install({ apt: 'util-linux' });
    return { id: 'overlay', status: 'warn', message: 'not tried: unshare is not installed', fix };
  }
  return withScratch(root, async (dir) => {
    for (const name of ['lower', 'upper', 'work', 'merged']) mkdirSync(join(dir, name));
    const options = `lowerdir=lower,upperdir=upper,workdir=work${isRoot ? '' : ',userxattr'}`;
    // The kernel makes a directory of mode 0 in `work`, which a normal user removes only from in here.
    const script = `cd "$1" && mount -t overlay overlay -o "$2" merged && echo x >merged/file
code=$?; umount merged 2>/dev/null; rm -rf work; exit $code`;
    const own = isRoot ? ['-m'] : ['-U', '-r', '-m'];
    const words = [...own, '/bin/sh', '-c', script, 'ocibuild', dir, options];
    const { code, stderr } = await capture(unshare, words, machine);
    const form = isRoot ? 'overlayfs' : 'overlayfs with userxattr';
    if (code === 0)
      return { id: 'overlay', status: 'ok', message: `${form} works on the file system of the store` };
    return {
      id: 'overlay',
      status: 'fail',
      message: `${form} cannot be mounted on the file system of the store: ${stderr.trim().split('\n')[0]}`,
      fix: 'put the store on ext4, xfs, btrfs or tmpfs, in a container on a volume: export OCIBUILD_ROOT=DIR',
    };
  });
}
