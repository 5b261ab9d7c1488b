import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';
import { openShell, quote, type Shell, type ShellResult } from './shell.ts';

/** Every workload starts from this image, present in each tool's own store. */
export const BASE_REF = 'docker.io/library/busybox:bench';

export interface BuildRequest {
  readonly context: string;
  /** Where the OCI archive goes; absent: the result is tagged in the tool's own store. */
  readonly archive?: string;
  readonly tag: string;
  /** The image goes to a registry, and so does the cache, or it comes from there. */
  readonly shared?: SharedCache;
}

export interface SharedCache {
  /** `127.0.0.1:PORT` */
  readonly registry: string;
  readonly isFirst: boolean;
}

export interface Tool {
  readonly name: string;
  /** Takes `--cache-from` and `--cache-to` of a registry. */
  readonly sharesCaches: boolean;
  readonly version: string;
  /** Forgets every cached step and keeps the base image; not measured. */
  forget(): Promise<void>;
  build(request: BuildRequest): Promise<ShellResult>;
  close(): Promise<void>;
}

/** Flags of every build with Docker. */
export const DOCKER_BUILD: readonly string[] = [
  ...['--progress', 'plain', '--provenance=false'],
  ...['--network', 'host', '--allow', 'network.host'],
];

const root = resolve(import.meta.dirname, '..');
export const OCIBUILD: string = join(root, 'bin/ocibuild');

export async function must(shell: Shell, line: string): Promise<string> {
  const { code, log } = await shell.run(line);
  if (code !== 0) throw new Error(`Cannot run \`${line}\`: exit code ${code}\n${log}`);
  return log.trim();
}

export function commandLine(words: readonly string[]): string {
  return words.map(quote).join(' ');
}

/** Names and flags of a build whose cache is shared; each tool has repositories of its own. */
function sharedWords({ registry, isFirst }: SharedCache, tool: string): string[] {
  const ref = `type=registry,ref=${registry}/${tool}/app:cache`;
  const cache = isFirst ? ['--cache-to', `${ref},mode=max`] : ['--cache-from', ref];
  return ['-t', `${registry}/${tool}/app:bench`, '--push', ...cache];
}

/** Words of an ocibuild build; `store` keeps one run apart from the next. */
export function ocibuildWords(store: string, request: BuildRequest, progress: 'plain' | 'rawjson'): string[] {
  const { archive, context, shared, tag } = request;
  const output = archive ? ['-o', `type=oci,dest=${archive}`] : [];
  const name = shared === undefined ? ['-t', tag] : sharedWords(shared, 'ocibuild');
  const flags = ['--progress', progress, '--network', 'host', ...name];
  return [OCIBUILD, '--root', store, 'build', ...flags, ...output, context];
}

/** Builds the base image into an ocibuild store and returns the store's path. */
export function createStoreTemplate(work: string): string {
  const store = join(work, 'store-template');
  const { status, stderr } = spawnSync(
    process.execPath,
    [join(root, 'scripts/example.mjs'), 'busybox', '-t', BASE_REF],
    {
      encoding: 'utf8',
      env: { ...process.env, OCIBUILD_ROOT: store },
    },
  );
  if (status !== 0) throw new Error(`Cannot build the base image: exit code ${status}\n${stderr}`);
  return store;
}

/** ocibuild with a store per forget(): the one that holds the base is copied. */
export async function createOcibuild(work: string): Promise<Tool> {
  const shell = openShell('sh', [], work);
  const template = createStoreTemplate(work);
  let generation = 0;
  const store = (): string => join(work, `store-${generation}`);
  const base = { context: join(root, 'examples/busybox'), tag: BASE_REF, archive: join(work, 'base.tar') };
  await must(shell, commandLine(ocibuildWords(template, base, 'plain')));
  return {
    name: 'ocibuild',
    sharesCaches: true,
    version: (await must(shell, `${OCIBUILD} version`)).split(' ')[1] ?? '',
    async forget() {
      generation += 1;
      await must(shell, commandLine(['cp', '-a', template, store()]));
    },
    build(request) {
      return shell.run(commandLine(ocibuildWords(store(), request, 'plain')));
    },
    async close() {
      shell.close();
    },
  };
}

/** A shell in which a peer can be called, and the words that call it; undefined where it is not installed. */
export async function openPeer(
  name: 'docker' | 'buildah' | 'skopeo',
  work: string,
): Promise<
  { readonly shell: Shell; readonly words: readonly string[]; readonly owned: boolean } | undefined
> {
  const peer = findPeer(name);
  if (peer === undefined) return undefined;
  const [starter] = peer.before;
  if (name === 'docker' && starter !== undefined) {
    // The script starts its daemon on first use; the socket is then visible inside the same root.
    const host = openShell('sh', [], work);
    await must(host, commandLine([starter, 'docker', 'version']));
    host.close();
  }
  const shell = openShell(peer.shell, peer.args, work);
  const owned = starter !== undefined;
  const words = name === 'docker' && owned ? ['docker', '-H', 'unix:///run/docker-peer.sock'] : [name];
  return { shell, words, owned };
}

/** The folders of PATH, or the root that the script named by PEERS enters. */
function findPeer(name: string): { shell: string; args: string[]; before: string[] } | undefined {
  const peers = process.env.PEERS;
  if (peers) return { shell: peers, args: ['run', 'sh'], before: [peers] };
  const found = (process.env.PATH ?? '').split(delimiter).some((folder) => existsSync(join(folder, name)));
  return found ? { shell: 'sh', args: [], before: [] } : undefined;
}

export async function createDocker(work: string): Promise<Tool | undefined> {
  const peer = await openPeer('docker', work);
  if (peer === undefined) return undefined;
  // A daemon that people work with keeps its build cache; only the one behind PEERS is pruned.
  const { shell, words: docker, owned } = peer;
  const run = (words: readonly string[]): Promise<string> => must(shell, commandLine([...docker, ...words]));
  await run(['load', '-i', join(work, 'base.tar')]);
  let cold = false;
  return {
    name: 'docker buildx',
    sharesCaches: true,
    version: (await run(['version', '--format', '{{.Server.Version}}'])).split('\n').at(-1) ?? '',
    async forget() {
      cold = true;
      if (owned) await run(['builder', 'prune', '--all', '--force']);
    },
    build({ context, archive, tag, shared }) {
      const loaded = archive ? ['-o', `type=oci,dest=${archive}`] : ['--load'];
      const output = shared === undefined ? ['-t', tag, ...loaded] : sharedWords(shared, 'docker');
      const noCache = cold && !owned ? ['--no-cache'] : [];
      cold = false;
      return shell.run(
        commandLine([...docker, 'buildx', 'build', ...DOCKER_BUILD, ...noCache, ...output, context]),
      );
    },
    async close() {
      if (owned) await shell.run(commandLine([...docker, 'builder', 'prune', '--all', '--force']));
      await shell.run(`${commandLine([...docker, 'image', 'rm', '--force', BASE_REF])} || true`);
      shell.close();
    },
  };
}

/** buildah with a storage root per forget(): the images of whoever runs this stay untouched. */
export async function createBuildah(work: string): Promise<Tool | undefined> {
  const peer = await openPeer('buildah', work);
  if (peer === undefined) return undefined;
  const { shell } = peer;
  let generation = 0;
  const buildah = (): string[] => {
    const storage = join(work, `buildah-${generation}`);
    return ['buildah', '--root', storage, '--runroot', `${storage}-run`];
  };
  const empty = (): Promise<ShellResult> =>
    shell.run(
      `${commandLine([...buildah(), 'rmi', '--force', '--all'])}; umount ${work}/buildah-*/overlay 2>/dev/null`,
    );
  // The archive's short name may arrive under another registry's name.
  const pull = (): Promise<string> => {
    const id = `$(${commandLine([...buildah(), 'pull', '--quiet', `oci-archive:${work}/base.tar`])} | tail -n 1)`;
    return must(shell, `${commandLine([...buildah(), 'tag'])} ${id} ${BASE_REF}`);
  };
  await pull();
  return {
    name: 'buildah bud',
    sharesCaches: false,
    version: (await must(shell, 'buildah --version')).replace(/^buildah version (\S+).*$/s, '$1'),
    async forget() {
      await empty();
      generation += 1;
      await pull();
    },
    build({ context, archive, tag }) {
      const build = [...buildah(), 'bud', '--layers', '--network', 'host', '--jobs', '4', '-t', tag, context];
      const push = [...buildah(), 'push', tag, `oci-archive:${archive}`];
      return shell.run(archive ? `${commandLine(build)} && ${commandLine(push)}` : commandLine(build));
    },
    async close() {
      await empty();
      shell.close();
    },
  };
}
