import { execFile, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

const exec = promisify(execFile);

/** A containerd of its own: root, state and socket in a temporary directory. */
export interface Containerd extends AsyncDisposable {
  /** Runs `ctr ARGS…`; gives its stdout. */
  ctr(...args: readonly string[]): Promise<string>;
  /** Name → digest of all images. */
  images(): Promise<ReadonlyMap<string, string>>;
}

/** Starts Debian's containerd without its CRI plugin: that takes some 20 ms. */
export async function startContainerd(): Promise<Containerd> {
  const dir = mkdtempSync(join(tmpdir(), 'ocibuild-containerd-'));
  const socket = join(dir, 'grpc.sock');
  const config = [
    ...['version = 2', `root = "${dir}/root"`, `state = "${dir}/state"`],
    'disabled_plugins = ["io.containerd.grpc.v1.cri"]',
    ...['[grpc]', `  address = "${socket}"`, '[ttrpc]', `  address = "${dir}/ttrpc.sock"`],
  ];
  writeFileSync(join(dir, 'config.toml'), `${config.join('\n')}\n`);
  const child = spawn('containerd', ['-c', join(dir, 'config.toml')], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let log = '';
  child.stderr.on('data', (data: Buffer) => {
    log += data.toString();
  });
  const exited = new Promise<void>((done) => child.once('close', () => done()));
  const ctr: Containerd['ctr'] = async (...args) => (await exec('ctr', ['-a', socket, ...args])).stdout;
  for (let tries = 0; !existsSync(socket); tries++) {
    if (tries > 3000 || child.exitCode !== null) throw new Error(`containerd did not start: ${log}`);
    await sleep(10);
  }
  return {
    ctr,
    async images() {
      const rows = (await ctr('image', 'ls')).matchAll(/^(\S+)\s+\S+\s+(sha256:\S+)/gm);
      return new Map([...rows].map(([, name = '', digest = '']) => [name, digest]));
    },
    async [Symbol.asyncDispose]() {
      child.kill('SIGTERM');
      await exited;
      rmSync(dir, { recursive: true, force: true });
    },
  };
}
