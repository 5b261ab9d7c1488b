import { execFile, spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const execFileAsync = promisify(execFile);

/** A running docker-registry on loopback, with storage of its own. */
export interface TestRegistry extends AsyncDisposable {
  /** `127.0.0.1:PORT`. */
  readonly host: string;
  /** Copies an image of a layout directory to `HOST/name`, by skopeo. */
  push(layoutDir: string, tag: string, name: string): Promise<void>;
}

export interface RegistryOptions {
  /** The `auth` part of the registry's configuration. Default: everybody may do everything. */
  readonly auth?: Readonly<Record<string, unknown>>;
  /** `user:password` for skopeo's pushes. */
  readonly credentials?: string;
}

/** Starts Debian's docker-registry on a free port. */
export async function startRegistry({ auth, credentials }: RegistryOptions = {}): Promise<TestRegistry> {
  const dir = await mkdtemp(join(tmpdir(), 'ocibuild-registry-'));
  const config = join(dir, 'config.json');
  // YAML contains JSON.
  const text = JSON.stringify({
    version: 0.1,
    log: { level: 'info', accesslog: { disabled: true } },
    storage: { filesystem: { rootdirectory: join(dir, 'data') }, delete: { enabled: true } },
    http: { addr: '127.0.0.1:0' },
    ...(auth === undefined ? {} : { auth }),
  });
  await writeFile(config, text);
  const child = spawn('docker-registry', ['serve', config], { stdio: ['ignore', 'ignore', 'pipe'] });
  const exited = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const host = await new Promise<string>((resolve, reject) => {
    let log = '';
    child.once('error', reject);
    child.once('close', (code) => reject(new Error(`docker-registry ended with ${code}: ${log}`)));
    child.stderr.on('data', (data: Buffer) => {
      log += data.toString();
      const address = /listening on (127\.0\.0\.1:\d+)/.exec(log)?.[1];
      if (address !== undefined) resolve(address);
    });
  });
  return {
    host,
    async push(layoutDir, tag, name) {
      const source = `oci:${layoutDir}:${tag}`;
      const args = [
        'copy',
        '--quiet',
        '--all',
        '--preserve-digests',
        '--insecure-policy',
        '--dest-tls-verify=false',
        ...(credentials === undefined ? [] : ['--dest-creds', credentials]),
      ];
      await execFileAsync('skopeo', [...args, source, `docker://${host}/${name}`]);
    },
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await exited;
      await rm(dir, { recursive: true, force: true });
    },
  };
}
