import { resolve } from 'node:path';
import { flagReader } from './flags/parse-args.ts';
import type { ParsedArgs } from './flags/types.ts';
import type { CliContext } from './types.ts';

export async function storeOf(parsed: ParsedArgs, { env, cwd }: CliContext): Promise<string> {
  const { defaultRoot } = await import('../build/default-root.ts');
  return resolve(cwd, flagReader(parsed).text('root') || defaultRoot(env));
}
