import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { COMMANDS, type CommandName, findCommand } from '../commands.ts';
import { withConfigFile } from '../config/open-config.ts';
import { GLOBAL_FLAGS } from '../flags/global-flags.ts';
import { oneOf } from '../flags/one-of.ts';
import { flagReader, parseArgs } from '../flags/parse-args.ts';
import { takePositional } from '../flags/positional.ts';
import { storeOf } from '../store-of.ts';
import type { CliContext } from '../types.ts';
import { type CompletionSources, complete, completionText } from './completion.ts';
import { COMPLETION_SCRIPTS } from './completion-scripts.ts';

const SHELLS = ['bash', 'zsh', 'fish'] as const;

/** `ocibuild completion SHELL`: the script that the shell loads. */
export function completionCommand(args: readonly string[]): string {
  const [shell = ''] = takePositional(parseArgs(args, GLOBAL_FLAGS), ['SHELL (bash, zsh or fish)']);
  return COMPLETION_SCRIPTS[oneOf('completion', shell, SHELLS)];
}

/** What the scripts call. A fault of the store or of a Dockerfile is no news for a shell: nothing is offered then. */
export async function completeWords(words: readonly string[], context: CliContext): Promise<string> {
  const quiet = async (names: () => Promise<readonly string[]>): Promise<readonly string[]> => {
    try {
      return await names();
    } catch {
      return [];
    }
  };
  const inStore = (names: (root: string) => Promise<readonly string[]>) => (): Promise<readonly string[]> =>
    quiet(async () => {
      const root = await storeOf(parseArgs(rootFlagOf(words), GLOBAL_FLAGS), context);
      return existsSync(join(root, 'index.json')) ? names(root) : [];
    });
  const sources: CompletionSources = {
    images: inStore(async (root) => {
      const { listImages } = await import('../../build/images/store-commands.ts');
      return (await listImages(root, context)).map(({ name }) => name);
    }),
    containers: inStore(async (root) => {
      const { listContainers } = await import('../../build/containers/records.ts');
      return listContainers(root).map(({ plan }) => plan.name);
    }),
    builds: inStore(async (root) => {
      const { listBuilds } = await import('../../build/history/past-builds.ts');
      return listBuilds(root).map(({ build }) => build.id);
    }),
    cacheMounts: inStore(async (root) => {
      const { cacheMountIds } = await import('../../build/prune/mounts.ts');
      return cacheMountIds(root, context);
    }),
    named: () =>
      quiet(async () => {
        const { name, args } = findCommand(words);
        const { config } = await withConfigFile(name as CommandName, args, context);
        return [...(config?.builds.keys() ?? [])].map((build) => `@${build}`);
      }),
    stages: () =>
      quiet(async () => {
        const { name, args } = findCommand(words);
        const parsed = parseArgs(args, [...COMMANDS[name as CommandName].flags, ...GLOBAL_FLAGS]);
        const dockerfile = flagReader(parsed).text('file');
        const { targets } = await import('../../build/describe.ts');
        const { env, cwd, signal } = context;
        const found = await targets({
          ...{ context: parsed.positional[0] ?? '.', env, cwd, signal },
          ...(dockerfile === undefined ? {} : { dockerfile }),
        });
        return found.targets.flatMap(({ name: stage }) => stage ?? []);
      }),
  };
  return completionText(await complete(words, sources));
}

function rootFlagOf(words: readonly string[]): readonly string[] {
  const at = words.findIndex((word) => word === '--root' || word.startsWith('--root='));
  return at < 0 ? [] : words.slice(at, words[at] === '--root' ? at + 2 : at + 1);
}
