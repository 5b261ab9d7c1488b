/** Builds with real Docker (BuildKit) through the command named by `peers`, called as `PEERS docker ARG...`. */
import { spawn } from 'node:child_process';
import { type FlatImage, flattenLayout } from '../support/flatten.ts';
import {
  MULTI_PLATFORMS,
  namedContexts,
  prepareBase,
  prepareCase,
  prepareMulti,
  type Workspace,
} from './cases.ts';
import { describedOutcome } from './described.ts';
import { outcomeOfLayout } from './layout-outcome.ts';
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
  const baseContext = `oci-layout://${workspace.output}:base`;
  const several = await prepareMulti(baseContext);
  const multi = await dockerBuild(peers, several, { platform: MULTI_PLATFORMS });
  if (multi.status !== 0) throw new Error(`Cannot build the image "multi" with Docker: ${multi.stderr}`);
  const bases = { base: baseContext, multi: `oci-layout://${several.output}:base` };
  return {
    base,
    async build(one) {
      await using prepared = await prepareCase(one);
      const contexts = namedContexts(prepared, bases);
      const run = await dockerBuild(peers, { ...prepared, contexts }, one.options);
      // A check that finds something fails, and prints all the same.
      const { call } = one.options;
      if (call !== undefined && run.stdout !== '') return describedOutcome(call, run.stdout);
      if (run.status !== 0) return prepared.hide(parseFailure(run.stderr));
      return prepared.hide(await outcomeOfLayout(prepared.output, base));
    },
    async [Symbol.asyncDispose]() {
      await several[Symbol.asyncDispose]();
      await workspace[Symbol.asyncDispose]();
    },
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
): Promise<{ status: number | null; stdout: string; stderr: string }> {
  const args = ['docker', 'buildx', 'build', '--network', 'host', '--progress', 'plain'];
  const { given } = workspace;
  args.push('--provenance=false', '--sbom=false');
  if (given.dockerfile !== undefined) args.push('--file', given.dockerfile);
  if (options.call === undefined) {
    args.push('--output', `type=oci,tar=false,name=base:base,dest=${workspace.output}`);
  } else args.push('--call', `${options.call},format=json`);
  for (const [key, value] of Object.entries(options.buildArgs ?? {}))
    args.push('--build-arg', `${key}=${value}`);
  for (const [key, value] of Object.entries(options.labels ?? {})) args.push('--label', `${key}=${value}`);
  for (const [key, value] of Object.entries(workspace.contexts))
    args.push('--build-context', `${key}=${value}`);
  if (options.target !== undefined) args.push('--target', options.target);
  if (options.platform !== undefined) args.push('--platform', options.platform);
  for (const [id, file] of Object.entries(workspace.secrets)) args.push('--secret', `id=${id},src=${file}`);
  for (const [id, socket] of Object.entries(workspace.agents)) args.push('--ssh', `${id}=${socket}`);
  for (const entitlement of options.allow ?? []) args.push('--allow', entitlement);
  const child = spawn(peers, [...args, given.context], { stdio: ['pipe', 'pipe', 'pipe'] });
  child.stdin.on('error', () => undefined);
  child.stdin.end(given.stdin ?? '');
  const output: Buffer[] = [];
  const chunks: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => output.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => chunks.push(chunk));
  const status = await new Promise<number | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  const textOf = (parts: Buffer[]): string => Buffer.concat(parts).toString('utf8');
  return { status, stdout: textOf(output), stderr: textOf(chunks) };
}

function parseFailure(log: string): FailedOutcome {
  const line = log.split('\n').findLast((text) => text.startsWith('ERROR: '));
  if (line === undefined) throw new Error(`Docker failed without a message: ${log}`);
  const message = line
    .replace(/^ERROR: (failed to build: )?(failed to solve: )?(failed to run Build function: )?/, '')
    .replace(/failed to compute cache key: /, '')
    .replace(/failed to calculate checksum of ref [^ ]+: /, '')
    // The machine's own network says the rest.
    .replace(/: failed to do request: .*/, ': failed to do request')
    // The daemon's temporary mount of the root file system.
    .replaceAll(/\/\S*\/cachemounts\/buildkit\d+/g, '');
  const marked = [...log.matchAll(/^ +(\d+) \| >>> /gm)].map((match) => Number(match[1]));
  const inText = /on line (\d+)/.exec(message)?.[1];
  const lines = marked.length > 0 ? marked : inText === undefined ? [] : [Number(inText)];
  if (lines.length === 0) return { error: { message } };
  return { error: { message, lines: [Math.min(...lines), Math.max(...lines)] } };
}
