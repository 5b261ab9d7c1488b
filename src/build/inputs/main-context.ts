import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { posix } from 'node:path';
import { storeError } from '../../cache/store-error.ts';
import type { ContentStore } from '../../cache/types.ts';
import { OcibuildError } from '../../errors/error.ts';
import { redact } from '../../errors/redact.ts';
import type { SourceFile } from '../../errors/source.ts';
import { parseHttpRef } from '../../frontend/parse/remote-ref.ts';
import type { Digest } from '../../image/types.ts';
import { resolvePath } from '../../layer/tree/tree-view.ts';
import type { ArchiveSource, GitSource, HttpSource } from '../../llb/ops.ts';
import type { PlanSource } from '../../solver/ops/file-plan.ts';
import { untilAborted } from '../../util/until-aborted.ts';
import type { Engine } from '../engine.ts';
import type { InternalSteps } from '../internal-steps.ts';
import type { NormalOptions } from '../normalise.ts';
import { type DefinitionFiles, DOCKERFILES, readDefinition } from './definition-files.ts';
import type { RemoteSource, RemoteSources } from './remote-sources.ts';

export interface MainContext {
  readonly files: DefinitionFiles;
  /** What COPY reads from; undefined: the directory `contextDir`. */
  readonly source: RemoteSource | undefined;
  readonly contextDir: string;
}

export interface MainContextDeps {
  readonly options: NormalOptions;
  readonly engine: Engine;
  readonly remote: RemoteSources;
  readonly steps: InternalSteps;
  readonly signal: AbortSignal;
}

/** Gives the text of a file of a context; undefined where there is none. */
type ReadText = (path: string) => Promise<string | undefined>;

/** Whether the definition of a build can be read before anything is fetched. */
export function isLocalDefinition({ context, dockerfile, dockerfileText }: NormalOptions): boolean {
  return context.type === 'directory' && (dockerfileText !== undefined || !isUrl(dockerfile));
}

/**
 * Finds the Dockerfile where the context or the Dockerfile itself comes from elsewhere. A context that is no directory
 * has no ignore file, as in Docker.
 * @throws DOCKERFILE_NOT_FOUND, DOWNLOAD_*, GIT_*, USAGE_INVALID
 */
export async function loadMainContext(deps: MainContextDeps): Promise<MainContext> {
  const { options } = deps;
  const { context } = options;
  const given = await givenDockerfile(deps);
  switch (context.type) {
    case 'directory': {
      const files = readDefinition({
        ...options,
        ...(given === undefined ? {} : { dockerfileText: given.text }),
      });
      const dockerfile = given ?? files.dockerfile;
      return { files: { ...files, dockerfile }, source: undefined, contextDir: context.dir };
    }
    case 'git':
      return loadGit(context, given, deps);
    case 'http':
      return loadHttp(context, given, deps);
    case 'stdin':
      return loadStdin(given, deps);
  }
}

/** A Dockerfile that comes beside the context: as text, or from a URL. */
async function givenDockerfile({
  options,
  remote,
  steps,
  signal,
}: MainContextDeps): Promise<SourceFile | undefined> {
  const { dockerfileText, dockerfile } = options;
  if (dockerfileText !== undefined) return { name: 'Dockerfile', text: dockerfileText };
  const http = dockerfile === undefined ? undefined : parseHttpRef(dockerfile);
  if (http === undefined) return undefined;
  const name = redact(http.url);
  return steps.run(`[internal] load build definition from ${name}`, async () => {
    const { path, size } = await remote.downloads.fetch({ type: 'http', mode: 0o600, ...http }, signal);
    if (size > MAX_DOCKERFILE) throw tooLong(name, size);
    return { name, text: readFileSync(path, 'utf8') };
  });
}

async function loadGit(
  source: GitSource,
  given: SourceFile | undefined,
  { options, remote, steps, signal }: MainContextDeps,
): Promise<MainContext> {
  return steps.run(`[internal] load git source ${redact(source.remote)}`, async () => {
    const read: ReadText = async (path) => {
      const onSize = (bytes: number): void => {
        if (bytes > MAX_DOCKERFILE) throw tooLong(path, bytes);
      };
      return (await remote.git.readFile(source, path, { signal, onSize }))?.toString('utf8');
    };
    const dockerfile = given ?? (await findDockerfile(options, read, redact(source.remote)));
    return remoteContext(dockerfile, source);
  });
}

async function loadHttp(
  source: HttpSource,
  given: SourceFile | undefined,
  { options, remote, steps, signal }: MainContextDeps,
): Promise<MainContext> {
  return steps.run('[internal] load remote build context', async () => {
    const shown = redact(source.url);
    const { path, size } = await remote.downloads.fetch(source, signal);
    const archive = await remote.archive(path, shown, signal);
    if (archive !== undefined) {
      const dockerfile = given ?? (await findDockerfile(options, textOf(archive), shown));
      return remoteContext(dockerfile, source);
    }
    if (size > MAX_DOCKERFILE) throw tooLong(shown, size);
    return remoteContext(given ?? { name: shown, text: readFileSync(path, 'utf8') }, source);
  });
}

async function loadStdin(
  given: SourceFile | undefined,
  { options, engine, remote, steps, signal }: MainContextDeps,
): Promise<MainContext> {
  const { stdin } = options;
  if (stdin === undefined)
    throw new OcibuildError('USAGE_INVALID', 'Cannot read the context "-": stdin was not given');
  const name = '[internal] load build context from stdin';
  const blob = await steps.run(name, (step) => {
    const counted = countBytes(untilAborted(stdin, signal), (bytes) =>
      step.status('transferring context', bytes),
    );
    return keepStream(counted, engine.content);
  });
  const path = engine.content.path(blob.digest);
  const archive = blob.size === 0 ? undefined : await remote.archive(path, 'stdin', signal);
  if (archive !== undefined) {
    const source: ArchiveSource = { type: 'archive', digest: blob.digest };
    return remoteContext(given ?? (await findDockerfile(options, textOf(archive), 'stdin')), source);
  }
  if (options.dockerfile !== undefined) {
    throw new OcibuildError('USAGE_INVALID', 'Cannot use the Dockerfile on stdin: -f names another one', {
      hint: 'leave -f out, or send a tar archive that holds the Dockerfile',
    });
  }
  if (blob.size > MAX_DOCKERFILE) throw tooLong('stdin', blob.size);
  const contextDir = engine.root.tempPath();
  mkdirSync(contextDir, { mode: 0o700 });
  const dockerfile = { name: 'Dockerfile', text: readFileSync(path, 'utf8') };
  const files = readDefinition({ ...options, contextDir, dockerfileText: dockerfile.text });
  return { files, source: undefined, contextDir };
}

async function* countBytes(
  stream: AsyncIterable<Uint8Array>,
  onBytes: (bytes: number) => void,
): AsyncGenerator<Uint8Array> {
  let bytes = 0;
  let told = 0;
  for await (const chunk of stream) {
    yield chunk;
    bytes += chunk.length;
    if (bytes - told < TOLD_BYTES) continue;
    onBytes(bytes);
    told = bytes;
  }
}

function remoteContext(dockerfile: SourceFile, source: RemoteSource): MainContext {
  const readDockerfile = (path: string): SourceFile => {
    throw new OcibuildError(
      'DOCKERFILE_NOT_FOUND',
      `Cannot read the Dockerfile "${path}": other Dockerfiles are read from directories only`,
    );
  };
  return { files: { dockerfile, ignoreFile: undefined, looked: [], readDockerfile }, source, contextDir: '' };
}

async function findDockerfile(
  { dockerfile }: NormalOptions,
  read: ReadText,
  where: string,
): Promise<SourceFile> {
  const wanted = dockerfile === undefined ? DOCKERFILES : [dockerfile, ...lowercase(dockerfile)];
  for (const name of wanted) {
    const text = await read(posix.resolve('/', name).slice(1));
    if (text !== undefined) return { name, text };
  }
  throw new OcibuildError('DOCKERFILE_NOT_FOUND', `Cannot find the Dockerfile "${wanted[0]}" in "${where}"`, {
    details: { path: wanted[0] },
    hint: 'name it with `-f PATH`, relative to the context',
  });
}

function lowercase(name: string): string[] {
  return posix.basename(name) === 'Dockerfile' ? [posix.join(posix.dirname(name), 'dockerfile')] : [];
}

function textOf({ view, content }: PlanSource): ReadText {
  return async (path) => {
    const found = resolvePath(view, path, { followLast: true });
    if (found?.entry?.type !== 'file') return undefined;
    if (found.entry.size > MAX_DOCKERFILE) throw tooLong(path, found.entry.size);
    return readFileSync(content(found.entry).path, 'utf8');
  };
}

async function keepStream(
  stream: AsyncIterable<Uint8Array>,
  content: ContentStore,
): Promise<{ digest: Digest; size: number }> {
  const hash = createHash('sha256');
  const temp = content.tempFile();
  let size = 0;
  try {
    await using file = await open(temp, 'wx', 0o600);
    for await (const chunk of stream) {
      hash.update(chunk);
      size += chunk.length;
      await file.writeFile(chunk);
    }
  } catch (error) {
    rmSync(temp, { force: true });
    throw storeError(error, temp);
  }
  const digest: Digest = `sha256:${hash.digest('hex')}`;
  content.ingest(temp, digest, size);
  return { digest, size };
}

/** How often the progress of a stream is told. */
const TOLD_BYTES = 1024 * 1024;
/** What is longer is no Dockerfile, but may fill the memory. */
const MAX_DOCKERFILE = 16 << 20;

function tooLong(name: string, size: number): OcibuildError {
  return new OcibuildError(
    'DOCKERFILE_NOT_FOUND',
    `Cannot use "${name}" as Dockerfile: it has ${size} B and is no archive`,
  );
}

function isUrl(dockerfile: string | undefined): boolean {
  return dockerfile !== undefined && parseHttpRef(dockerfile) !== undefined;
}
