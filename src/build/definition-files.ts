import { lstatSync, readFileSync, statSync } from 'node:fs';
import { basename, join, relative, resolve } from 'node:path';
import { OcibuildError } from '../errors/error.ts';
import type { SourceFile } from '../errors/source.ts';
import { suggest } from '../errors/suggest.ts';
import type { NormalOptions } from './normalise.ts';

export interface DefinitionFiles {
  readonly dockerfile: SourceFile;
  readonly ignoreFile: SourceFile | undefined;
  /** Every path that was looked at, also in vain: what a later build must find the same. */
  readonly looked: readonly string[];
}

/** Docker's default names, in the order they are tried; the last is Buildah's. */
const DOCKERFILES = ['Dockerfile', 'dockerfile', 'Containerfile'];

/** Reads the Dockerfile and the ignore file of the main context.
 * @throws CONTEXT_NOT_FOUND, DOCKERFILE_NOT_FOUND */
export function readDefinition(options: NormalOptions): DefinitionFiles {
  const { contextDir } = options;
  checkContext(contextDir);
  const looked: string[] = [];
  const read = (path: string, name: string): SourceFile | undefined => {
    looked.push(path);
    try {
      return { name, text: readFileSync(path, 'utf8') };
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
      throw new OcibuildError(
        'DOCKERFILE_NOT_FOUND',
        `Cannot read "${path}": ${code === 'EISDIR' ? 'it is a directory' : code}`,
        {
          cause: error,
        },
      );
    }
  };
  const { path, file } = findDockerfile(options, read);
  // The ignore file of one Dockerfile beats that of the context; they are not merged.
  const ignoreFile =
    (path === undefined ? undefined : read(`${path}.dockerignore`, `${basename(path)}.dockerignore`)) ??
    read(join(contextDir, '.dockerignore'), '.dockerignore');
  return { dockerfile: file, ignoreFile, looked };
}

/** The ignore file of a named context. */
export function readIgnoreFile(dir: string): { readonly ignoreFile?: SourceFile } {
  const path = join(dir, '.dockerignore');
  if (lstatSync(path, { throwIfNoEntry: false }) === undefined) return {};
  return { ignoreFile: { name: path, text: readFileSync(path, 'utf8') } };
}

function checkContext(dir: string): void {
  const stat = statSync(dir, { throwIfNoEntry: false });
  if (stat?.isDirectory()) return;
  throw new OcibuildError(
    'CONTEXT_NOT_FOUND',
    `Cannot use "${dir}" as build context: ${stat === undefined ? 'it does not exist' : 'it is not a directory'}`,
    { details: { path: dir } },
  );
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
  const near = dockerfile === undefined ? undefined : suggest(basename(dockerfile), DOCKERFILES);
  throw new OcibuildError('DOCKERFILE_NOT_FOUND', `Cannot find the Dockerfile "${candidates[0]}"`, {
    details: { path: candidates[0] },
    hint: near === undefined ? 'name it with `-f PATH`' : `did you mean "${near}"?`,
  });
}

/** Docker tries `dockerfile` where exactly `Dockerfile` is missing. */
function lowercase(path: string): string[] {
  return basename(path) === 'Dockerfile' ? [join(path, '..', 'dockerfile')] : [];
}
