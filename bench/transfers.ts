import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startRegistry, type TestRegistry } from '../test/support/registry.ts';
import { writeTree } from './data.ts';
import { openShell, type ShellResult } from './shell.ts';
import { BASE_REF, commandLine, DOCKER_BUILD, must, OCIBUILD, openPeer, type Tool } from './tools.ts';

/** One tool in a transfer; `prepare` is not measured. */
export interface Contestant {
  readonly name: string;
  prepare(run: number): Promise<void>;
  run(run: number): Promise<ShellResult>;
}

export interface Contest {
  readonly contestants: readonly Contestant[];
  close(): Promise<void>;
}

export interface TransferSetup {
  readonly work: string;
  readonly runs: number;
  /** Ours, docker, buildah, where they are wanted. */
  readonly tools: readonly Tool[];
  readonly docker: boolean;
}

/** A workload that moves images between a registry on loopback and each tool's store. */
export interface Transfer {
  readonly id: string;
  readonly title: string;
  open(setup: TransferSetup): Promise<Contest>;
}

const LAYERS = [0, 1, 2, 3, 4, 5];
const OCIBUILD_BUILD = ['build', '--progress', 'plain', '--network', 'host'];

/** Six layers of 50 MB that no compression makes smaller, and one of a few bytes. */
function writePushContext(context: string): void {
  for (const layer of LAYERS) {
    const folder = join(context, `layer-${layer}`);
    mkdirSync(folder, { recursive: true });
    for (let file = 0; file < 10; file += 1) writeFileSync(join(folder, `file-${file}`), randomBytes(5e6));
  }
  const copies = LAYERS.map((layer) => `COPY layer-${layer} /opt/layer-${layer}`);
  writeFileSync(
    join(context, 'Dockerfile'),
    [`FROM ${BASE_REF}`, ...copies, 'COPY small /small', ''].join('\n'),
  );
  changeSmall(context, 0);
}

function changeSmall(context: string, version: number): void {
  writeFileSync(join(context, 'small'), `version ${version}\n`);
}

/** The image of `writePushContext` in each tool's store, in two versions, and an empty registry for each push. */
async function openPush(
  { work, docker: withDocker }: TransferSetup,
  how: 'cold' | 'again' | 'build',
): Promise<Contest> {
  const dir = join(work, `push-${how}`);
  const context = join(dir, 'context');
  writePushContext(context);
  const store = join(dir, 'store');
  const host = openShell('sh', [], work);
  await must(host, commandLine(['cp', '-a', join(work, 'store-template'), store]));
  const ours = [OCIBUILD, '--root', store];
  const registries: TestRegistry[] = [];
  // Another port is another registry to all of them: nobody can mount what it pushed before.
  const fresh = async (): Promise<string> => {
    const registry = await startRegistry();
    registries.push(registry);
    return registry.host;
  };
  const archive = (version: number): string => join(dir, `app-${version}.tar`);
  for (const version of [1, 2]) {
    changeSmall(context, version);
    await must(host, commandLine([...ours, ...OCIBUILD_BUILD, '-t', `app:${version}`, context]));
    const save = ['copy', `store:app:${version}`, `docker-archive:${archive(version)}:app:${version}`];
    await must(host, commandLine([...ours, ...save]));
  }

  const contestants: Contestant[] = [];
  const add = (
    name: string,
    run: (line: string) => Promise<ShellResult>,
    lines: { push(host: string, version: number): string; build?(host: string, version: number): string },
  ): void => {
    const act = how === 'build' ? lines.build : lines.push;
    if (act === undefined) return;
    let target = '';
    contestants.push({
      name,
      async prepare(turn) {
        target = await fresh();
        if (how === 'cold') return;
        if (how === 'build') changeSmall(context, 10 + 2 * turn);
        const { code, log } = await run(act(target, 1));
        if (code !== 0) throw new Error(`${name} cannot push: ${log}`);
        if (how === 'build') changeSmall(context, 11 + 2 * turn);
      },
      run: () => run(act(target, how === 'cold' ? 1 : 2)),
    });
  };

  add('ocibuild', (line) => host.run(line), {
    push: (registry, version) =>
      commandLine([...ours, 'push', '--quiet', `app:${version}`, `${registry}/app:${version}`]),
    build: (registry, version) =>
      commandLine([...ours, ...OCIBUILD_BUILD, '-t', `${registry}/app:${version}`, '--push', context]),
  });
  const docker = withDocker ? await openPeer('docker', work) : undefined;
  if (docker !== undefined) {
    const { shell, words } = docker;
    for (const version of [1, 2]) await must(shell, commandLine([...words, 'load', '-i', archive(version)]));
    // The name is given before the clock runs: a push is what is measured.
    const tagAndPush = (registry: string, version: number): string =>
      commandLine([...words, 'push', '--quiet', `${registry}/app:${version}`]);
    const run = async (line: string): Promise<ShellResult> => {
      const name = /\S+\/app:(\d)$/.exec(line);
      if (how !== 'build' && name !== null)
        await must(shell, commandLine([...words, 'tag', `app:${name[1]}`, name[0]]));
      return shell.run(line);
    };
    add('docker push', run, {
      push: tagAndPush,
      build: (registry, version) =>
        commandLine([
          ...words,
          'buildx',
          'build',
          ...DOCKER_BUILD,
          '-t',
          `${registry}/app:${version}`,
          '--push',
          context,
        ]),
    });
  }
  const skopeo = how === 'build' ? undefined : await openPeer('skopeo', work);
  if (skopeo !== undefined) {
    const { shell } = skopeo;
    for (const version of [1, 2]) {
      const layout = ['copy', `store:app:${version}`, `oci:${join(dir, 'layout')}:${version}`];
      await must(host, commandLine([...ours, ...layout]));
    }
    add('skopeo copy', (line) => shell.run(line), {
      push: (registry, version) =>
        commandLine([
          ...['skopeo', 'copy', '--quiet', '--insecure-policy', '--dest-tls-verify=false'],
          ...[`oci:${join(dir, 'layout')}:${version}`, `docker://${registry}/app:${version}`],
        ]),
    });
  }
  return {
    contestants,
    async close() {
      if (docker !== undefined) {
        const { shell, words } = docker;
        const images = `${commandLine([...words, 'image', 'ls', '--format', '{{.Repository}}:{{.Tag}}'])} | grep -E '^(app|127\\.0\\.0\\.1:[0-9]+/app):'`;
        await shell.run(`${commandLine([...words, 'image', 'rm', '--force'])} $(${images}) || true`);
        shell.close();
      }
      skopeo?.shell.close();
      host.close();
      for (const registry of registries) await registry[Symbol.asyncDispose]();
    },
  };
}

const PULLED = 'ocibuild-bench:pull';
const BASE_PARTS = [
  { files: 12_000, totalBytes: 190e6 },
  { files: 8000, totalBytes: 120e6 },
  { files: 4000, totalBytes: 70e6 },
  { files: 1000, totalBytes: 20e6 },
];

/**
 * A base of its own for each run, so that nobody has to delete one: ext4 creates files several times slower for
 * minutes after a large deletion.
 */
async function openPull({ work, runs, tools, docker: withDocker }: TransferSetup): Promise<Contest> {
  const dir = join(work, 'pull');
  const context = join(dir, 'base');
  for (const [seed, part] of BASE_PARTS.entries())
    writeTree(join(context, `part-${seed}`), { ...part, seed: 70 + seed });
  const copies = BASE_PARTS.map((_, i) => `COPY part-${i} /opt/part-${i}`);
  writeFileSync(join(context, 'Dockerfile'), [`FROM ${BASE_REF}`, ...copies, ''].join('\n'));
  const host = openShell('sh', [], work);
  const store = join(dir, 'store');
  await must(host, commandLine(['cp', '-a', join(work, 'store-template'), store]));
  const registry = await startRegistry();
  const steps = join(dir, 'steps');
  for (let run = 0; run < runs; run += 1) {
    for (const i of BASE_PARTS.keys()) writeFileSync(join(context, `part-${i}/run`), `${run}\n`);
    const name = `${registry.host}/base:${run}`;
    await must(
      host,
      commandLine([OCIBUILD, '--root', store, ...OCIBUILD_BUILD, '-t', name, '--push', context]),
    );
    mkdirSync(join(steps, `${run}`), { recursive: true });
    writeFileSync(join(steps, `${run}/Dockerfile`), `FROM ${name}\nRUN ls -R /opt > /list\n`);
  }
  host.close();
  return {
    contestants: tools
      .filter(({ name }) => !name.startsWith('buildah'))
      .map((tool) => ({
        name: tool.name,
        // Docker has never seen the base of this run; ours starts from a fresh store.
        async prepare(run) {
          if (run === 0 || tool === tools[0]) await tool.forget();
        },
        run: (run) => tool.build({ context: join(steps, `${run}`), tag: PULLED }),
      })),
    async close() {
      const docker = withDocker ? await openPeer('docker', work) : undefined;
      await docker?.shell.run(commandLine([...docker.words, 'image', 'rm', '--force', PULLED]));
      docker?.shell.close();
      await registry[Symbol.asyncDispose]();
    },
  };
}

export const TRANSFERS: readonly Transfer[] = [
  {
    id: 'P1',
    title: 'push of 300 MB in 6 layers to an empty registry',
    open: (setup) => openPush(setup, 'cold'),
  },
  {
    id: 'P2',
    title: 'push again, one small layer changed',
    open: (setup) => openPush(setup, 'again'),
  },
  {
    id: 'P3',
    title: 'pull and unpack of a base of 25,000 files, 400 MB, for a RUN',
    open: openPull,
  },
  {
    id: 'P5',
    title: 'build and push again, one small file changed (docker: buildx build --push)',
    open: (setup) => openPush(setup, 'build'),
  },
];
