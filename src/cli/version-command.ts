import { GLOBAL_FLAGS } from './flags/global-flags.ts';
import { parseArgs } from './flags/parse-args.ts';
import { takePositional } from './flags/positional.ts';

/** `ocibuild version` */
export async function versionCommand(args: readonly string[]): Promise<string> {
  takePositional(parseArgs(args, GLOBAL_FLAGS), []);
  const { VERSION } = await import('../build/version.ts');
  return `ocibuild ${VERSION} (Node ${process.versions.node}, ${process.platform}/${process.arch})\n`;
}
