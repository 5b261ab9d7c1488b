import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { GLOBAL_FLAGS } from '../flags/global-flags.ts';
import { oneOf } from '../flags/one-of.ts';
import { parseArgs } from '../flags/parse-args.ts';
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
    stages: () =>
      quiet(async () => {
        const { targets } = await import('../../build/describe.ts');
        const file = words.findLast((_, i) => ['-f', '--file'].includes(words[i - 1] ?? ''));
        const { env, cwd, signal } = context;
        const found = await targets({
          ...{ context: '.', env, cwd, signal },
          ...(file === undefined ? {} : { dockerfile: file }),
        });
        return found.targets.flatMap(({ name }) => name ?? []);
      }),
  };
  return completionText(await complete(words, sources));
}

function rootFlagOf(words: readonly string[]): readonly string[] {
  const at = words.findIndex((word) => word === '--root' || word.startsWith('--root='));
  return at < 0 ? [] : words.slice(at, words[at] === '--root' ? at + 2 : at + 1);
}
