// Watch mode: from the save of one file to the new image, and what a watch costs at rest.
// Usage: npm run bench:watch -- [--runs N]; PEERS names the script that runs Docker, for the comparison.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { createRandom, createText } from './data.ts';
import { formatRuns, markdownTable, median } from './stats.ts';

const { values } = parseArgs({ options: { runs: { type: 'string', default: '7' } } });
const runs = Number(values.runs);
const CLI = resolve(import.meta.dirname, '../dist/cli.js');
const top = mkdtempSync(join(tmpdir(), 'ocibuild-watch-'));

/** Source-like files, 50 in a directory. */
function writeFiles(dir: string, count: number, bytes: number): void {
  const size = Math.floor(bytes / count);
  const text = createText(createRandom(7), 32 << 20);
  for (let i = 0; i < count; i++) {
    const folder = join(dir, `d${Math.floor(i / 50)}`);
    if (i % 50 === 0) mkdirSync(folder, { recursive: true });
    const at = (i * 7919 * 512) % (text.length - size);
    writeFileSync(join(folder, `f${i}.js`), text.subarray(at, at + size));
  }
}

interface Watch {
  readonly child: ChildProcess;
  /** Resolves when a build has ended that began after the call. */
  built(): Promise<void>;
}

function startWatch(context: string): Watch {
  const words = [CLI, '--root', join(top, 'store'), 'build', '--watch', '-t', 'app:dev', context];
  const child = spawn(process.execPath, words, { stdio: ['ignore', 'ignore', 'pipe'] });
  let text = '';
  let wake = (): void => undefined;
  child.stderr.on('data', (data: Buffer) => {
    text += data.toString();
    wake();
  });
  return {
    child,
    built() {
      text = '';
      return new Promise((done, fail) => {
        wake = () => {
          if (/failed after/.test(text)) fail(new Error(text));
          if (/\[watch\] [\d:]+ sha256:/.test(text)) done();
        };
      });
    },
  };
}

async function stop({ child }: Watch): Promise<void> {
  const ended = new Promise((done) => child.once('exit', done));
  child.kill('SIGINT');
  await ended;
}

function edit(context: string, run: number): void {
  writeFileSync(join(context, 'src/d0/f7.js'), `changed ${run} ${Date.now()}\n${'x'.repeat(9000)}`);
}

async function measureSaves(files: number, bytes: number): Promise<string[]> {
  const context = join(top, `saves-${files}`);
  writeFiles(join(context, 'src'), files, bytes);
  writeFileSync(join(context, 'Dockerfile'), 'FROM scratch\nCOPY . /app\n');
  const watch = startWatch(context);
  await watch.built();
  await sleep(4000);
  const times: number[] = [];
  for (let run = 0; run < runs; run++) {
    const built = watch.built();
    const startedMs = performance.now();
    edit(context, run);
    await built;
    times.push(performance.now() - startedMs);
    await sleep(1500);
  }
  await stop(watch);
  const docker = measureDocker(context);
  const ratio = docker.length === 0 ? '' : (median(times) / median(docker)).toFixed(2);
  const name = `${files} files, ${Math.round(bytes / 1e6)} MB`;
  return [name, formatRuns(times), docker.length === 0 ? '' : formatRuns(docker), ratio];
}

/** `docker buildx build` after the same edit. */
function measureDocker(context: string): number[] {
  const peers = process.env.PEERS;
  if (peers === undefined) return [];
  const times: number[] = [];
  for (let run = -1; run < Math.min(runs, 5); run++) {
    edit(context, run);
    const startedMs = performance.now();
    const { status, stderr } = spawnSync(
      peers,
      ['docker', 'buildx', 'build', '-q', '-t', 'ocibuild-bench:watch', context],
      { encoding: 'utf8' },
    );
    if (status !== 0) throw new Error(stderr);
    if (run >= 0) times.push(performance.now() - startedMs);
  }
  return times;
}

/** Resident memory, and CPU over ten seconds, of a watch that has nothing to do. */
async function measureRest(files: number, ignored: number): Promise<string[]> {
  const context = join(top, `rest-${files}`);
  writeFiles(join(context, 'src'), files - ignored, (files - ignored) * 8000);
  writeFiles(join(context, 'node_modules'), ignored, ignored * 100);
  writeFileSync(join(context, '.dockerignore'), 'node_modules\n');
  writeFileSync(join(context, 'Dockerfile'), 'FROM scratch\nCOPY . /app\n');
  // The first build of a day: it packs everything; the second finds it done.
  for (let round = 0; ; round++) {
    const watch = startWatch(context);
    await watch.built();
    await sleep(8000);
    const [before, rss] = usageOf(watch.child.pid as number);
    await sleep(10_000);
    const [after] = usageOf(watch.child.pid as number);
    await stop(watch);
    const cpu = `${((after - before) / 100).toFixed(1)} %`;
    if (round === 1) return [`${files} files, ${ignored} ignored`, `${Math.round(rss / 1e6)} MB`, cpu];
    process.stderr.write(`after a cold build: ${Math.round(rss / 1e6)} MB, ${cpu}\n`);
  }
}

/** CPU time in ms and resident bytes. @see proc(5) */
function usageOf(pid: number): [number, number] {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  const ticks = Number(fields[11]) + Number(fields[12]);
  return [ticks * 10, Number(fields[21]) * 4096];
}

try {
  const saves = [await measureSaves(50, 400_000), await measureSaves(20_000, 300_000_000)];
  process.stdout.write(`${markdownTable(['context', 'save → image', 'docker buildx', 'ratio'], saves)}\n\n`);
  const rest = [await measureRest(50_000, 45_000)];
  process.stdout.write(`${markdownTable(['at rest', 'memory', 'CPU'], rest)}\n`);
} finally {
  rmSync(top, { recursive: true, force: true });
}
