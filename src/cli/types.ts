import type { Invocation } from '../build/fast-path.ts';
import type { Config } from './config/config.ts';

/** What a command may use of the process. */
export interface CliContext {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly stdin: NodeJS.ReadStream;
  readonly stdout: NodeJS.WriteStream;
  readonly stderr: NodeJS.WriteStream;
  readonly signal: AbortSignal;
  /** How the process was called; absent where nothing is remembered of it. */
  readonly invocation?: Invocation;
  /** The config file that holds here; its root and runtime stand in `env` as well. */
  readonly config?: Config;
  /** The same by what the config file says now. @throws CONFIG_NOT_FOUND, CONFIG_INVALID */
  reload?(): Promise<CliContext>;
}
