import { realpathSync, statSync } from 'node:fs';
import { dirname, isAbsolute, join, relative, sep } from 'node:path';
import { OcibuildError } from '../../errors/error.ts';
import type { SourceFile } from '../../errors/source.ts';
import { errnoOf } from '../../util/atomic-fs.ts';

export interface DockerfileReaderOptions {
  /** The Dockerfile of the build, and where it is; undefined: its text came from elsewhere. */
  readonly main: SourceFile;
  readonly path: string | undefined;
  readonly contextDir: string;
  /** Gives the text of a file; undefined where there is none. */
  readonly read: (path: string, name: string) => SourceFile | undefined;
}

/**
 * Reads the Dockerfiles that `FROM file:` names. A path counts from the file that names it, and must lie, symlinks
 * followed, in the context or in the Dockerfile's own directory: a Dockerfile from elsewhere must not read the rest of
 * the machine. The same file is the same object.
 * @throws DOCKERFILE_NOT_FOUND
 */
export function createDockerfileReader(
  options: DockerfileReaderOptions,
): (path: string, from: SourceFile) => SourceFile {
  const { main, contextDir } = options;
  const mainDir = options.path === undefined ? contextDir : dirname(options.path);
  const places = new Map<SourceFile, string>([[main, options.path ?? join(contextDir, main.name)]]);
  const known = new Map<string, SourceFile>();
  // A pipe (`-f <(…)`) has no path of its own.
  const own = options.path === undefined ? undefined : realPath(options.path);
  if (own !== undefined) known.set(own, main);
  return (path, from) => {
    if (isAbsolute(path)) throw notRead(path, 'it must be relative to the file that names it');
    const full = join(dirname(places.get(from) ?? join(mainDir, from.name)), path);
    const name = isInside(contextDir, full) ? relative(contextDir, full) : relative(mainDir, full);
    const real = realPath(full);
    if (real === undefined) throw notRead(path, `"${full}" does not exist`);
    if (![contextDir, mainDir].some((dir) => isInside(realpathSync(dir), real))) {
      throw notRead(path, `"${real}" lies neither in the context nor in the directory of the Dockerfile`);
    }
    const before = known.get(real);
    if (before !== undefined) return before;
    if (!statSync(real).isFile()) throw notRead(path, `"${full}" is not a regular file`);
    const file = options.read(full, name);
    if (file === undefined) throw notRead(path, `"${full}" does not exist`);
    known.set(real, file);
    places.set(file, full);
    return file;
  };
}

function notRead(path: string, why: string): OcibuildError {
  return new OcibuildError('DOCKERFILE_NOT_FOUND', `Cannot read the Dockerfile "${path}": ${why}`);
}

function realPath(path: string): string | undefined {
  try {
    return realpathSync(path);
  } catch (error) {
    const code = errnoOf(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw notRead(path, code ?? 'unknown');
  }
}

function isInside(dir: string, path: string): boolean {
  return path.startsWith(dir.endsWith(sep) ? dir : dir + sep);
}
