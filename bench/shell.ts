import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

export interface ShellResult {
  readonly code: number;
  readonly ms: number;
  readonly log: string;
}
export interface Shell {
  run(command: string): Promise<ShellResult>;
  close(): void;
}

/**
 * A shell that stays open and runs one command line after another, so that every tool is started the
 * same way and the price of entering a container or namespace is paid once, outside the measurement.
 */
export function openShell(command: string, args: readonly string[], cwd: string): Shell {
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'], cwd });
  const lines = createInterface({ input: child.stdout });
  let log: string[] = [];
  let settle: ((code: number) => void) | undefined;
  lines.on('line', (line) => {
    const done = /^__done (\d+)$/.exec(line);
    if (done) settle?.(Number(done[1]));
    else log.push(line);
  });
  child.on('close', () => settle?.(255));
  child.on('error', (error) => {
    log.push(error.message);
    settle?.(255);
  });
  child.stdin.on('error', () => settle?.(255));
  return {
    async run(line) {
      log = [];
      const start = performance.now();
      const code = await new Promise<number>((resolve) => {
        settle = resolve;
        if (child.exitCode !== null) resolve(255);
        child.stdin.write(`{ ${line}\n} 2>&1 </dev/null; printf '\\n__done %s\\n' $?\n`);
      });
      return { code, ms: performance.now() - start, log: log.join('\n') };
    },
    close() {
      child.stdin.end();
    },
  };
}

export function quote(text: string): string {
  return /^[\w./:=@,+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
