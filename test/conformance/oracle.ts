/** Builds with real Docker (BuildKit) through the command named by `peers`, called as `PEERS docker ARG...`. */
import { spawn } from 'node:child_process';
import { type FlatImage, flattenLayout } from '../support/flatten.ts';
import { prepareBase, prepareCase, type Workspace } from './cases.ts';
import { outcomeOf } from './outcome.ts';
import type { Case, CaseOptions, FailedOutcome, Outcome } from './types.ts';

export type Oracle = AsyncDisposable & {
  /** The image `base` as Docker builds it. */
  base: FlatImage;
  build(one: Case): Promise<Outcome>;
};

/** @param options.peers command that runs Docker; @param options.busybox static busybox binary */
export async function createOracle(options: { peers: string; busybox: string }): Promise<Oracle> {
  const { peers, busybox } = options;
  const workspace = await prepareBase(busybox);
  const { status, stderr } = await dockerBuild(peers, workspace, {});
  if (status !== 0) throw new Error(`Cannot build the base image with Docker: ${stderr}`);
  const base = await flattenLayout(workspace.output);
  return {
    base,
    async build(one) {
      await using prepared = await prepareCase(one);
      const withBase = { ...prepared.contexts, base: `oci-layout://${workspace.output}:base` };
      const run = await dockerBuild(peers, { ...prepared, contexts: withBase }, one.options);
      if (run.status !== 0) return parseFailure(run.stderr);
      return outcomeOf(await flattenLayout(prepared.output), base);
    },
    [Symbol.asyncDispose]: () => workspace[Symbol.asyncDispose](),
  };
}

/** Path of the peers command, from `--peers PATH` or the environment, and the remaining arguments. */
export function oracleArguments(argv: readonly string[]): { peers: string | undefined; names: string[] } {
  const at = argv.indexOf('--peers');
  const peers = at >= 0 ? argv[at + 1] : process.env.PEERS;
  return { peers, names: argv.filter((_, i) => at < 0 || (i !== at && i !== at + 1)) };
}

async function dockerBuild(
  peers: string,
  workspace: Omit<Workspace, typeof Symbol.asyncDispose>,
  options: CaseOptions,
): Promise<{ status: number | null; stderr: string }> {
  const args = ['docker', 'buildx', 'build', '--network', 'host', '--progress', 'plain'];
  args.push('--provenance=false', '--sbom=false', '--file', workspace.dockerfile);
  args.push('--output', `type=oci,tar=false,name=base:base,dest=${workspace.output}`);
  for (const [key, value] of Object.entries(options.buildArgs ?? {}))
    args.push('--build-arg', `${key}=${value}`);
  for (const [key, value] of Object.entries(options.labels ?? {})) args.push('--label', `${key}=${value}`);
  for (const [key, value] of Object.entries(workspace.contexts))
    args.push('--build-context', `${key}=${value}`);
  if (options.target !== undefined) args.push('--target', options.target);
  if (options.platform !== undefined) args.push('--platform', options.platform);
  const child = spawn(peers, [...args, workspace.context], { stdio: ['ignore', 'ignore', 'pipe'] });
  const chunks: Buffer[] = [];
  child.stderr.on('data', (chunk: Buffer) => chunks.push(chunk));
  const status = await new Promise<number | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  return { status, stderr: Buffer.concat(chunks).toString('utf8') };
}

function parseFailure(log: string): FailedOutcome {
  const line = log.split('\n').findLast((text) => text.startsWith('ERROR: '));
  if (line === undefined) throw new Error(`Docker failed without a message: ${log}`);
  const message = line
    .replace(/^ERROR: (failed to build: )?(failed to solve: )?(failed to run Build function: )?/, '')
    .replace(/failed to compute cache key: /, '')
    .replace(/failed to calculate checksum of ref [^ ]+: /, '')
    // The daemon's temporary mount of the root file system.
    .replaceAll(/\/\S*\/cachemounts\/buildkit\d+/g, '');
  const marked = [...log.matchAll(/^ +(\d+) \| >>> /gm)].map((match) => Number(match[1]));
  const inText = /on line (\d+)/.exec(message)?.[1];
  const lines = marked.length > 0 ? marked : inText === undefined ? [] : [Number(inText)];
  if (lines.length === 0) return { error: { message } };
  return { error: { message, lines: [Math.min(...lines), Math.max(...lines)] } };
}
