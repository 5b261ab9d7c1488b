import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startRegistry, type TestRegistry } from '../support/registry.ts';
import { runInTerminal } from '../support/terminal-run.ts';

const CHECKOUT = resolve(import.meta.dirname, '../..');

/** One fenced block of commands, with what the tutorial says it prints. */
interface Block {
  /** `sh`, and what is special: `fails`, `watch` stays in the background, `terminal` is typed into. */
  readonly kind: string;
  readonly script: string;
  readonly expected: readonly string[];
}

function blocksOf(markdown: string): Block[] {
  const fences = [...markdown.matchAll(/^```(.+)\n([\s\S]*?)^```$/gm)];
  return fences.flatMap(([, info = '', body = ''], i) => {
    if (!info.startsWith('sh')) return [];
    const next = fences[i + 1];
    const lines = next?.[1] === 'text' ? (next[2] ?? '').trimEnd().split('\n') : [];
    return [{ kind: info.slice(2).trim() || 'plain', script: body, expected: lines }];
  });
}

/** A line of the tutorial as a pattern: `…` is anything, as are runs of blanks. */
function patternOf(line: string): RegExp {
  const parts = line
    .split('…')
    .map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&').replace(/ +/g, ' +'));
  return new RegExp(parts.join('.*'));
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0);
  await new Promise((done) => server.once('listening', done));
  const { port } = server.address() as { port: number };
  await new Promise((done) => server.close(done));
  return port;
}

describe('docs/tutorial.md', () => {
  let top: string;
  let registry: TestRegistry;
  let port: number;
  let env: Record<string, string | undefined>;
  let cwd: string;
  let watching: ChildProcess | undefined;

  beforeAll(async () => {
    top = mkdtempSync(join(tmpdir(), 'ocibuild-tutorial-'));
    cwd = top;
    [registry, port] = [await startRegistry(), await freePort()];
    mkdirSync(join(top, 'bin'));
    symlinkSync(join(CHECKOUT, 'bin/ocibuild'), join(top, 'bin/ocibuild'));
    env = {
      ...process.env,
      PATH: `${join(top, 'bin')}:${dirname(process.execPath)}:${process.env.PATH}`,
      OCIBUILD_ROOT: join(top, 'store'),
      DOCKER_CONFIG: join(top, 'docker'),
      HOME: top,
      TOKEN: 'secret',
    };
    // In place of the one at Docker's hub.
    const base = join(top, 'base');
    mkdirSync(base);
    copyFileSync(execFileSync('which', ['busybox'], { encoding: 'utf8' }).trim(), join(base, 'busybox'));
    writeFileSync(
      join(base, 'Dockerfile'),
      'FROM scratch\nCOPY busybox /bin/\nRUN ["/bin/busybox", "--install", "-s", "/bin"]\nCMD ["sh"]\n',
    );
    execFileSync('ocibuild', ['build', '-q', '-t', 'busybox:1.37', base], { env });
  });

  afterAll(async () => {
    watching?.kill('SIGINT');
    await registry[Symbol.asyncDispose]();
    rmSync(top, { recursive: true, force: true });
  });

  /** What is not here: registries and packages of others, and port 8000, which may be taken. */
  const localised = (script: string): string =>
    script
      .replaceAll('registry.example', registry.host)
      .replaceAll('8000:8000', `${port}:8000`)
      .replaceAll('localhost:8000', `localhost:${port}`)
      .replace('npm install --global ocibuild', 'test -x "$(command -v ocibuild)"')
      .replace('sudo apt-get install --yes', 'echo')
      .replaceAll('curl ', 'curl --silent --show-error ');

  function shell(script: string): Promise<{ code: number | null; output: string }> {
    const whole = `${localised(script)}\npwd > "${top}/cwd"\n`;
    const child = spawn('bash', ['--noprofile', '--norc', '-e', '-o', 'pipefail', '-c', whole], {
      ...{ cwd, env, stdio: ['ignore', 'pipe', 'pipe'] },
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (data: Buffer) => {
        output += data.toString();
      });
    }
    return new Promise((done) => {
      child.once('close', (code) => {
        if (code === 0) cwd = readFileSync(join(top, 'cwd'), 'utf8').trim();
        done({ code, output });
      });
    });
  }

  async function plain({ script, expected }: Block, isFailing: boolean): Promise<void> {
    // A server, or the image of what was just saved, needs a moment.
    const isAnswer = script.startsWith('curl');
    for (let left = isAnswer ? 300 : 0; ; left--) {
      const { code, output } = await shell(script);
      const missing = expected.filter((line) => !patternOf(line).test(output));
      const isRight = (code === 0) !== isFailing && missing.length === 0;
      if (isRight) return;
      if (left === 0) expect({ code, output, missing }, script).toBe(isFailing ? 'a failure' : 'a success');
      await sleep(100);
    }
  }

  async function startWatch(script: string): Promise<void> {
    const child = spawn('bash', ['-c', `exec ${localised(script)}`], {
      cwd,
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    watching = child;
    let output = '';
    child.stdout?.resume();
    child.stderr?.on('data', (data: Buffer) => {
      output += data.toString();
    });
    for (let i = 0; i < 600 && !/waiting for changes/.test(output); i++) await sleep(50);
    expect(output).toMatch(/waiting for changes/);
  }

  async function endWatch(): Promise<void> {
    const child = watching;
    watching = undefined;
    if (child === undefined) return;
    const ended = new Promise((done) => child.once('close', done));
    child.kill('SIGINT');
    expect(await ended).toBe(130);
  }

  async function lookAround(script: string): Promise<void> {
    const run = runInTerminal(['bash', '-c', localised(script)], { columns: 100, rows: 30, cwd, env });
    await run.seen(/^\/site #/m);
    run.type('ls /site; sh -x render.sh\r');
    await run.seen(/^\+ cp missing\.txt/m);
    run.type('exit\r');
    expect(await run.ended).toBe(1);
  }

  it('has commands that do what it says, in the order in which they stand', async () => {
    const blocks = blocksOf(readFileSync(join(CHECKOUT, 'docs/tutorial.md'), 'utf8'));
    expect(blocks.length).toBeGreaterThan(20);
    for (const [i, block] of blocks.entries()) {
      if (block.kind === 'watch') await startWatch(block.script);
      else if (block.kind === 'terminal') await lookAround(block.script);
      else await plain(block, block.kind === 'fails');
      // Its last use was the answer of the new container.
      if (watching !== undefined && blocks[i + 1]?.script.includes('missing.txt')) await endWatch();
    }
  });
});
