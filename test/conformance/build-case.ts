/** The one place where the corpus meets the library: lays a case out, builds it, reduces the result. */
import { isOcibuildError } from '../../src/errors/error.ts';
import { build } from '../../src/index.ts';
import { type FlatImage, flattenLayout } from '../support/flatten.ts';
import { prepareBase, prepareCase, type Workspace } from './cases.ts';
import { outcomeOf } from './outcome.ts';
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
  const base = await flattenLayout(workspace.output);
  return {
    base,
    async build(one) {
      await using prepared = await prepareCase(one);
      const contexts = { ...prepared.contexts, base: `oci-layout://${workspace.output}:base` };
      try {
        await buildLayout(root, { ...prepared, contexts }, one.options);
      } catch (error) {
        return failureOf(error);
      }
      return outcomeOf(await flattenLayout(prepared.output), base);
    },
    [Symbol.asyncDispose]: () => workspace[Symbol.asyncDispose](),
  };
}

async function buildLayout(
  root: string,
  workspace: Omit<Workspace, typeof Symbol.asyncDispose>,
  options: CaseOptions,
): Promise<void> {
  await build({
    root,
    context: workspace.context,
    dockerfile: workspace.dockerfile,
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
  });
}

function failureOf(error: unknown): Outcome {
  if (!isOcibuildError(error) || error.category === 'internal') throw error;
  const message = `${error.code}: ${error.message}`;
  const ranges = error.source?.ranges ?? [];
  if (ranges.length === 0) return { error: { message } };
  const first = Math.min(...ranges.map((range) => range.start.line));
  const last = Math.max(...ranges.map((range) => range.end.line));
  return { error: { message, lines: [first, last] } };
}
