import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { onTestFinished } from 'vitest';

const CLI = resolve(import.meta.dirname, '../../dist/cli.js');

export interface CliResult {
  readonly code: number | null;
  readonly stdout: Buffer;
  readonly stderr: string;
}

export interface Project {
  /** The context. */
  readonly dir: string;
  readonly store: string;
  write(files: Readonly<Record<string, string>>): void;
  /** Runs `ocibuild --root STORE ARGS…` in `dir` until it ends. */
  run(args: readonly string[], options?: RunOptions): Promise<CliResult>;
  /** The same, but gives the process as well. */
  start(args: readonly string[], options?: RunOptions): { child: ChildProcess; ended: Promise<CliResult> };
  /** What `start` runs, for who starts it in another way. */
  command(args: readonly string[]): {
    readonly command: readonly string[];
    readonly env: Readonly<Record<string, string | undefined>>;
  };
  /** What a build has left behind, besides what it is meant to keep. */
  leftovers(): string[];
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string;
  readonly store?: string;
  /** Octal. */
  readonly umask?: string;
}

/** A context with busybox as /bin/sh of `FROM scratch` images, and an empty store; gone with the test. */
export function createProject(files: Readonly<Record<string, string>>): Project {
  const top = mkdtempSync(join(tmpdir(), 'ocibuild-cli-'));
  // A child may still empty the trash or collect garbage: hence the tries.
  onTestFinished(() => rmSync(top, { recursive: true, force: true, maxRetries: 20 }));
  const [dir, store] = [join(top, 'context'), join(top, 'store')];
  mkdirSync(dir);
  copyFileSync(execFileSync('which', ['busybox'], { encoding: 'utf8' }).trim(), join(dir, 'busybox'));
  const write = (more: Readonly<Record<string, string>>): void => {
    for (const [name, text] of Object.entries(more)) {
      mkdirSync(dirname(join(dir, name)), { recursive: true });
      writeFileSync(join(dir, name), text);
    }
  };
  write(files);
  const start: Project['start'] = (args, options = {}) => {
    const command = [process.execPath, '--disable-warning=ExperimentalWarning', CLI];
    const words = [...command, '--root', options.store ?? store, ...args];
    const child = spawn('/bin/sh', ['-c', `umask ${options.umask ?? '022'}; exec "$@"`, 'sh', ...words], {
      cwd: dir,
      env: { ...process.env, ...options.env },
    });
    child.stdin.end(options.input ?? '');
    const stdout: Buffer[] = [];
    let stderr = '';
    child.stdout.on('data', (data: Buffer) => stdout.push(data));
    child.stderr.on('data', (data: Buffer) => {
      stderr += data.toString();
    });
    const ended = new Promise<CliResult>((done) => {
      child.on('close', (code) => done({ code, stdout: Buffer.concat(stdout), stderr }));
    });
    return { child, ended };
  };
  return {
    dir,
    store,
    write,
    start,
    command: (args) => ({
      command: [process.execPath, '--disable-warning=ExperimentalWarning', CLI, '--root', store, ...args],
      env: { ...process.env, TERM: 'xterm' },
    }),
    run: (args, options) => start(args, options).ended,
    leftovers() {
      const names = ['run', 'tmp', 'trash'].flatMap((folder) =>
        listDir(join(store, folder)).map((name) => `${folder}/${name}`),
      );
      const mounts = readFileSync('/proc/self/mountinfo', 'utf8')
        .split('\n')
        .filter((line) => line.includes(store));
      return [...names, ...mounts];
    },
  };
}

function listDir(dir: string): string[] {
  try {
    return readdirSync(dir);
  } catch {
    return [];
  }
}

/** A tmpfs of its own, unmounted with the test. */
export function mountTmpfs(options: string): string {
  const dir = mkdtempSync(join(tmpdir(), 'ocibuild-tmpfs-'));
  execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'ocibuild-test', dir]);
  onTestFinished(() => {
    // A child that empties the trash may still be in it.
    execFileSync('umount', ['--lazy', dir]);
    rmSync(dir, { recursive: true });
  });
  return dir;
}

/** The same directory again, where nothing can be written; gone with the test. */
export function mountReadOnly(dir: string): string {
  const target = mkdtempSync(join(tmpdir(), 'ocibuild-read-only-'));
  execFileSync('mount', ['--bind', dir, target]);
  onTestFinished(() => {
    execFileSync('umount', ['--lazy', target]);
    rmdirSync(target);
  });
  execFileSync('mount', ['-o', 'remount,bind,ro', target]);
  return target;
}

/** Dockerfile head: a scratch image in which shell commands work. */
export const SHELL = `FROM scratch
COPY busybox /bin/busybox
SHELL ["/bin/busybox", "sh", "-c"]
`;
