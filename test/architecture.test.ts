import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';

const SRC = resolve(import.meta.dirname, '../src');

/** Each folder's level: values are imported from lower levels only. */
const LEVELS: Readonly<Record<string, number>> = {
  errors: 0,
  util: 0,
  image: 1,
  http: 1,
  layer: 2,
  llb: 2,
  frontend: 3,
  solver: 3,
  cache: 3,
  executor: 3,
  registry: 3,
  source: 3,
  exporter: 4,
  transfer: 5,
  attest: 5,
  remotecache: 6,
  build: 7,
  ui: 8,
  watch: 8,
  cli: 8,
};

/** Folders of one level that may use one another's values, and the narrower lists of level 8. */
const VALUES_FROM: Readonly<Record<string, readonly string[]>> = {
  util: ['errors'],
  ui: ['errors', 'util'],
  watch: ['build', 'errors', 'util'],
  cli: ['build', 'errors', 'util', 'ui', 'watch'],
};

/** The folders that work on data alone. */
const PURE = ['errors', 'llb', 'frontend', 'solver'];
const IMPURE_BUILTINS =
  /^node:(fs|net|tls|http|https|http2|dgram|dns|child_process|worker_threads|sqlite)(\/|$)/;
const HOST_FOLDERS = ['cli', 'build', 'ui'];

interface Import {
  readonly specifier: string;
  readonly typeOnly: boolean;
  readonly reExport: boolean;
}
interface Module {
  readonly path: string;
  readonly folder: string;
  readonly text: string;
  readonly imports: readonly Import[];
}

function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|[\s;{}(,])\/\/[^\n]*/g, '$1');
}

function scanImports(text: string): Import[] {
  const found: Import[] = [];
  const statement = /^\s*(import|export)\s+(type\s+)?(?:[\w$*{][^;'"`]*?\s*from\s*)?['"]([^'"\n]+)['"]/gm;
  for (const [, keyword, type, specifier] of text.matchAll(statement)) {
    found.push({ specifier: specifier ?? '', typeOnly: type !== undefined, reExport: keyword === 'export' });
  }
  for (const [, specifier] of text.matchAll(/(?<!typeof )\bimport\(\s*['"]([^'"\n]+)['"]\s*\)/g)) {
    found.push({ specifier: specifier ?? '', typeOnly: false, reExport: false });
  }
  return found;
}

function readModules(): Map<string, Module> {
  const modules = new Map<string, Module>();
  for (const entry of readdirSync(SRC, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !/\.tsx?$/.test(entry.name)) continue;
    const path = relative(SRC, join(entry.parentPath, entry.name));
    const text = withoutComments(readFileSync(join(SRC, path), 'utf8'));
    const folder = path.includes('/') ? (path.split('/')[0] ?? '') : '';
    modules.set(path, { path, folder, text, imports: scanImports(text) });
  }
  return modules;
}

const modules = readModules();

function targetOf(module: Module, { specifier }: Import): string | undefined {
  return specifier.startsWith('.') ? join(module.path, '..', specifier) : undefined;
}

function valueTargets(module: Module): string[] {
  return module.imports
    .filter((item) => !item.typeOnly)
    .map((item) => targetOf(module, item))
    .filter((path) => path !== undefined);
}

/** The shortest way from an entry point to a module, as `a → b → c`. */
function chainTo(goal: string): string {
  const previous = new Map<string, string>();
  const queue = ['index.ts', 'namespace-main.ts', 'cli/main.ts'].filter((path) => modules.has(path));
  const seen = new Set(queue);
  for (let path = queue.shift(); path !== undefined; path = queue.shift()) {
    if (path === goal) break;
    const module = modules.get(path);
    for (const next of module ? valueTargets(module) : []) {
      if (seen.has(next)) continue;
      seen.add(next);
      previous.set(next, path);
      queue.push(next);
    }
  }
  const chain = [goal];
  for (let path = previous.get(goal); path !== undefined; path = previous.get(path)) chain.unshift(path);
  return chain.join(' → ');
}

/** Why this import is against the level table, or undefined. */
function offence(module: Module, item: Import): string | undefined {
  const target = targetOf(module, item);
  if (target === undefined || module.folder === '') return undefined;
  const folder = target.split('/')[0] ?? '';
  if (folder === module.folder) return undefined;
  const from = LEVELS[module.folder] ?? -1;
  const to = LEVELS[folder] ?? 99;
  if (item.typeOnly) {
    const lower = to < from && from < 8 && !(from === 4 && to === 3);
    return lower || target.endsWith('/types.ts') || VALUES_FROM[module.folder]?.includes(folder)
      ? undefined
      : `type import outside of ${folder}/types.ts`;
  }
  const listed = VALUES_FROM[module.folder];
  if (listed)
    return listed.includes(folder)
      ? undefined
      : `${module.folder} may use values of ${listed.join(', ')} only`;
  if (to >= from) return `level ${from} uses values of level ${to}`;
  if (from === 4 && to === 3) return 'exporter uses level 3 by type only';
  return undefined;
}

function findCycle(): string | undefined {
  const done = new Set<string>();
  const visit = (path: string, trail: readonly string[]): string | undefined => {
    const start = trail.indexOf(path);
    if (start >= 0) return [...trail.slice(start), path].join(' → ');
    const module = modules.get(path);
    if (done.has(path) || module === undefined) return undefined;
    for (const next of valueTargets(module)) {
      const cycle = visit(next, [...trail, path]);
      if (cycle !== undefined) return cycle;
    }
    done.add(path);
    return undefined;
  };
  for (const path of modules.keys()) {
    const cycle = visit(path, []);
    if (cycle !== undefined) return cycle;
  }
  return undefined;
}

const every = [...modules.values()];

describe('architecture of src', () => {
  it('scan sees the whole tree when it runs', () => {
    expect(modules.size).toBeGreaterThanOrEqual(50);
    const edges = every.flatMap((module) => valueTargets(module));
    expect(edges.length).toBeGreaterThan(modules.size);
    expect(edges.filter((path) => !modules.has(path))).toEqual([]);
  });

  it('scanImports() tells values from types when both stand in one file', () => {
    const text = `import type { A } from './a.ts';\nimport { type B, c } from './b.ts';\nimport './side.ts';
export { d } from './d.ts';\nimport {\n  e,\n  f,\n} from './e.ts';\nconst g = await import('./g.ts');\nexport const h = 'x';`;
    expect(scanImports(text).map((item) => [item.specifier, item.typeOnly])).toEqual([
      ['./a.ts', true],
      ['./b.ts', false],
      ['./side.ts', false],
      ['./d.ts', false],
      ['./e.ts', false],
      ['./g.ts', false],
    ]);
  });

  it('every folder has a level when a new one appears', () => {
    const folders = new Set(every.map((module) => module.folder));
    expect([...folders].filter((folder) => folder !== '' && !(folder in LEVELS))).toEqual([]);
    expect(every.filter((module) => module.folder === '').map((module) => module.path)).toEqual([
      'index.ts',
      'namespace-main.ts',
    ]);
  });

  it('imports follow the level table when a module uses another folder', () => {
    const offences = every.flatMap((module) =>
      module.imports.flatMap((item) => {
        const why = offence(module, item);
        return why === undefined ? [] : [`${chainTo(module.path)} → ${targetOf(module, item)}: ${why}`];
      }),
    );
    expect(offences).toEqual([]);
  });

  it('no module reaches itself when its value imports are followed', () => {
    expect(findCycle()).toBeUndefined();
  });

  it('pure folders stay off disk, network and processes when they import builtins', () => {
    const offences = every
      .filter((module) => PURE.includes(module.folder))
      .flatMap((module) =>
        module.imports
          .filter((item) => !item.typeOnly && IMPURE_BUILTINS.test(item.specifier))
          .map((item) => `${chainTo(module.path)} → ${item.specifier}`),
      );
    expect(offences).toEqual([]);
  });

  it('nothing is exported by default and only index.ts re-exports when modules export', () => {
    const defaults = every.filter((module) => /^\s*export\s+default\b|\bas\s+default\b/m.test(module.text));
    expect(defaults.map((module) => module.path)).toEqual([]);
    const barrels = every.filter(
      (module) => module.path !== 'index.ts' && module.imports.some((item) => item.reExport),
    );
    expect(barrels.map((module) => module.path)).toEqual([]);
  });

  it('environment, working folder and console are read in cli, build and ui only', () => {
    // A local variable of that name (a process specification) is not Node's.
    const ownProcess =
      /\b(const|let)\s*\{[^}]*\bprocess\b[^}]*\}\s*=|\b(const|let)\s+process\b|[(,]\s*process\s*[:,)]/;
    const offences = every
      .filter((module) => !HOST_FOLDERS.includes(module.folder) && !ownProcess.test(module.text))
      .flatMap((module) =>
        [...module.text.matchAll(/\bprocess\.(env|cwd)\b|\bconsole\.\w+/g)].map(
          ([use]) => `${module.path}: ${use}`,
        ),
      );
    expect(offences).toEqual([]);
  });

  it('files stay within 400 lines when they grow', () => {
    const long = every.map((module) => [
      module.path,
      readFileSync(join(SRC, module.path), 'utf8').split('\n').length - 1,
    ]);
    expect(long.filter(([, lines]) => Number(lines) > 400)).toEqual([]);
  });

  it('ARCHITECTURE.md names files and folders that exist', () => {
    const page = readFileSync(join(SRC, '../ARCHITECTURE.md'), 'utf8');
    const names = [...page.matchAll(/`([\w./-]+)`/g)].map(([, name = '']) => name);
    const files = names.filter((name) => /\.tsx?$/.test(name));
    const folders = names.filter((name) => /^\w+\/[\w/-]+$/.test(name) && name.split('/', 1)[0] !== 'blobs');
    expect(files.length).toBeGreaterThan(20);
    const known = every.map(({ path }) => path);
    const isFile = (name: string): boolean =>
      name.includes('/')
        ? known.includes(name) || existsSync(join(SRC, '..', name))
        : known.some((path) => path === name || path.endsWith(`/${name}`));
    const lost = [
      ...files.filter((name) => !isFile(name)),
      ...folders.filter((name) => name !== 'tmp/x' && !known.some((path) => path.startsWith(`${name}/`))),
    ];
    expect(lost).toEqual([]);
  });

  it('ARCHITECTURE.md has a row for each folder, on its level', () => {
    const page = readFileSync(join(SRC, '../ARCHITECTURE.md'), 'utf8');
    const rows = [...page.matchAll(/^\| (\d) \| ([^|]+) \|/gm)].flatMap(([, level, folders = '']) =>
      [...folders.matchAll(/`(\w+)`/g)].map(([, folder = '']) => [folder, Number(level)]),
    );
    expect(Object.fromEntries(rows)).toEqual(LEVELS);
  });
});
