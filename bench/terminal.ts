// What the terminal interface costs: the share of a core with 10,000 lines of output a second, less that of their source;
// more than 10 % fails.
// Usage: npm run bench:terminal -- [--lines N] [--seconds N]
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { build } from 'esbuild';
import { runInTerminal } from '../test/support/terminal-run.ts';
import { markdownTable } from './stats.ts';

const LIMIT = 0.1;

const { values } = parseArgs({
  options: { lines: { type: 'string', default: '10000' }, seconds: { type: 'string', default: '8' } },
});

const dir = mkdtempSync(join(tmpdir(), 'ocibuild-terminal-'));
try {
  await bundle(join(dir, 'out'));
  const rows = [];
  let isOver = false;
  for (const lines of ['0', values.lines]) {
    const quiet = await measure('quiet', lines);
    const drawn = await measure('tty', lines);
    const share = Math.max(drawn.share - quiet.share, 0);
    isOver ||= share > LIMIT;
    rows.push([lines, `${(share * 100).toFixed(1)} %`, `${Math.round(drawn.peakBytes / 1e6)} MB`]);
  }
  process.stdout.write(`${markdownTable(['lines a second', 'of a core', 'peak memory'], rows)}\n`);
  if (isOver) process.exitCode = 1;
} finally {
  rmSync(dir, { recursive: true, force: true });
}

/** JSX is nothing that Node runs. */
async function bundle(outdir: string): Promise<void> {
  await build({
    entryPoints: [join(import.meta.dirname, 'terminal-source.ts')],
    outdir,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    jsx: 'automatic',
    alias: { 'react-devtools-core': '/dev/null' },
    define: { 'process.env.NODE_ENV': '"production"' },
    banner: { js: "import{createRequire}from'node:module';const require=createRequire(import.meta.url);" },
    logLevel: 'error',
  });
}

async function measure(mode: string, lines: string): Promise<{ share: number; peakBytes: number }> {
  const file = join(dir, `${mode}-${lines}.json`);
  const program = join(dir, 'out/terminal-source.mjs');
  const { CI: _, ...env } = process.env;
  const run = runInTerminal([process.execPath, program, mode, lines, values.seconds, file], {
    ...{ columns: 120, rows: 50, cwd: dir, env },
  });
  const code = await run.ended;
  run.hangUp();
  if (code !== 0) throw new Error(`Cannot measure: ${await run.screen.text()}`);
  return JSON.parse(readFileSync(file, 'utf8'));
}
