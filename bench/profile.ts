// Where one build of ours spends its time: each step by its events, the rest by subtraction.
// Usage: npm run bench:profile -- [W1|…|W6]
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { formatMs, markdownTable } from './stats.ts';
import { createStoreTemplate, ocibuildWords } from './tools.ts';
import { runMeasured } from './usage.ts';
import { WORKLOADS } from './workloads.ts';

interface Vertex {
  readonly digest: string;
  readonly name: string;
  readonly started?: string;
  readonly completed?: string;
  readonly cached?: boolean;
}
interface Status {
  readonly id: string;
  readonly vertex: string;
  readonly started?: string;
  readonly completed?: string;
}
interface Line {
  readonly vertexes?: readonly Vertex[];
  readonly statuses?: readonly Status[];
}

interface Phase {
  readonly name: string;
  readonly fromMs: number;
  readonly toMs: number;
  readonly cached: boolean;
}

function readPhases(stderr: string): Phase[] {
  const names = new Map<string, string>();
  const phases = new Map<string, Phase>();
  const note = (key: string, name: string, item: Vertex | Status): void => {
    if (item.started === undefined || item.completed === undefined) return;
    const cached = 'cached' in item && item.cached === true;
    phases.set(key, { name, fromMs: Date.parse(item.started), toMs: Date.parse(item.completed), cached });
  };
  for (const text of stderr.split('\n').filter((line) => line.startsWith('{'))) {
    const line = JSON.parse(text) as Line;
    for (const vertex of line.vertexes ?? []) {
      names.set(vertex.digest, vertex.name);
      note(vertex.digest, vertex.name, vertex);
    }
    for (const status of line.statuses ?? []) {
      note(`${status.vertex} ${status.id}`, `${names.get(status.vertex) ?? ''}: ${status.id}`, status);
    }
  }
  return [...phases.values()].toSorted((a, b) => a.fromMs - b.fromMs);
}

/** Milliseconds in which at least one phase was running. */
function coveredMs(phases: readonly Phase[]): number {
  let covered = 0;
  let end = 0;
  for (const { fromMs, toMs } of phases) {
    covered += Math.max(0, toMs - Math.max(fromMs, end));
    end = Math.max(end, toMs);
  }
  return covered;
}

const id = process.argv[2] ?? 'W2';
const workload = WORKLOADS.find((item) => item.id === id);
if (workload === undefined) {
  process.stderr.write(`Usage: npm run bench:profile -- ${WORKLOADS.map((item) => item.id).join('|')}\n`);
  process.exit(2);
}

const work = mkdtempSync(join(tmpdir(), 'ocibuild-profile-'));
try {
  const store = createStoreTemplate(work);
  const context = join(work, 'context');
  workload.prepare(context);
  const archive = workload.archive ? { archive: join(work, 'image.tar') } : {};
  const words = ocibuildWords(store, { context, tag: 'ocibuild-bench:profile', ...archive }, 'rawjson');
  if (workload.mode === 'warm') {
    runMeasured(words);
    workload.touch?.(context, 1);
  }
  const usage = runMeasured(words);
  if (usage.code !== 0)
    throw new Error(`Cannot profile ${id}: exit code ${usage.code}\n${usage.stderr.slice(-2000)}`);
  const phases = readPhases(usage.stderr);
  const origin = phases[0]?.fromMs ?? 0;
  const rows = phases.map((phase) => [
    phase.name.slice(0, 90).replaceAll('|', '\\|'),
    formatMs(phase.fromMs - origin),
    phase.cached ? 'cached' : formatMs(phase.toMs - phase.fromMs),
  ]);
  rows.push([
    'start of the process, and what no event covers',
    '',
    formatMs(usage.wallMs - coveredMs(phases)),
  ]);
  process.stdout.write(
    `${id} ${workload.title} (${workload.mode})\n\n${markdownTable(['phase', 'begins', 'takes'], rows)}\n\n`,
  );
  process.stdout.write(
    `wall ${formatMs(usage.wallMs)}, user ${formatMs(usage.userMs)}, sys ${formatMs(usage.sysMs)}, peak memory ${Math.round(usage.peakRssBytes / 2 ** 20)} MiB\n`,
  );
} finally {
  rmSync(work, { recursive: true, force: true });
}
