/** The corpus on disk: finds the cases, lays one out for a build, reads and writes expected results. */
import { existsSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeRootfs } from './base/rootfs.ts';
import { bodyOf, writeFiles } from './context.ts';
import { startEmptyAgent } from './empty-agent.ts';
import { toRecord } from './json.ts';
import { type Services, startServices } from './services.ts';
import type { Case, CaseOptions, Outcome } from './types.ts';

const CORPUS = join(import.meta.dirname, 'dockerfile');
const BASE = join(import.meta.dirname, 'base');

/** A case, or the base image, laid out in a temporary directory; disposing of it deletes everything. */
export type Workspace = AsyncDisposable & {
  /** The directory that the case is laid out in. */
  context: string;
  /** What the command line names as the context, and what goes to its stdin. */
  given: { context: string; dockerfile: string | undefined; stdin?: Buffer };
  dockerfile: string;
  /** Puts the names of servers in place of their addresses. */
  hide<T>(value: T): T;
  /** Directories of the named contexts. */
  contexts: Record<string, string>;
  /** Named contexts that are given by their value. */
  values: Record<string, string>;
  /** Secret id → file. */
  secrets: Record<string, string>;
  /** Id → socket of an agent. */
  agents: Record<string, string>;
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
  const { options } = one;
  const made = await makeWorkspace(options.dockerfile ?? 'Dockerfile');
  const needsServices = [options.http, options.git, options.stdin].some((each) => each !== undefined);
  const services = needsServices ? await startServices(one) : undefined;
  const fill = services?.fill ?? ((text: string) => text);
  const content = fill(one.dockerfileText);
  const workspace: Workspace = {
    ...made,
    given: await givenContext(made, options, { content, services }),
    values: Object.fromEntries(
      Object.entries(options.contextValues ?? {}).map(([name, value]) => [name, fill(value)]),
    ),
    ...(services === undefined ? {} : { hide: services.hide }),
    async [Symbol.asyncDispose]() {
      await services?.[Symbol.asyncDispose]();
      await made[Symbol.asyncDispose]();
    },
  };
  await writeFiles(workspace.context, options.files ?? []);
  await writeFiles(workspace.context, [{ path: options.dockerfile ?? 'Dockerfile', content }]);
  for (const [name, files] of Object.entries(one.options.contexts ?? {})) {
    const dir = join(workspace.context, '..', `context-${name.replaceAll('/', '_')}`);
    await mkdir(dir);
    await writeFiles(dir, files);
    workspace.contexts[name] = dir;
  }
  for (const [id, value] of Object.entries(one.options.secrets ?? {})) {
    const file = join(workspace.context, '..', `secret-${id}`);
    await writeFile(file, value);
    workspace.secrets[id] = file;
  }
  if (one.options.ssh === undefined) return workspace;
  const agents = new AsyncDisposableStack();
  for (const id of one.options.ssh) {
    const socket = join(workspace.context, '..', `agent-${id}`);
    agents.use(await startEmptyAgent(socket));
    workspace.agents[id] = socket;
  }
  agents.defer(() => workspace[Symbol.asyncDispose]());
  return { ...workspace, [Symbol.asyncDispose]: () => agents.disposeAsync() };
}

async function givenContext(
  made: Workspace,
  { context, file, stdin }: CaseOptions,
  { content, services }: { content: string; services: Services | undefined },
): Promise<Workspace['given']> {
  const fill = (text: string): string => services?.fill(text) ?? text;
  const dockerfile = file === undefined ? undefined : fill(file);
  if (context === undefined) return { ...made.given, dockerfile: dockerfile ?? made.given.dockerfile };
  const named = { context: fill(context), dockerfile };
  if (context !== '-') return named;
  const [archive] = stdin === undefined ? [] : (services?.filled([stdin]) ?? []);
  return { ...named, stdin: archive === undefined ? Buffer.from(content) : await bodyOf(archive) };
}

/** All named contexts of a case, the image `base` among them. */
export function namedContexts(
  { contexts, values }: Pick<Workspace, 'contexts' | 'values'>,
  bases: { base: string; multi: string },
): Record<string, string> {
  const given = Object.entries(values).map(([name, value]) => [name, value.replace('{base}', bases.base)]);
  return { ...contexts, ...bases, ...Object.fromEntries(given) };
}

/** Lays out the context of the image `base`; `busybox` must be a static binary. */
export async function prepareBase(busybox: string): Promise<Workspace> {
  const workspace = await makeWorkspace('Dockerfile');
  await copyFile(join(BASE, 'Dockerfile'), workspace.dockerfile);
  await writeRootfs(join(workspace.context, 'rootfs.tar'), { busybox });
  return workspace;
}

/** Lays out the image `multi`: `base` for several platforms, each with a file and a label that tell which it is. All
 * have this machine's busybox, so that they run without an emulator. */
export async function prepareMulti(base: string): Promise<Workspace> {
  const workspace = await makeWorkspace('Dockerfile');
  await copyFile(join(BASE, 'multi.Dockerfile'), workspace.dockerfile);
  return { ...workspace, contexts: { base } };
}

/** The platforms of `multi`. */
export const MULTI_PLATFORMS = 'linux/amd64,linux/arm64,linux/arm/v6,linux/386';

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
    given: { context, dockerfile: join(context, dockerfile) },
    hide: (value) => value,
    contexts: {},
    values: {},
    secrets: {},
    agents: {},
    output: join(root, 'output'),
    [Symbol.asyncDispose]: () => rm(root, { recursive: true, force: true }),
  };
}

async function readOutcome(file: string): Promise<Outcome> {
  return JSON.parse(await readFile(file, 'utf8')) as Outcome;
}
