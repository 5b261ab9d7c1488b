import { createHash } from 'node:crypto';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { StoreRoot } from '../cache/types.ts';
import { isStackedFile } from '../layer/stacked-file.ts';
import { treeDigest } from '../layer/tree/tree.ts';
import type { OpDeps, StepDeps } from '../solver/ops/types.ts';
import type { Engine } from './engine.ts';
import type { BuildGraph } from './graph.ts';
import { graphNeeds } from './graph-needs.ts';
import type { ArchiveStore } from './inputs/archives.ts';
import type { LocalSources } from './inputs/local-files.ts';
import type { RemoteSources } from './inputs/remote-sources.ts';
import { createSecrets } from './inputs/secrets.ts';
import type { NormalOptions } from './normalise.ts';
import { blobOptions, isPackedOutput } from './outputs/image-outputs.ts';
import { proxyEnvironment, withProxySettings } from './proxy-env.ts';

export interface OpParts extends Pick<OpDeps, 'executor' | 'imageLayers' | 'cacheMounts' | 'keepFailed'> {
  readonly options: NormalOptions;
  readonly engine: Engine;
  readonly graph: BuildGraph;
  readonly signal: AbortSignal;
  readonly local: LocalSources;
  readonly remote: RemoteSources;
  readonly archives: ArchiveStore;
  readonly inline: InlineFiles;
  /** A step has asked for a secret. */
  readonly onSecret: (value: Uint8Array) => void;
}

/** What the steps of one build work with. */
export function createOpDeps(parts: OpParts): OpDeps {
  const { options, graph, local, remote, archives, inline } = parts;
  const needs = graphNeeds(graph.definition, graph.roots);
  const wanted = options.outputs.find(isPackedOutput);
  return {
    ...createStepDeps(parts),
    external(source) {
      return source.type === 'local' ? { open: () => local.open(source) } : remote.files(source);
    },
    imageLayers: parts.imageLayers,
    archives,
    forms(vertex) {
      const blob = wanted !== undefined && needs.isExported(vertex) ? blobOptions(wanted) : undefined;
      return { blob, snapshot: needs.isRoot(vertex) || blob === undefined };
    },
    ...(parts.keepFailed === undefined ? {} : { keepFailed: parts.keepFailed }),
    epochSec: options.epochSec ?? 0,
    inlineFile: inline.add,
  };
}

export interface StepParts
  extends Pick<OpParts, 'executor' | 'cacheMounts' | 'engine' | 'signal' | 'onSecret'> {
  readonly options: Pick<NormalOptions, 'secrets' | 'ssh' | 'env' | 'cwd' | 'buildArgs'>;
}

/** What a program works with in the place of a step, in a build or after it. */
export function createStepDeps(parts: StepParts): StepDeps {
  const { options, engine, signal } = parts;
  const secrets = createSecrets(options.secrets ?? {}, options);
  return {
    layers: engine.layers,
    executor: parts.executor,
    treeDigest,
    async hashTree(tree, source) {
      const { hashTree } = await import('../layer/tree/hash-tree.ts');
      return hashTree(tree, source.content, { signal });
    },
    cacheMounts: parts.cacheMounts,
    secret(id, { required }) {
      const value = secrets.get(id) ?? (required ? undefined : secrets.unset(id));
      if (value !== undefined) parts.onSecret(value);
      return value;
    },
    async sshAgent(id, owner) {
      const { createSshAgents } = await import('./inputs/ssh-agent.ts');
      return createSshAgents(options.ssh ?? {}, { cwd: options.cwd, tempPath: engine.root.tempPath }).open(
        id,
        owner,
      );
    },
    async devices(wanted) {
      const { resolveDevices } = await import('../executor/cdi.ts');
      return resolveDevices(wanted, { rootless: engine.rootless });
    },
    async writeTree(dir, tree, about) {
      const { writeTree } = await import('../layer/tree/write-tree.ts');
      // Not a layer: no whiteout or opaque mark can be in what a seed shows.
      await writeTree(dir, tree, {
        ...about,
        opaqueXattr: 'user.overlay.opaque',
        ignoreDevices: engine.rootless,
      });
    },
    proxyEnv: proxyEnvironment(options.env, withProxySettings(options.buildArgs ?? {}, options.env)),
    newRunId: () => engine.root.bundle().id,
    readFile: (path) => readFileSync(path),
    isStackedFile,
  };
}

/** Bytes of the graph as files, for as long as the build runs. */
export interface InlineFiles {
  readonly add: OpDeps['inlineFile'];
  close(): void;
}

export function createInlineFiles(root: StoreRoot): InlineFiles {
  const files: string[] = [];
  return {
    async add(bytes) {
      const path = root.tempPath();
      files.push(path);
      writeFileSync(path, bytes, { mode: 0o600 });
      return { path, digest: `sha256:${createHash('sha256').update(bytes).digest('hex')}` };
    },
    close() {
      for (const path of files.splice(0)) rmSync(path, { force: true });
    },
  };
}
