/**
 * Builds projects of the kinds people publish, runs their images and prints a table:
 * `node test/real-world/run.ts [--quick] [--peers PATH] [NAME...]`. With a peers command Docker builds the same, and the
 * images are compared.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { oracleArguments } from '../conformance/oracle.ts';
import { createBases } from './bases.ts';
import { createDocker, createOcibuild } from './builders.ts';
import { loadCases } from './cases.ts';
import { type CaseResult, runCase } from './run-case.ts';

const { peers, names } = oracleArguments(process.argv.slice(2));
const cases = loadCases({
  names: names.filter((name) => !name.startsWith('--')),
  quick: names.includes('--quick'),
});
const work = await mkdtemp(join(tmpdir(), 'ocibuild-real-world-'));
const store = join(work, 'store');
let failed = 0;
try {
  const bases = createBases(store);
  const docker = peers === undefined ? {} : { docker: createDocker(peers, work) };
  const deps = { bases, store, work, ocibuild: createOcibuild(store), ...docker };
  // Only the first case of a base pays for it, which would say nothing about the case.
  const buildBases = async (names: Readonly<Record<string, string>>): Promise<void> => {
    const started = performance.now();
    for (const name of Object.values(names)) await bases.layout(name);
    const waited = (performance.now() - started) / 1000;
    if (waited > 1) row('', `${waited.toFixed(1)} s for the bases`, Object.values(names).join(', '));
  };
  for (const one of cases) {
    const result = await buildBases(one.bases)
      .then(() => runCase(one, deps))
      .catch(
        (error: Error): CaseResult => ({ problems: [error.message], buildSeconds: 0, runs: 0, compared: 0 }),
      );
    if (result.problems.length > 0) failed += 1;
    const { buildSeconds, runs, compared } = result;
    const parts = [`${buildSeconds.toFixed(1)} s`, `${runs} runs`];
    if (compared > 0) parts.push(`${compared} paths compared with Docker`);
    row(result.problems.length > 0 ? 'FAILED' : 'ok', one.name, parts.join(', '));
    for (const line of result.problems) process.stdout.write(`        ${line}\n`);
  }
} finally {
  await rm(work, { recursive: true, force: true });
}
process.stdout.write(`\n${cases.length - failed} passed, ${failed} failed\n`);
process.exitCode = failed > 0 ? 1 : 0;

function row(state: string, name: string, text: string): void {
  process.stdout.write(`${state.padEnd(8)}${name.padEnd(24)}${text}\n`);
}
