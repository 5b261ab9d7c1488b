import { readFileSync, type Stats, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { OcibuildError } from '../../errors/error.ts';
import { errnoOf } from '../../util/atomic-fs.ts';

/** Names of config files; one directory has at most one of them. */
const CONFIG_NAMES: readonly string[] = ['ts', 'mts', 'js', 'mjs', 'json'].map(
  (end) => `ocibuild.config.${end}`,
);
/** In a package.json. */
export const PACKAGE_KEY = 'ocibuild';

export interface ConfigPlace {
  readonly path?: string;
  /** Paths whose appearing or changing would find another. */
  readonly looked: readonly string[];
}

type Env = Readonly<Record<string, string | undefined>>;

/**
 * The config file that holds in a directory: the nearest, from there upwards to the root of the repository or to the
 * home directory. Outside of both only the directory itself is looked at, for above it others may write.
 * @param given `--config` or OCIBUILD_CONFIG: a path, or `none`
 * @throws CONFIG_NOT_FOUND, CONFIG_INVALID where a directory has two
 */
export function findConfig(cwd: string, env: Env, given: string | undefined): ConfigPlace {
  if (given === 'none') return { looked: [] };
  if (given !== undefined && given !== '') {
    const path = resolve(cwd, given);
    if (isFile(path)) return { path, looked: [] };
    throw new OcibuildError(
      'CONFIG_NOT_FOUND',
      `Cannot use the config file "${given}": there is no such file`,
      {
        hint: 'without one: --config none',
      },
    );
  }
  const looked: string[] = [];
  for (const dir of directoriesFrom(cwd, env, looked)) {
    const names = CONFIG_NAMES.map((name) => join(dir, name));
    const packageFile = join(dir, 'package.json');
    looked.push(...names, packageFile);
    const found = [...names.filter(isFile), ...(hasKey(packageFile) ? [packageFile] : [])];
    if (found.length > 1) {
      throw new OcibuildError(
        'CONFIG_INVALID',
        `Cannot choose between the config files "${found.join('" and "')}"`,
        { hint: 'remove one of them, or name one with --config' },
      );
    }
    const [path] = found;
    if (path !== undefined) return { path, looked };
  }
  return { looked };
}

/** From the directory upwards to the boundary, that included. */
function directoriesFrom(cwd: string, env: Env, looked: string[]): readonly string[] {
  const home = env.HOME ? resolve(env.HOME) : undefined;
  const dirs: string[] = [];
  for (let dir = resolve(cwd); ; dir = dirname(dir)) {
    const mark = join(dir, '.git');
    const found = statOf(mark);
    // It holds nothing for a user who cannot look into it, nor does what is above.
    if (found === 'unreadable') return dirs.slice(0, 1);
    dirs.push(dir);
    if (found !== undefined || dir === home) return dirs;
    looked.push(mark);
    if (dirname(dir) === dir) return dirs.slice(0, 1);
  }
}

function isFile(path: string): boolean {
  const stat = statOf(path);
  return typeof stat === 'object' && stat.isFile();
}

function statOf(path: string): Stats | 'unreadable' | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch (error) {
    if (errnoOf(error) !== undefined) return 'unreadable';
    throw error;
  }
}

/** A package.json that is broken is for others to tell of, unless it seems to be meant for us. */
function hasKey(path: string): boolean {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (errnoOf(error) !== undefined) return false;
    throw error;
  }
  if (!text.includes(`"${PACKAGE_KEY}"`)) return false;
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && Object.hasOwn(value, PACKAGE_KEY);
  } catch {
    // Whoever reads it says where it is broken.
    return true;
  }
}
