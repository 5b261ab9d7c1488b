import { execFile } from 'node:child_process';

/** How a program ended. */
export interface Captured {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

const TIMEOUT_MS = 5000;

/** Runs a program to its end, at most five seconds; 127 where it cannot be started. */
export function capture(
  file: string,
  args: readonly string[],
  options: { readonly signal: AbortSignal; readonly env?: NodeJS.ProcessEnv; readonly timeoutMs?: number },
): Promise<Captured> {
  const { signal, env, timeoutMs = TIMEOUT_MS } = options;
  return new Promise((done) => {
    const how = { signal, timeout: timeoutMs, killSignal: 'SIGKILL' as const, encoding: 'utf8' as const };
    execFile(file, args, { ...how, ...(env === undefined ? {} : { env }) }, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : 127;
      done({ code, stdout, stderr: stderr === '' && code === 127 ? (error?.message ?? '') : stderr });
    });
  });
}
