// Runs the named parts and closes with one line: "N passed, N failed" (", N skipped" where some were).
// Usage: node scripts/test.mjs [checks] [unit] [conformance] [e2e]
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const root = resolve(import.meta.dirname, '..');
const bin = (name) => join(root, 'node_modules/.bin', name);

const CHECKS = {
  'format and lint': [bin('biome'), ['ci', '--colors=off', '--error-on-warnings', '.']],
  types: [bin('tsc'), ['--noEmit', '-p', '.']],
  'unused code': [bin('knip'), ['--no-progress']],
  package: [bin('publint'), ['--strict']],
};

const SUITES = ['unit', 'conformance', 'e2e'];

/** More failures in one run are no chance. */
const MAY_BE_CHANCE = 3;

const total = { passed: 0, failed: 0, skipped: 0 };
const tried = [];

function run(command, args, stdio, env = process.env) {
  return new Promise((done) => {
    const child = spawn(command, args, { cwd: root, stdio, env });
    let output = '';
    child.stdout?.on('data', (chunk) => (output += chunk));
    child.stderr?.on('data', (chunk) => (output += chunk));
    child.on('error', (error) => done({ code: 1, output: `${output}${error.message}\n` }));
    child.on('close', (code) => done({ code: code ?? 1, output }));
  });
}

async function check(name, [command, args]) {
  const { code, output } = await run(command, args, ['ignore', 'pipe', 'pipe']);
  if (code === 0) total.passed += 1;
  else total.failed += 1;
  process.stdout.write(code === 0 ? `ok      ${name}\n` : `FAILED  ${name}\n${output}\n`);
}

/** All in one run: while the last files of one suite end, the next one's go on. */
async function suites(names) {
  const projects = names.flatMap((name) => ['--project', name]);
  const { code, report, unhandled, error } = await vitest(projects);
  if (error !== undefined) {
    process.stdout.write(`FAILED  ${names.join(', ')}: no report: ${error}\n`);
    total.failed += 1;
    return;
  }
  const before = total.failed;
  total.passed += report.numPassedTests;
  total.failed += report.numFailedTests + unhandled;
  total.skipped += report.numPendingTests + report.numTodoTests;
  // A file that does not load, or whose hooks fail, has no test that says so.
  total.failed += report.testResults.filter(
    (r) => r.status === 'failed' && r.assertionResults.every((test) => test.status !== 'failed'),
  ).length;
  if (code !== 0 && total.failed === before) total.failed += 1;
  if (report.numFailedTests <= MAY_BE_CHANCE) await tryAgain(projects, report);
}

/** A test that fails by chance is a fault as well, but not one of the change at hand: it is named, and runs once more. */
async function tryAgain(projects, { testResults }) {
  const failed = testResults.flatMap(({ name, assertionResults }) =>
    assertionResults.filter(({ status }) => status === 'failed').map((test) => ({ file: name, ...test })),
  );
  for (const { file, ancestorTitles, title } of failed) {
    const name = [...ancestorTitles, title].join(' > ');
    const { code, report } = await vitest([...projects, '-t', `^${name.replace(/[^\w ]/g, '\\$&')}$`, file]);
    const passed = code === 0 && report.numPassedTests === 1;
    if (passed) {
      total.passed += 1;
      total.failed -= 1;
    }
    tried.push(`${passed ? 'UNSTABLE  passed alone' : 'FAILED  twice'}: ${name}\n`);
  }
}

async function vitest(args) {
  const folder = mkdtempSync(join(tmpdir(), 'ocibuild-test-'));
  const file = join(folder, 'report.json');
  try {
    const unhandledFile = join(folder, 'unhandled');
    const ours = `--reporter=${join(root, 'scripts/unhandled-errors.mjs')}`;
    const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${file}`, ours];
    const { code } = await run(
      bin('vitest'),
      ['run', ...args, ...reporters],
      ['ignore', 'inherit', 'inherit'],
      { ...process.env, UNHANDLED_ERRORS_FILE: unhandledFile },
    );
    const unhandled = Number(readFileSync(unhandledFile, 'utf8'));
    return { code, unhandled, report: JSON.parse(readFileSync(file, 'utf8')) };
  } catch (error) {
    return { error: error.message };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const parts = process.argv.slice(2);
const unknown = parts.filter((part) => part !== 'checks' && !SUITES.includes(part));
if (parts.length === 0 || unknown.length > 0) {
  process.stderr.write(`Usage: node scripts/test.mjs [checks] [${SUITES.join('] [')}]\n`);
  process.exit(2);
}
// The e2e tests start the built command, and the package check looks at what was built.
if (parts.includes('checks') || parts.includes('e2e')) {
  await check('build', [process.execPath, [join(root, 'scripts/build.mjs')]]);
}
if (parts.includes('checks')) {
  await Promise.all(Object.entries(CHECKS).map(([name, command]) => check(name, command)));
}
const projects = SUITES.filter((part) => parts.includes(part));
if (projects.length > 0) await suites(projects);

const skipped = total.skipped > 0 ? `, ${total.skipped} skipped` : '';
process.stdout.write(`\n${tried.join('')}${total.passed} passed, ${total.failed} failed${skipped}\n`);
process.exitCode = total.failed > 0 || total.passed === 0 ? 1 : 0;
