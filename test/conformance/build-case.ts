/** The one place where the corpus meets the library: lays a case out, builds it, reduces the result. */
import { Readable } from 'node:stream';
import { checkJson, outlineJson, targetsJson } from '../../src/cli/build/call-json.ts';
import { isOcibuildError } from '../../src/errors/error.ts';
import { type BuildOptions, build, check, outline, targets } from '../../src/index.ts';
import { type FlatImage, flattenLayout, type KnownLayers } from '../support/flatten.ts';
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
import type { Case, CaseOptions, Outcome } from './types.ts';

export type CaseBuilder = AsyncDisposable & {
  /** The image `base` as ocibuild builds it. */
  base: FlatImage;
  /** Rejects only with what is no OcibuildError, or is a bug by its own account. */
  build(one: Case): Promise<Outcome>;
};

/** Builds the base image into the store `root`, which every case then shares. */
export async function createCaseBuilder(options: { root: string; busybox: string }): Promise<CaseBuilder> {
  const { root, busybox } = options;
  const workspace = await prepareBase(busybox);
  await buildLayout(root, workspace, {});
  const known: KnownLayers = new Map();
  const base = await flattenLayout(workspace.output, { known });
  const baseContext = `oci-layout://${workspace.output}:base`;
  const several = await prepareMulti(baseContext);
  await buildLayout(root, several, { platform: MULTI_PLATFORMS });
  const bases = { base: baseContext, multi: `oci-layout://${several.output}:base` };
  return {
    base,
    async build(one) {
      await using prepared = await prepareCase(one);
      const contexts = namedContexts(prepared, bases);
      const { call } = one.options;
      try {
        if (call !== undefined) {
          return await describeCase(root, { ...prepared, contexts }, { ...one.options, call });
        }
        await buildLayout(root, { ...prepared, contexts }, one.options);
      } catch (error) {
        return prepared.hide(failureOf(error));
      }
      return prepared.hide(await outcomeOfLayout(prepared.output, base, known));
    },
    async [Symbol.asyncDispose]() {
      await several[Symbol.asyncDispose]();
      await workspace[Symbol.asyncDispose]();
    },
  };
}

async function buildLayout(
  root: string,
  workspace: Omit<Workspace, typeof Symbol.asyncDispose>,
  options: CaseOptions,
): Promise<void> {
  await build(buildOptions(root, workspace, options));
}

/** What `--call` tells of a case, in the shape in which Docker tells it. */
async function describeCase(
  root: string,
  workspace: Omit<Workspace, typeof Symbol.asyncDispose>,
  options: CaseOptions & Required<Pick<CaseOptions, 'call'>>,
): Promise<Outcome> {
  const asked = buildOptions(root, workspace, options);
  switch (options.call) {
    case 'check':
      return describedOutcome('check', JSON.stringify(checkJson(await check(asked))));
    case 'outline':
      return describedOutcome('outline', JSON.stringify(outlineJson(await outline(asked))));
    case 'targets': {
      const found = await targets(asked);
      return describedOutcome('targets', JSON.stringify(targetsJson(found.targets, found.dockerfile)));
    }
  }
}

function buildOptions(
  root: string,
  workspace: Omit<Workspace, typeof Symbol.asyncDispose>,
  options: CaseOptions,
): BuildOptions {
  const { given } = workspace;
  return {
    root,
    context: given.context,
    ...(given.dockerfile === undefined ? {} : { dockerfile: given.dockerfile }),
    ...(given.stdin === undefined ? {} : { stdin: Readable.from([given.stdin]) }),
    tags: ['base:base'],
    buildContexts: workspace.contexts,
    network: 'host',
    outputs: [{ type: 'oci', tar: false, dest: workspace.output }],
    // Proxies of the machine must not reach a RUN step.
    env: { PATH: process.env.PATH },
    ...(options.buildArgs === undefined ? {} : { buildArgs: options.buildArgs }),
    ...(options.labels === undefined ? {} : { labels: options.labels }),
    ...(options.target === undefined ? {} : { target: options.target }),
    ...(options.platform === undefined ? {} : { platform: options.platform }),
    secrets: mapValues(workspace.secrets, (path) => ({ type: 'file' as const, path })),
    ssh: mapValues(workspace.agents, (socket) => ({ type: 'agent' as const, socket })),
    allow: options.allow ?? [],
  };
}

function mapValues<T>(values: Record<string, string>, map: (value: string) => T): Record<string, T> {
  return Object.fromEntries(Object.entries(values).map(([key, value]) => [key, map(value)]));
}

function failureOf(error: unknown): Outcome {
  if (!isOcibuildError(error) || error.category === 'internal') throw error;
  // The context's own place differs from run to run.
  const message = `${error.code}: ${error.message}`.replaceAll(/\/\S*\/ocibuild-conformance-\w+/g, '');
  const ranges = error.source?.ranges ?? [];
  if (ranges.length === 0) return { error: { message } };
  const first = Math.min(...ranges.map((range) => range.start.line));
  const last = Math.max(...ranges.map((range) => range.end.line));
  return { error: { message, lines: [first, last] } };
}
