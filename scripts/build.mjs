#!/usr/bin/env node
// Bundles src into dist: one flat folder, because workers are found by new URL('./NAME.js', import.meta.url).
// Usage: node scripts/build.mjs [--no-types]
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { build } from 'esbuild';
import { noticesOf } from './notices.mjs';

const root = resolve(import.meta.dirname, '..');
const out = join(root, 'dist');
const MIN_NODE_MAJOR = 24;
// CycloneDX can be XML as well, through a package that is not there: what is written is JSON.
const EXTERNAL = ['koffi', 'xmlbuilder2'];

const ENTRIES = {
  index: 'src/index.ts',
  cli: 'src/cli/main.ts',
  'executor-worker': 'src/executor/executor-worker.ts',
  'extract-worker': 'src/layer/extract-worker.ts',
  'namespace-worker': 'src/executor/net/namespace-worker.ts',
  'hash-worker': 'src/cache/contexts/hash-worker.ts',
  'monitor-main': 'src/build/containers/monitor-main.ts',
  'gc-main': 'src/build/prune/gc-main.ts',
  'namespace-main': 'src/namespace-main.ts',
};

// Ink imports react-devtools-core only for debugging; the package is no dependency of ours.
const devtoolsStub = {
  name: 'devtools-stub',
  setup(bundle) {
    bundle.onResolve({ filter: /^react-devtools-core$/ }, ({ path }) => ({ path, namespace: 'stub' }));
    bundle.onLoad({ filter: /.*/, namespace: 'stub' }, () => ({
      contents: 'export default { initialize() {}, connectToDevTools() {} };',
    }));
  },
};

// `await import('a-commonjs-package')` has the package's names in Node, but in a split bundle only `default`:
// the names are read here and written down.
const lazyCommonJs = {
  name: 'lazy-commonjs',
  setup(bundle) {
    bundle.onResolve({ filter: /^(@[^/]+\/)?[^./@:][^/:]*(\/.*)?$/ }, ({ path, kind, resolveDir }) => {
      const name = path
        .split('/')
        .slice(0, path.startsWith('@') ? 2 : 1)
        .join('/');
      const manifest = join(root, 'node_modules', name, 'package.json');
      if (kind !== 'dynamic-import' || EXTERNAL.includes(name) || !existsSync(manifest)) return undefined;
      if (JSON.parse(readFileSync(manifest, 'utf8')).type === 'module') return undefined;
      return { path, namespace: 'lazy', pluginData: resolveDir };
    });
    bundle.onLoad({ filter: /.*/, namespace: 'lazy' }, async ({ path, pluginData }) => {
      const names = Object.keys(await import(path)).filter((name) => /^[A-Za-z_$][\w$]*$/.test(name));
      const named = names.filter((name) => name !== 'default' && name !== 'module');
      return {
        resolveDir: pluginData,
        contents: `import * as all from ${JSON.stringify(path)};
${names.includes('default') ? 'export default all.default ?? all;' : ''}
export const { ${named.join(', ')} } = all;`,
      };
    });
  },
};

// CommonJS dependencies call require() for builtins, which an ES module does not have.
const REQUIRE =
  "import{createRequire as __createRequire}from'node:module';const require=__createRequire(import.meta.url);";

const entryPoints = Object.fromEntries(
  Object.entries(ENTRIES)
    .filter(([, source]) => existsSync(join(root, source)))
    .map(([name, source]) => [name, join(root, source)]),
);
if (Object.keys(entryPoints).length === 0) {
  process.stderr.write(`Cannot build: none of ${Object.values(ENTRIES).join(', ')} exists\n`);
  process.exit(1);
}

// esbuild has printed the errors by then.
const result = await build({
  absWorkingDir: root,
  entryPoints,
  outdir: out,
  write: false,
  metafile: true,
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: `node${MIN_NODE_MAJOR}`,
  minify: true,
  // Node shows the line of an error that nobody catches.
  lineLimit: 160,
  sourcemap: 'linked',
  sourcesContent: false,
  legalComments: 'none',
  entryNames: '[name]',
  chunkNames: '[name]-[hash]',
  jsx: 'automatic',
  external: EXTERNAL,
  define: { 'process.env.NODE_ENV': '"production"' },
  banner: { js: REQUIRE },
  plugins: [devtoolsStub, lazyCommonJs],
  logLevel: 'warning',
}).catch(() => process.exit(1));

// Chunks first, entries last, each renamed into place: a command started meanwhile sees the old or the new build.
mkdirSync(out, { recursive: true });
const isEntry = (path) => basename(path).replace(/\.js(\.map)?$/, '') in entryPoints;
const files = result.outputFiles.toSorted((a, b) => Number(isEntry(a.path)) - Number(isEntry(b.path)));
for (const file of files) {
  mkdirSync(dirname(file.path), { recursive: true });
  const temp = `${file.path}.${process.pid}.tmp`;
  writeFileSync(temp, withoutIdleRequire(file));
  renameSync(temp, file.path);
}
const current = new Set(files.map((file) => basename(file.path)));
for (const name of readdirSync(out)) {
  if (/\.js(\.map)?$/.test(name) && !current.has(name)) rmSync(join(out, name), { force: true });
}

writeFileSync(join(out, 'THIRD_PARTY_NOTICES'), `${noticesOf(root, Object.keys(result.metafile.inputs))}\n`);

// The manual page and the schema of the config file come from the tables that the command line is read by.
const { manPage } = await import('../src/cli/help/man-page.ts');
const { configSchema } = await import('../src/cli/config/config-schema.ts');
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const epoch = process.env.SOURCE_DATE_EPOCH;
const date = (epoch ? new Date(Number(epoch) * 1000) : new Date()).toISOString().slice(0, 10);
writeFileSync(join(out, 'ocibuild.1'), manPage(version, date));
writeFileSync(join(out, 'config.schema.json'), `${JSON.stringify(configSchema(), undefined, 2)}\n`);

if (!process.argv.includes('--no-types') && existsSync(join(root, ENTRIES.index))) {
  rmSync(join(out, 'types'), { recursive: true, force: true });
  const tsc = join(root, 'node_modules/typescript/bin/tsc');
  const child = spawn(process.execPath, [tsc, '-p', join(root, 'tsconfig.build.json')], { stdio: 'inherit' });
  const code = await new Promise((done) => child.on('close', done));
  if (code !== 0) process.exit(1);
  removeUnreached(join(out, 'types'));
}
const bytes = files
  .filter((file) => file.path.endsWith('.js'))
  .reduce((sum, file) => sum + file.contents.length, 0);
process.stderr.write(
  `dist: ${Object.keys(entryPoints).join(', ')} and ${files.filter((f) => f.path.endsWith('.js')).length - Object.keys(entryPoints).length} chunks, ${Math.round(bytes / 1024)} KiB\n`,
);

/** A require() that nobody calls costs 0.1 ms for each file that is loaded, and a push loads 90. Lines stay where they
 * are, for the source map. */
function withoutIdleRequire({ path, contents, text }) {
  const rest = path.endsWith('.js') ? text.replace(REQUIRE, '') : text;
  return rest === text || /\brequire\b/.test(rest) ? contents : rest;
}

/** Declarations that the public ones do not lead to are nobody's business. */
function removeUnreached(types) {
  const reached = new Set([join(types, 'index.d.ts')]);
  for (const file of reached) {
    for (const [, path] of readFileSync(file, 'utf8').matchAll(/(?:from|import\()\s*'(\.[^']+)\.ts'/g)) {
      reached.add(resolve(dirname(file), `${path}.d.ts`));
    }
  }
  for (const name of readdirSync(types, { recursive: true })) {
    const path = join(types, name);
    if (name.endsWith('.d.ts') && !reached.has(path)) rmSync(path);
  }
}
