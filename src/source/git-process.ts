import { spawn } from 'node:child_process';
import { cancelledError, OcibuildError, throwIfAborted } from '../errors/error.ts';
import { redact } from '../errors/redact.ts';
import { errnoOf } from '../util/atomic-fs.ts';

type Env = Readonly<Record<string, string | undefined>>;

export interface GitProcessOptions {
  /** PATH, proxies and certificates of the caller; nothing else of it reaches git. */
  readonly env: Env;
  /** Values that must not be shown. */
  readonly secrets: readonly string[];
  /** `name=value` of git's configuration; never on a command line, where other users of the machine see it. */
  readonly config?: readonly (readonly [string, string])[];
  /** More variables of the process. */
  readonly extra?: Env;
  readonly input?: string;
  /** Is told how a fetch with `--progress` goes on. */
  readonly onProgress?: (part: GitPart, current: number, total: number) => void;
  readonly signal: AbortSignal;
}

/** What git counts while it fetches. */
export type GitPart = 'objects' | 'deltas';

/** What came of a git command that ended by itself. */
export interface GitOutput {
  readonly status: number;
  readonly stdout: Buffer;
  /** Its last lines, without control characters and credentials. */
  readonly said: string;
}

const PASSED = [
  'PATH',
  'TMPDIR',
  'HTTP_PROXY',
  'HTTPS_PROXY',
  'NO_PROXY',
  'ALL_PROXY',
  'http_proxy',
  'https_proxy',
  'no_proxy',
  'all_proxy',
  'GIT_SSL_CAINFO',
  'SSL_CERT_FILE',
  'SSL_CERT_DIR',
];

/** Repositories of strangers run no hooks, reach no local files, and change nothing behind our back. */
const CONFIG: readonly (readonly [string, string])[] = [
  ['core.hooksPath', '/dev/null'],
  ['core.fsmonitor', 'false'],
  ['gc.auto', '0'],
  ['maintenance.auto', 'false'],
  ['protocol.file.allow', 'never'],
  ['advice.detachedHead', 'false'],
  ['init.defaultBranch', 'main'],
  ['credential.helper', ''],
  // The store may be a volume of another owner.
  ['safe.directory', '*'],
];

/** Lines that tell how a fetch went on, of the server and of git itself. */
const COUNTS =
  /^(remote: )?(Enumerating|Counting|Compressing|Receiving|Unpacking|Resolving) (objects|deltas): |^remote: Total /;
const MAX_SAID = 2000;
const KILL_AFTER_MS = 2000;

/** Runs git where nothing but the arguments counts: no configuration of the user or the machine, no prompts, no hooks.
 * @throws GIT_NOT_FOUND, CANCELLED */
export async function runGit(args: readonly string[], options: GitProcessOptions): Promise<GitOutput> {
  throwIfAborted(options.signal);
  const child = spawn('git', args, {
    env: environment(options),
    stdio: ['pipe', 'pipe', 'pipe'],
    // A group of its own: its helpers (git-remote-https, ssh) end with it.
    detached: true,
  });
  const end = (signal: NodeJS.Signals): void => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, signal);
    } catch {
      // Gone already.
    }
  };
  let hard: NodeJS.Timeout | undefined;
  const cancel = (): void => {
    end('SIGTERM');
    hard = setTimeout(end, KILL_AFTER_MS, 'SIGKILL');
  };
  options.signal.addEventListener('abort', cancel, { once: true });
  try {
    const stdout: Buffer[] = [];
    let said = '';
    child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => {
      const text = chunk.toString('utf8');
      said = (said + text).slice(-2 * MAX_SAID);
      if (options.onProgress !== undefined) tellProgress(text, options.onProgress);
    });
    // A git that ends early does not read its input.
    child.stdin.on('error', () => undefined);
    child.stdin.end(options.input ?? '');
    const status = await new Promise<number>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code) => resolve(code ?? -1));
    });
    if (options.signal.aborted) throw cancelledError(options.signal);
    return { status, stdout: Buffer.concat(stdout), said: shown(said, options.secrets) };
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
    throw new OcibuildError(
      'GIT_NOT_FOUND',
      'Cannot read a git repository: the program "git" is not on PATH',
      {
        hint: 'install it: apt-get install git',
        cause: error,
      },
    );
  } finally {
    clearTimeout(hard);
    options.signal.removeEventListener('abort', cancel);
  }
}

function environment({ env, extra, config = [] }: GitProcessOptions): NodeJS.ProcessEnv {
  const all = [...CONFIG, ...config];
  const passed = PASSED.flatMap((name) => (env[name] === undefined ? [] : [[name, env[name]]]));
  return {
    ...Object.fromEntries(passed),
    LC_ALL: 'C',
    HOME: '/nonexistent',
    XDG_CONFIG_HOME: '/nonexistent',
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_CONFIG_GLOBAL: '/dev/null',
    GIT_ATTR_NOSYSTEM: '1',
    GIT_TERMINAL_PROMPT: '0',
    GIT_ASKPASS: '',
    SSH_ASKPASS_REQUIRE: 'never',
    GIT_CONFIG_COUNT: String(all.length),
    ...Object.fromEntries(
      all.flatMap(([name, value], i) => [
        [`GIT_CONFIG_KEY_${i}`, name],
        [`GIT_CONFIG_VALUE_${i}`, value],
      ]),
    ),
    ...extra,
  };
}

/** Progress is written over itself with carriage returns; only what stayed counts. */
function shown(said: string, secrets: readonly string[]): string {
  const lines = said.split('\n').map((line) => line.slice(line.lastIndexOf('\r') + 1).trim());
  const text = lines.filter((line) => line !== '' && !COUNTS.test(line)).join('; ');
  return redact(text, secrets).slice(-MAX_SAID);
}

/** Each state is written over the last one; only the newest of a piece of output counts. */
function tellProgress(text: string, told: NonNullable<GitProcessOptions['onProgress']>): void {
  for (const part of ['objects', 'deltas'] as const) {
    const states = [
      ...text.matchAll(new RegExp(`(?:Receiving|Resolving) ${part}: +\\d+% \\((\\d+)/(\\d+)\\)`, 'g')),
    ];
    const [, current, total] = states.at(-1) ?? [];
    if (current !== undefined) told(part, Number(current), Number(total));
  }
}
