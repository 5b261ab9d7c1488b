/** The corpus on disk: finds the cases, lays one out for a build, reads and writes expected results. */
import { existsSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeRootfs } from './base/rootfs.ts';
import { writeFiles } from './context.ts';
import { toRecord } from './json.ts';
import type { Case, CaseOptions, Outcome } from './types.ts';

const CORPUS = join(import.meta.dirname, 'dockerfile');
const BASE = join(import.meta.dirname, 'base');

/** A case, or the base image, laid out in a temporary directory; disposing of it deletes everything. */
export type Workspace = AsyncDisposable & {
  context: string;
  dockerfile: string;
  /** Directories of the named contexts. */
  contexts: Record<string, string>;
  /** Where the build is to put its OCI layout. */
  output: string;
};

/** Every case, or those of the given names, sorted. */
export async function loadCases(names: readonly string[] = []): Promise<Case[]> {
  const all = (await readdir(CORPUS)).sort();
  const unknown = names.filter((name) => !all.includes(name));
  if (unknown.length > 0) throw new Error(`No such case: ${unknown.join(', ')}`);
  return Promise.all(all.filter((name) => names.length === 0 || names.includes(name)).map(loadCase));
}

/** Lays out the context of a case. */
export async function prepareCase(one: Case): Promise<Workspace> {
  const workspace = await makeWorkspace(one.options.dockerfile ?? 'Dockerfile');
  await writeFiles(workspace.context, one.options.files ?? []);
  await writeFiles(workspace.context, [
    { path: one.options.dockerfile ?? 'Dockerfile', content: one.dockerfileText },
  ]);
  for (const [name, files] of Object.entries(one.options.contexts ?? {})) {
    const dir = join(workspace.context, '..', `context-${name}`);
    await mkdir(dir);
    await writeFiles(dir, files);
    workspace.contexts[name] = dir;
  }
  return workspace;
}

/** Lays out the context of the image `base`; `busybox` must be a static binary. */
export async function prepareBase(busybox: string): Promise<Workspace> {
  const workspace = await makeWorkspace('Dockerfile');
  await copyFile(join(BASE, 'Dockerfile'), workspace.dockerfile);
  await writeRootfs(join(workspace.context, 'rootfs.tar'), { busybox });
  return workspace;
}

/** What ocibuild is to give: Docker's outcome, or the case's own one where it differs on purpose or without root. */
export async function readExpected(
  one: Case,
  { rootless = false }: { rootless?: boolean } = {},
): Promise<Outcome> {
  const { differs, rootless: without } = one.options;
  if (rootless && without !== undefined) return readOutcome(join(one.dir, 'expected-rootless.json'));
  return readOutcome(join(one.dir, differs === undefined ? 'expected.json' : 'expected-ocibuild.json'));
}

/** What the base image must be. */
export async function readBaseExpected(): Promise<Outcome> {
  return readOutcome(join(BASE, 'expected.json'));
}

/** Records what Docker gave. */
export async function writeExpected(one: Pick<Case, 'dir'>, outcome: Outcome): Promise<void> {
  await writeFile(join(one.dir, 'expected.json'), toRecord(outcome));
}

/** Records what ocibuild gives on purpose. */
export async function writeExpectedOfOcibuild(one: Pick<Case, 'dir'>, outcome: Outcome): Promise<void> {
  await writeFile(join(one.dir, 'expected-ocibuild.json'), toRecord(outcome));
}

/** Records the base image as Docker builds it. */
export async function writeBaseExpected(outcome: Outcome): Promise<void> {
  await writeExpected({ dir: BASE }, outcome);
}

async function loadCase(name: string): Promise<Case> {
  const dir = join(CORPUS, name);
  const optionsFile = join(dir, 'case.json');
  const options = existsSync(optionsFile)
    ? (JSON.parse(await readFile(optionsFile, 'utf8')) as CaseOptions)
    : {};
  const dockerfileText = await readFile(join(dir, 'Dockerfile'), 'utf8');
  return { name, group: name.split('-', 1)[0] ?? name, dir, dockerfileText, options };
}

async function makeWorkspace(dockerfile: string): Promise<Workspace> {
  const root = await mkdtemp(join(tmpdir(), 'ocibuild-conformance-'));
  const context = join(root, 'context');
  await mkdir(context);
  return {
    context,
    dockerfile: join(context, dockerfile),
    contexts: {},
    output: join(root, 'output'),
    [Symbol.asyncDispose]: () => rm(root, { recursive: true, force: true }),
  };
}

async function readOutcome(file: string): Promise<Outcome> {
  return JSON.parse(await readFile(file, 'utf8')) as Outcome;
}
