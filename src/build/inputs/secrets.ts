import { accessSync, constants, readFileSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { OcibuildError } from '../../errors/error.ts';
import type { SecretSource } from '../options.ts';

/** As in BuildKit: a secret is a key or a token, not a file to be shipped. */
const MAX_BYTES = 500 * 1024;

/** Reads secrets when they are asked for; values are never kept. */
export interface Secrets {
  /** The value; undefined where none of that id was given, or its variable is not set.
   * @throws SECRET_INVALID when it cannot be read or is larger than 500 KiB */
  get(id: string): Uint8Array | undefined;
  /** What stands for a variable that is not set where nobody insists: an empty value, as in Docker. */
  unset(id: string): Uint8Array | undefined;
}

export function createSecrets(
  sources: Readonly<Record<string, SecretSource>>,
  { env, cwd }: { readonly env: Readonly<Record<string, string | undefined>>; readonly cwd: string },
): Secrets {
  const read = (id: string, source: SecretSource): Uint8Array | undefined => {
    switch (source.type) {
      case 'value':
        return Buffer.from(source.value);
      case 'env': {
        const value = env[source.name];
        return value === undefined ? undefined : Buffer.from(value);
      }
      case 'file':
        return readFile(id, resolve(cwd, source.path));
    }
  };
  const sourceOf = (id: string): SecretSource | undefined =>
    Object.hasOwn(sources, id) ? sources[id] : undefined;
  return {
    unset: (id) => (sourceOf(id)?.type === 'env' ? new Uint8Array() : undefined),
    get(id) {
      const source = sourceOf(id);
      const value = source === undefined ? undefined : read(id, source);
      if (value !== undefined) checkSize(id, value.length);
      return value;
    },
  };
}

/** Before a build: files of secrets that no step may ask for are looked at as well, but not read. @throws SECRET_INVALID */
export function checkSecretFiles(sources: Readonly<Record<string, SecretSource>>, cwd: string): void {
  for (const [id, source] of Object.entries(sources)) {
    if (source.type === 'file') asSecretFile(id, resolve(cwd, source.path), lookAt);
  }
}

function readFile(id: string, path: string): Buffer {
  return asSecretFile(id, path, (at) => {
    checkSize(id, statSync(at).size);
    return readFileSync(at);
  });
}

function lookAt(path: string, id: string): void {
  accessSync(path, constants.R_OK);
  const stat = statSync(path);
  if (stat.isDirectory()) throw Object.assign(new Error(path), { code: 'EISDIR' });
  checkSize(id, stat.size);
}

function asSecretFile<T>(id: string, path: string, use: (path: string, id: string) => T): T {
  try {
    return use(path, id);
  } catch (cause) {
    if (cause instanceof OcibuildError) throw cause;
    const { code } = cause as NodeJS.ErrnoException;
    const why = code === 'ENOENT' ? 'there is no such file' : code === 'EISDIR' ? 'it is a directory' : code;
    throw new OcibuildError('SECRET_INVALID', `Cannot read the secret "${id}" from "${path}": ${why}`, {
      cause,
      details: { id, path },
    });
  }
}

function checkSize(id: string, bytes: number): void {
  if (bytes <= MAX_BYTES) return;
  throw new OcibuildError(
    'SECRET_INVALID',
    `Cannot use the secret "${id}": it has ${bytes} B, more than the ${MAX_BYTES} B allowed`,
    { details: { id }, hint: 'mount large files from a build context instead' },
  );
}
