import { withSource } from '../../errors/source.ts';
import type { Definition } from '../../llb/definition.ts';
import type { RemoteSource, RemoteSources } from '../inputs/remote-sources.ts';
import type { NormalOptions } from '../normalise.ts';
import type { SourceRules } from './source-rules.ts';

/** What stands in for a source. @throws SOURCE_DENIED, SOURCE_POLICY_INVALID */
export function policedSource(rules: SourceRules | undefined, source: RemoteSource): RemoteSource {
  if (rules === undefined) return source;
  if (source.type !== 'archive') return rules.remote(source);
  rules.local('context');
  return source;
}

/** Downloads and repositories as the rules have them, whoever asks. */
export function policedRemotes(remote: RemoteSources, rules: SourceRules | undefined): RemoteSources {
  if (rules === undefined) return remote;
  const { downloads, git } = remote;
  return {
    ...remote,
    downloads: {
      fetch: async (source, signal) => downloads.fetch(rules.remote(source), signal),
      read: async (source, signal) => downloads.read(rules.remote(source), signal),
    },
    git: {
      resolve: async (source, signal) => git.resolve(rules.remote(source), signal),
      commitTime: async (source, signal) => git.commitTime(rules.remote(source), signal),
      readFile: async (source, path, options) => git.readFile(rules.remote(source), path, options),
      checkout: async (source, dest, signal) => git.checkout(rules.remote(source), dest, signal),
    },
    files: (source) => remote.files(policedSource(rules, source)),
    time: async (source, signal) => remote.time(policedSource(rules, source), signal),
  };
}

/** Asks for the Dockerfile of this machine, before it is read. */
export function checkDefinition(rules: SourceRules | undefined, { context }: NormalOptions): void {
  if (context.type === 'directory' || context.type === 'stdin') rules?.local('dockerfile');
}

/**
 * Asks for every source of a graph before its first step: what is denied is no less so where its result is cached.
 * @throws SOURCE_DENIED, SOURCE_POLICY_INVALID
 */
export function checkSources(rules: SourceRules | undefined, { vertices, meta }: Definition): void {
  if (rules === undefined) return;
  const all = [...vertices.values()];
  for (const { digest, op } of all) {
    if (op.kind !== 'source' || op.source.type === 'image') continue;
    try {
      if (op.source.type === 'local') rules.local(op.source.name);
      else policedSource(rules, op.source);
    } catch (error) {
      // A directory is named by what reads it.
      const user = all.find(({ inputs }) => inputs.includes(digest))?.digest ?? digest;
      throw withSource(error, meta.get(digest)?.source ?? meta.get(user)?.source);
    }
  }
}
