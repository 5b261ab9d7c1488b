import { readFileSync } from 'node:fs';
import { registerHooks } from 'node:module';
import { basename } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { OcibuildError } from '../../errors/error.ts';
import type { Position } from '../../errors/source.ts';
import { errnoOf } from '../../util/atomic-fs.ts';
import { readJsonFault } from '../../util/json-fault.ts';
import type { FileTrace } from '../fast-path.ts';
import { configError, positionAt } from './config-error.ts';
import { findConfig, PACKAGE_KEY } from './find-config.ts';
import type { FoundConfig, RawConfig } from './types.ts';

type Env = Readonly<Record<string, string | undefined>>;

/**
 * Finds and reads the config file of a directory. A `.ts` or `.js` file is code, and runs with everything that this
 * process may do.
 * @param how.isAgain runs code anew that this process has run before
 * @throws CONFIG_NOT_FOUND, CONFIG_INVALID
 */
export async function loadConfig(
  cwd: string,
  env: Env,
  given: string | undefined,
  { isAgain = false }: { readonly isAgain?: boolean } = {},
): Promise<FoundConfig> {
  const readMs = Date.now();
  const { path, looked } = findConfig(cwd, env, given);
  if (path === undefined) return { trace: { readMs, files: looked, env: {}, isWhole: true } };
  const { raw, trace } = path.endsWith('.json')
    ? readJson(path)
    : await runCode(path, isAgain ? `${AGAIN}${performance.now()}` : '');
  return { raw, trace: { readMs, ...trace, files: [...looked, path, ...trace.files] } };
}

interface Read {
  readonly raw: RawConfig;
  readonly trace: Omit<FileTrace, 'readMs'>;
}

function readJson(path: string): Read {
  const text = readFileSync(path, 'utf8');
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    const { why, offset } = readJsonFault(cause as Error, text);
    const at = offset === undefined ? undefined : positionAt(text, offset);
    throw configError(why, { path, text, ...(at === undefined ? {} : { at }) }, { cause });
  }
  if (basename(path) === 'package.json') value = (value as Record<string, unknown>)[PACKAGE_KEY];
  return { raw: { path, text, value }, trace: { files: [], env: {}, isWhole: true } };
}

/** What a module may ask for that is not the same the next time, and leaves no trace in a file or a variable. */
const CHANGEABLE =
  /\b(?:Date|Temporal|performance|crypto|fetch|WebSocket|eval|Function|globalThis|global|random|navigator)\b|\bprocess\b(?!\s*\.\s*env\b)|\bimport\s*\.\s*meta\b/;

/** `import … from 'ocibuild'`: a project need not have it among its packages, and the library takes long to load. */
const OWN_MODULE = 'data:text/javascript,export const defineConfig = (config) => config;';

/** Node runs what has the same address only once. */
const AGAIN = '?again=';

/** @param mark for addresses of the project's own modules */
async function runCode(path: string, mark: string): Promise<Read> {
  const { href } = pathToFileURL(path);
  const text = readFileSync(path, 'utf8');
  const modules = new Set<string>();
  const hooks = registerHooks({
    resolve(specifier, context, next) {
      if (specifier === PACKAGE_KEY) return { url: OWN_MODULE, shortCircuit: true };
      const isConfig = specifier === href + mark;
      const resolved = withFormat(next(isConfig ? href : specifier, context));
      const isForeign = !isOurs(context.parentURL);
      if (isForeign) modules.add(resolved.url);
      return isConfig || (isForeign && isOfProject(resolved.url))
        ? { ...resolved, url: resolved.url + mark }
        : resolved;
    },
  });
  const variables = watchVariables();
  let value: unknown;
  try {
    const module = (await import(href + mark)) as { readonly default?: unknown };
    value = await module.default;
    // What neither imports nor exports anything is CommonJS to Node, and CommonJS always exports an object.
    const isCommonJs = 'module.exports' in module;
    if (isCommonJs && !/\bexports\b/.test(text)) value = undefined;
  } catch (cause) {
    throw codeError(path, text, { cause, mark });
  } finally {
    hooks.deregister();
    variables.restore();
  }
  if (value === undefined) {
    const hint = "write `export default defineConfig({ … })`, with `import { defineConfig } from 'ocibuild'`";
    throw configError('it has no default export', { path, text }, { hint });
  }
  const foreign = [...modules];
  const files = foreign.flatMap((url) => (url.startsWith('file:') ? [fileURLToPath(url)] : []));
  const isWhole =
    !variables.sawAll() &&
    foreign.every(isOfProject) &&
    files.every((file) => !CHANGEABLE.test(readFileSync(file, 'utf8')));
  return { raw: { path, text, value }, trace: { files, env: variables.read(), isWhole } };
}

/** Node warns of modules whose package.json does not say of what kind they are, and looks at them itself. Those that
 * export something need no look. */
function withFormat<T extends { readonly url: string; readonly format?: string | null | undefined }>(
  found: T,
): T {
  const [, kind] = /^file:.*\.([jt])s$/.exec(found.url) ?? [];
  const isKnown = found.format !== undefined && found.format !== null && found.format !== 'typescript';
  if (kind === undefined || isKnown) return found;
  const isModule = /^export\b/m.test(readFileSync(fileURLToPath(found.url), 'utf8'));
  return isModule ? { ...found, format: kind === 't' ? 'module-typescript' : 'module' } : found;
}

function isOfProject(url: string): boolean {
  return url.startsWith('file:') && !url.includes('/node_modules/');
}

/** Modules that only this program asks for: its own, and those that they import. */
function isOurs(url: string | undefined): boolean {
  const base = new URL(import.meta.url.endsWith('.ts') ? '../../' : './', import.meta.url).href;
  return url?.startsWith(base) === true;
}

/** Notes which variables are read until `restore`. */
function watchVariables(): {
  read(): Record<string, string | null>;
  sawAll(): boolean;
  restore(): void;
} {
  const before = process.env;
  const names = new Set<string>();
  let all = false;
  const note = (name: string | symbol): void => {
    if (typeof name === 'string') names.add(name);
  };
  process.env = new Proxy(before, {
    get(target, name) {
      note(name);
      return Reflect.get(target, name);
    },
    has(target, name) {
      note(name);
      return Reflect.has(target, name);
    },
    ownKeys(target) {
      all = true;
      return Reflect.ownKeys(target);
    },
  });
  return {
    read: () => Object.fromEntries([...names].map((name) => [name, before[name] ?? null])),
    sawAll: () => all,
    restore() {
      process.env = before;
    },
  };
}

/** What code threw, at the line of the config file that it passed last. */
function codeError(
  path: string,
  text: string,
  { cause, mark }: { readonly cause: unknown; readonly mark: string },
): OcibuildError {
  const { message: whole = String(cause), stack = '', code } = cause as Partial<Error> & { code?: string };
  const message = whole.replaceAll(mark, '');
  const at = placeInStack(stack.replaceAll(mark, ''), path);
  const missing = /Cannot find (?:module|package) '([^']+)'/.exec(message)?.[1];
  const first =
    code === 'ERR_INVALID_TYPESCRIPT_SYNTAX' ? message.trim().split('\n').at(-1) : message.split('\n')[0];
  const what = missing === undefined ? (first ?? '').trim() : `it imports "${missing}", which is not there`;
  const hint =
    code === 'ERR_UNSUPPORTED_TYPESCRIPT_SYNTAX'
      ? 'only types may be written that can be taken away: no enum, no namespace with values'
      : undefined;
  return configError(
    errnoOf(cause) === undefined || missing !== undefined ? what : message,
    { path, text, ...(at === undefined ? {} : { at }) },
    { cause, ...(hint === undefined ? {} : { hint }) },
  );
}

function placeInStack(stack: string, path: string): Position | undefined {
  for (const name of [pathToFileURL(path).href, path]) {
    const at = stack.indexOf(`${name}:`);
    const [, line, column] = /^:(\d+)(?::(\d+))?/.exec(at < 0 ? '' : stack.slice(at + name.length)) ?? [];
    if (line !== undefined) return { line: Number(line), column: Number(column ?? 1) };
  }
  return undefined;
}
