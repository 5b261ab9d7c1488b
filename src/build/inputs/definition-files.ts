import { existsSync, readFileSync, statSync } from 'node:fs';
import { basename, join, relative, resolve } from 'node:path';
import { OcibuildError } from '../../errors/error.ts';
import type { SourceFile } from '../../errors/source.ts';
import { suggest } from '../../errors/suggest.ts';
import type { NormalOptions } from '../normalise.ts';
import { createDockerfileReader } from './named-dockerfiles.ts';

export interface DefinitionFiles {
  readonly dockerfile: SourceFile;
  /** Where the Dockerfile is; absent where it is no file of this machine. */
  readonly path?: string;
  readonly ignoreFile: SourceFile | undefined;
  /** Every path that was looked at, also in vain: what a later build must find the same. */
  readonly looked: readonly string[];
  /** Reads a file that the Dockerfile names (`FROM file:`); adds to `looked`. */
  readonly readDockerfile: (path: string, from: SourceFile) => SourceFile;
  /** The lock file beside the Dockerfile, whether it is there or not; absent where the Dockerfile is no file. */
  readonly lockFile?: LockFilePlace;
}

export interface LockFilePlace {
  readonly path: string;
  /** As shown. */
  readonly name: string;
  /** The text; undefined where there is none. Adds to `looked`. */
  read(): string | undefined;
}

/** Docker's default names, in the order they are tried; the last is Buildah's. */
export const DOCKERFILES: readonly string[] = ['Dockerfile', 'dockerfile', 'Containerfile'];

const CONTEXT_HINT =
  'the context is the directory to build from, on the command line its last word: `ocibuild -t app .`';

/** Reads the Dockerfile and the ignore file of the main context.
 * @throws CONTEXT_NOT_FOUND, DOCKERFILE_NOT_FOUND */
export function readDefinition(options: NormalOptions): DefinitionFiles {
  const { contextDir } = options;
  checkContext(contextDir, CONTEXT_HINT);
  const looked: string[] = [];
  const read = (path: string, name: string): SourceFile | undefined => {
    looked.push(path);
    return readText(path, name);
  };
  const { path, file } = findDockerfile(options, read);
  // The ignore file of one Dockerfile beats that of the context; they are not merged.
  const ignoreFile =
    (path === undefined ? undefined : read(`${path}.dockerignore`, `${basename(path)}.dockerignore`)) ??
    read(join(contextDir, '.dockerignore'), '.dockerignore');
  const readDockerfile = createDockerfileReader({ main: file, path, contextDir, read });
  if (path === undefined) return { dockerfile: file, ignoreFile, looked, readDockerfile };
  const [lockPath, lockName] = [`${path}.lock`, `${file.name}.lock`];
  const lockFile = { path: lockPath, name: lockName, read: () => read(lockPath, lockName)?.text };
  return { dockerfile: file, path, ignoreFile, looked, readDockerfile, lockFile };
}

/** The ignore file of a named context. @throws CONTEXT_NOT_FOUND, DOCKERFILE_NOT_FOUND */
export function readIgnoreFile(dir: string): { readonly ignoreFile?: SourceFile } {
  checkContext(dir, 'a named context is a directory, a URL, docker-image://REF or oci-layout://DIR');
  const path = join(dir, '.dockerignore');
  const file = readText(path, path);
  return file === undefined ? {} : { ignoreFile: file };
}

function readText(path: string, name: string): SourceFile | undefined {
  try {
    return { name, text: readFileSync(path, 'utf8') };
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw new OcibuildError(
      'DOCKERFILE_NOT_FOUND',
      `Cannot read "${path}": ${code === 'EISDIR' ? 'it is a directory' : code}`,
      { cause: error },
    );
  }
}

function checkContext(dir: string, hint: string): void {
  const why = whyNoDirectory(dir);
  if (why === undefined) return;
  throw new OcibuildError('CONTEXT_NOT_FOUND', `Cannot use "${dir}" as build context: ${why}`, {
    details: { path: dir },
    hint,
  });
}

function whyNoDirectory(path: string): string | undefined {
  try {
    return statSync(path).isDirectory() ? undefined : 'it is not a directory';
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    return code === 'ENOENT' || code === 'ENOTDIR' ? 'it does not exist' : String(code);
  }
}

function findDockerfile(
  options: NormalOptions,
  read: (path: string, name: string) => SourceFile | undefined,
): { path: string | undefined; file: SourceFile } {
  const { contextDir, cwd, dockerfile, dockerfileText } = options;
  if (dockerfileText !== undefined)
    return { path: undefined, file: { name: 'Dockerfile', text: dockerfileText } };
  const candidates =
    dockerfile === undefined
      ? DOCKERFILES.map((name) => join(contextDir, name))
      : [resolve(cwd, dockerfile), ...lowercase(resolve(cwd, dockerfile))];
  for (const path of candidates) {
    const name = relative(contextDir, path);
    const file = read(path, name.startsWith('..') ? path : name);
    if (file !== undefined) return { path, file };
  }
  throw new OcibuildError('DOCKERFILE_NOT_FOUND', `Cannot find the Dockerfile "${candidates[0]}"`, {
    details: { path: candidates[0] },
    hint: missingHint(options),
  });
}

function missingHint({ contextDir, cwd, dockerfile }: NormalOptions): string {
  if (dockerfile === undefined) return 'name it with `-f PATH`';
  const inContext = join(contextDir, dockerfile);
  if (existsSync(inContext)) {
    return `paths start at the current directory, not at the context: -f ${relative(cwd, inContext)}`;
  }
  const near = suggest(basename(dockerfile), DOCKERFILES);
  return near === undefined || near === basename(dockerfile)
    ? 'name it with `-f PATH`'
    : `did you mean "${near}"?`;
}

/** Docker tries `dockerfile` where exactly `Dockerfile` is missing. */
function lowercase(path: string): string[] {
  return basename(path) === 'Dockerfile' ? [join(path, '..', 'dockerfile')] : [];
}
