// Builds the workloads side by side with docker buildx and buildah where present.
// P… move images between a registry on loopback and each tool's store.
// Usage: npm run bench -- [--only W1,W4,P1] [--runs N] [--no-docker] [--no-buildah] [--dir DIR]
// Docker and buildah come from PATH, or from the root that the script named by PEERS enters.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startRegistry } from '../test/support/registry.ts';
import { formatRuns, markdownTable, median } from './stats.ts';
import { createBuildah, createDocker, createOcibuild, type SharedCache, type Tool } from './tools.ts';
import { TRANSFERS, type Transfer } from './transfers.ts';
import { WORKLOADS, type Workload } from './workloads.ts';

const { values: flags } = parseArgs({
  allowNegative: true,
  options: {
    only: { type: 'string' },
    runs: { type: 'string', default: '5' },
    docker: { type: 'boolean', default: true },
    buildah: { type: 'boolean', default: true },
    dir: { type: 'string', default: tmpdir() },
    out: { type: 'string' },
  },
});

const runs = Number(flags.runs);
const wanted = flags.only?.split(',');
const known = [...WORKLOADS, ...TRANSFERS].map(({ id }) => id);
const unknown = (wanted ?? []).filter((id) => !known.includes(id));
if (!Number.isInteger(runs) || runs < 1 || unknown.length > 0) {
  process.stderr.write(`Usage: npm run bench -- [--only ${known.join(',')}] [--runs N]\n`);
  process.exit(2);
}

type Times = Map<string, number[]>;

async function timeOne(
  tool: Tool,
  workload: Workload,
  { context, work, shared }: { context: string; work: string; shared: SharedCache | undefined },
): Promise<number | undefined> {
  const archive = workload.archive ? { archive: join(work, `${workload.id}.oci.tar`) } : {};
  if (archive.archive) rmSync(archive.archive, { force: true });
  const { code, ms, log } = await tool.build({
    context,
    tag: `ocibuild-bench:${workload.id.toLowerCase()}`,
    ...archive,
    ...(shared === undefined ? {} : { shared }),
  });
  if (code === 0) return ms;
  process.stderr.write(`${tool.name} failed ${workload.id}:\n${log.split('\n').slice(-15).join('\n')}\n`);
  return undefined;
}

/** One workload, tools interleaved run by run, so that a slow minute of the machine hits all of them. */
async function measure(workload: Workload, all: readonly Tool[], work: string): Promise<Times> {
  const isShared = workload.mode === 'shared';
  const tools = all.filter(({ sharesCaches }) => sharesCaches || !isShared);
  await using registry = isShared ? await startRegistry() : undefined;
  const placed = (isFirst: boolean): SharedCache | undefined =>
    registry === undefined ? undefined : { registry: registry.host, isFirst };
  const times: Times = new Map(tools.map((tool) => [tool.name, []]));
  // Contexts stay to the end: ext4 creates files several times slower right after a large deletion.
  const context = join(work, workload.id);
  workload.prepare(context);
  if (workload.mode !== 'cold') {
    for (const tool of tools) {
      await tool.forget();
      await timeOne(tool, workload, { context, work, shared: placed(true) });
    }
  }
  for (let run = 0; run < runs; run += 1) {
    workload.touch?.(context, run);
    for (let turn = 0; turn < tools.length; turn += 1) {
      const tool = tools[(run + turn) % tools.length];
      if (tool === undefined) continue;
      if (workload.mode !== 'warm') await tool.forget();
      const ms = await timeOne(tool, workload, { context, work, shared: placed(false) });
      if (ms !== undefined) times.get(tool.name)?.push(ms);
      process.stderr.write(
        `${workload.id} run ${run + 1}/${runs} ${tool.name}: ${ms === undefined ? 'failed' : `${Math.round(ms)} ms`}\n`,
      );
    }
  }
  return times;
}

/** One transfer, its tools in turn; a row of its own, since other tools take part in each. */
async function measureTransfer(
  transfer: Transfer,
  tools: readonly Tool[],
  work: string,
): Promise<string[][]> {
  const contest = await transfer.open({ work, runs, tools, docker: flags.docker });
  const { contestants } = contest;
  const times: Times = new Map(contestants.map(({ name }) => [name, []]));
  try {
    for (let run = 0; run < runs; run += 1) {
      for (let turn = 0; turn < contestants.length; turn += 1) {
        const one = contestants[(run + turn) % contestants.length];
        if (one === undefined) continue;
        await one.prepare(run);
        const { code, ms, log } = await one.run(run);
        if (code === 0) times.get(one.name)?.push(ms);
        process.stderr.write(
          `${transfer.id} run ${run + 1}/${runs} ${one.name}: ${code === 0 ? `${Math.round(ms)} ms` : `failed: ${log}`}\n`,
        );
      }
    }
  } finally {
    await contest.close();
  }
  const ours = times.get('ocibuild') ?? [];
  return [...times].map(([name, all]) => [
    `${transfer.id} ${transfer.title}`,
    name,
    formatRuns(all),
    all === ours ? '' : ratio(ours, all),
  ]);
}

function ratio(other: readonly number[], ours: readonly number[]): string {
  return other.length > 0 && ours.length > 0 ? `${(median(other) / median(ours)).toFixed(2)} ×` : '–';
}

const work = mkdtempSync(join(flags.dir, 'ocibuild-bench-'));
const tools: Tool[] = [];
try {
  tools.push(await createOcibuild(work));
  if (flags.docker) tools.push(...[await createDocker(work)].filter((tool) => tool !== undefined));
  if (flags.buildah) tools.push(...[await createBuildah(work)].filter((tool) => tool !== undefined));

  const rows: string[][] = [];
  for (const workload of WORKLOADS.filter(({ id }) => wanted?.includes(id) ?? true)) {
    const times = await measure(workload, tools, work);
    const [ours = [], ...others] = tools.map((tool) => times.get(tool.name) ?? []);
    rows.push([
      `${workload.id} ${workload.title}, ${workload.mode}`,
      ...[ours, ...others].map(formatRuns),
      ...others.map((other) => ratio(other, ours)),
    ]);
  }
  const moved: string[][] = [];
  for (const transfer of TRANSFERS.filter(({ id }) => wanted?.includes(id) ?? true)) {
    moved.push(...(await measureTransfer(transfer, tools, work)));
  }
  const peers = tools.slice(1);
  const head = [
    'workload',
    ...tools.map(({ name }) => name),
    ...peers.map(({ name }) => `${name} / ocibuild`),
  ];
  const report = [
    `${tools.map(({ name, version }) => `${name} ${version}`).join(', ')}; Node ${process.versions.node}; ${cpus().length} × ${cpus()[0]?.model ?? 'CPU'}; ${runs} runs, tools in turn, median (range) of wall-clock time.`,
    '',
    ...(rows.length === 0 ? [] : [markdownTable(head, rows), '']),
    ...(moved.length === 0
      ? []
      : [markdownTable(['transfer', 'tool', 'time', 'ocibuild / tool'], moved), '']),
    'Same Dockerfile, context, base image and host network for all. Cold: ocibuild gets a fresh store that holds the base, Docker `builder prune --all` (`--no-cache` on a daemon that people work with), buildah a fresh storage root; none of that is timed. Shared: the same, and a docker-registry on loopback holds image and cache of an earlier build. Docker without provenance, buildah with `--layers --jobs 4` and a push to the archive.',
    '',
  ].join('\n');
  process.stdout.write(report);
  if (flags.out) writeFileSync(flags.out, report);
} finally {
  for (const tool of tools) await tool.close();
  rmSync(work, { recursive: true, force: true });
}
