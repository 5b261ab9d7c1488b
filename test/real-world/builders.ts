import { spawn } from 'node:child_process';
import { cpSync, existsSync, mkdirSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { type FlatImage, flattenLayout } from '../support/flatten.ts';

const ROOT = resolve(import.meta.dirname, '../..');
/** The command under test; `OCIBUILD` names another one. */
export const OCIBUILD: string = process.env.OCIBUILD ?? join(ROOT, 'bin/ocibuild');

export type BuildRequest = {
  tag: string;
  context: string;
  flags: readonly string[];
  /** Name in FROM → layout directory that holds the image under that name. */
  bases: Readonly<Record<string, string>>;
};

export type BuiltImage = { seconds: number; flatten(): Promise<FlatImage> };

export type Builder = {
  /** Gives the image that was built; throws with the end of the log. */
  build(request: BuildRequest): Promise<BuiltImage>;
};

export type Finished = { command: string; status: number | null; stdout: string; stderr: string };

/** Runs a program to its end. */
export async function run(
  command: string,
  args: readonly string[],
  options: { cwd?: string; env?: Readonly<Record<string, string>> } = {},
): Promise<Finished> {
  const child = spawn(command, args, {
    cwd: options.cwd ?? ROOT,
    env: { ...process.env, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const text = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (text.stdout += chunk));
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (text.stderr += chunk));
  const status = await new Promise<number | null>((done, fail) => {
    child.on('error', fail);
    child.on('close', done);
  });
  return { command: [command, ...args].join(' '), status, ...text };
}

/** The same, but any exit code other than 0 throws with the end of what it printed. */
export async function mustRun(
  command: string,
  args: readonly string[],
  options: Parameters<typeof run>[2] = {},
): Promise<string> {
  return succeeded(await run(command, args, options)).stdout;
}

function succeeded(finished: Finished): Finished {
  const { command, status, stdout, stderr } = finished;
  if (status === 0) return finished;
  throw new Error(`${command}: exit ${status}\n${(stdout + stderr).slice(-3000)}`);
}

/** Builds with ocibuild into `store`, twice: the second build must find everything in the cache. */
export function createOcibuild(store: string): Builder {
  return {
    async build({ tag, context, flags, bases }) {
      const args = ['build', '--root', store, '--network', 'host', '--progress', 'plain', '-t', tag];
      for (const [name, layout] of Object.entries(bases))
        args.push('--build-context', `${name}=oci-layout://${layout}`);
      const build = (): Promise<Finished> => run(OCIBUILD, [...args, ...flags, '.'], { cwd: context });
      const started = performance.now();
      const first = succeeded(await build());
      const seconds = (performance.now() - started) / 1000;
      const second = succeeded(await build());
      if (/^#\d+ \d+\.\d+ /m.test(second.stderr)) throw new Error(`A step ran again:\n${second.stderr}`);
      if (second.stdout !== first.stdout)
        throw new Error(`The second build gave ${second.stdout} instead of ${first.stdout}`);
      return { seconds, flatten: () => flattenLayout(store, { tag }) };
    },
  };
}

/** Builds with Docker; @param peers called as `PEERS docker ARG...` */
export function createDocker(peers: string, work: string): Builder {
  // What a case builds first is a base of what it builds next.
  const built: Record<string, string> = {};
  // Docker locks a layout that it reads, and the command sees the temporary directory only.
  const lend = (layout: string): string => {
    const tag = layout.lastIndexOf(':');
    const copy = join(work, 'docker-bases', basename(layout.slice(0, tag)));
    if (!existsSync(copy)) cpSync(layout.slice(0, tag), copy, { recursive: true });
    return `${copy}${layout.slice(tag)}`;
  };
  return {
    async build({ tag, context, flags, bases }) {
      const dest = join(work, 'docker', tag.replaceAll(/[^a-z0-9]/g, '-'));
      mkdirSync(dest, { recursive: true });
      const args = ['docker', 'buildx', 'build', '--network', 'host', '--progress', 'plain', ...flags];
      args.push('--provenance=false', '--sbom=false', '-o', `type=oci,tar=false,name=${tag},dest=${dest}`);
      const lent = Object.entries(bases).map(([name, layout]) => [name, lend(layout)]);
      for (const [name, layout] of [...lent, ...Object.entries(built)])
        args.push('--build-context', `${name}=oci-layout://${layout}`);
      const started = performance.now();
      await mustRun(peers, [...args, '.'], { cwd: context });
      built[tag] = `${dest}:${tag.slice(tag.lastIndexOf(':') + 1)}`;
      return { seconds: (performance.now() - started) / 1000, flatten: () => flattenLayout(dest) };
    },
  };
}
