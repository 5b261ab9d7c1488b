/**
 * Runs the steps of DIR/cases.json one after another (those of one `group` side by side) in a process of its own, as
 * whoever started it, and leaves what happened in DIR/results.json.
 * Usage: node executor-runner.ts DIR root|rootless RUNTIME
 */
import { spawnSync } from 'node:child_process';
import { lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isOcibuildError } from '../../src/errors/error.ts';
import { createRuncExecutor } from '../../src/executor/runc.ts';
import type { ExitStatus, ProcessSpec } from '../../src/executor/types.ts';
import { enterOwnNamespace } from '../support/own-namespace.ts';

export interface StepCase {
  readonly name: string;
  readonly sh?: string;
  readonly spec?: Partial<ProcessSpec>;
  /** Folders of DIR, base first. */
  readonly lower?: readonly string[];
  readonly group?: string;
  /** Cancel when this text was put out. */
  readonly cancelAt?: string;
  /** Kill the runtime when this text was put out. */
  readonly killRuntimeAt?: string;
}

export interface StepResult {
  /** Of its container. */
  readonly id: string;
  readonly status?: ExitStatus;
  readonly code?: string;
  readonly message?: string;
  readonly stdout: string;
  readonly stderr: string;
  readonly ms: number;
  /** Path → `type mode uid:gid` (and ` 0` for a whiteout, ` -> text` for a link). */
  readonly upper: Readonly<Record<string, string>>;
  readonly mtimes: Readonly<Record<string, number>>;
}

const [dir = '', mode = 'root', runtime = 'runc'] = process.argv.slice(2);
if (mode === 'rootless') enterOwnNamespace();
const cases = JSON.parse(readFileSync(join(dir, 'cases.json'), 'utf8')) as StepCase[];
const executor = createRuncExecutor({ runDir: join(dir, 'run'), rootless: mode === 'rootless', runtime });
executor.prepare();
const results: Record<string, StepResult> = {};
const groups = Map.groupBy(cases, (item) => item.group ?? item.name);
for (const group of groups.values()) await Promise.all(group.map(runCase));
await executor.close();
writeFileSync(join(dir, 'results.json'), JSON.stringify(results));

async function runCase(item: StepCase): Promise<void> {
  const id = `${process.pid}-1-${item.name.replaceAll(/[^a-z0-9]/g, '-')}`;
  const upper = join(dir, `${item.name}.upper`);
  const work = join(dir, `${item.name}.work`);
  mkdirSync(upper, { mode: 0o755 });
  mkdirSync(work);
  const output = { stdout: '', stderr: '' };
  const controller = new AbortController();
  const start = performance.now();
  const spec: ProcessSpec = {
    id,
    rootfs: { lower: (item.lower ?? ['lower']).map((name) => join(dir, name)), upper, work },
    args: ['/bin/sh', '-c', item.sh ?? 'true'],
    env: [],
    cwd: '/',
    user: '',
    network: 'default',
    security: 'sandbox',
    mounts: [],
    hostname: 'buildkitsandbox',
    extraHosts: [],
    ulimits: [],
    ...item.spec,
  };
  const outcome = await executor
    .run(spec, {
      signal: controller.signal,
      onOutput(stream, data) {
        output[stream] += Buffer.from(data).toString();
        process.stdout.write(data);
        if (item.cancelAt !== undefined && output.stdout.includes(item.cancelAt)) controller.abort();
        if (item.killRuntimeAt !== undefined && output.stdout.includes(item.killRuntimeAt)) killRuntime(id);
      },
    })
    .then(
      (status) => ({ status }),
      (error: unknown) => ({
        code: isOcibuildError(error) ? error.code : 'none',
        message: error instanceof Error ? error.message : String(error),
      }),
    );
  const tree = listTree(upper, '');
  const entries = (value: 'line' | 'mtime') =>
    Object.fromEntries(tree.map((entry) => [entry.path, entry[value]]));
  results[item.name] = {
    id,
    ...outcome,
    ...output,
    ms: performance.now() - start,
    upper: entries('line') as Record<string, string>,
    mtimes: entries('mtime') as Record<string, number>,
  };
}

function killRuntime(id: string): void {
  const { stdout } = spawnSync('pgrep', ['-f', `run --bundle .* ${id}$`], { encoding: 'utf8' });
  for (const pid of stdout.trim().split('\n')) process.kill(Number(pid), 'SIGKILL');
}

function listTree(root: string, path: string): { path: string; line: string; mtime: number }[] {
  return readdirSync(join(root, path)).flatMap((name) => {
    const child = path === '' ? name : `${path}/${name}`;
    const stat = lstatSync(join(root, child));
    const type = stat.isDirectory()
      ? 'd'
      : stat.isSymbolicLink()
        ? 'l'
        : stat.isCharacterDevice()
          ? 'c'
          : 'f';
    const extra =
      type === 'l' ? ` -> ${readlinkSync(join(root, child))}` : type === 'c' ? ` ${stat.rdev}` : '';
    const line = `${type} ${(stat.mode & 0o7777).toString(8)} ${stat.uid}:${stat.gid}${extra}`;
    const entry = { path: child, line, mtime: stat.mtimeMs };
    return type === 'd' ? [entry, ...listTree(root, child)] : [entry];
  });
}
