/** Busybox for a processor that is not this machine's, from Debian's own packages. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const CACHE = resolve(import.meta.dirname, '../../node_modules/.cache/ocibuild-foreign');
const SOURCE = 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian';

/**
 * Path of a static busybox; downloaded once, by an apt that knows only that architecture and changes nothing here.
 * @param architecture as Debian names it: `arm64`, `armhf`, `s390x`
 */
export function foreignBusybox(architecture: string, suite = 'bookworm'): string {
  const cached = join(CACHE, `busybox-${architecture}`);
  if (existsSync(cached)) return cached;
  const dir = mkdtempSync(join(tmpdir(), 'ocibuild-apt-'));
  try {
    for (const name of ['lists/partial', 'archives/partial', 'etc/preferences.d', 'etc/apt.conf.d']) {
      mkdirSync(join(dir, name), { recursive: true });
    }
    writeFileSync(join(dir, 'status'), '');
    writeFileSync(join(dir, 'etc/sources.list'), `${SOURCE} ${suite} main\n`);
    const settings = {
      'APT::Architecture': architecture,
      'APT::Architectures': architecture,
      'Dir::State': dir,
      'Dir::State::status': join(dir, 'status'),
      'Dir::State::lists': join(dir, 'lists'),
      'Dir::Cache': dir,
      'Dir::Etc': join(dir, 'etc'),
      'Acquire::Languages': 'none',
      'APT::Sandbox::User': 'root',
    };
    const options = Object.entries(settings).flatMap(([key, value]) => ['-o', `${key}=${value}`]);
    const apt = (...args: string[]): void => {
      execFileSync('apt-get', ['-qq', ...options, ...args], {
        cwd: dir,
        stdio: ['ignore', 'ignore', 'pipe'],
      });
    };
    apt('update');
    apt('download', 'busybox-static');
    const packed = readdirSync(dir).find((name) => name.endsWith('.deb')) ?? '';
    execFileSync('dpkg-deb', ['-x', join(dir, packed), join(dir, 'files')]);
    mkdirSync(CACHE, { recursive: true });
    // Several test files may ask at once: whoever is last replaces equal bytes.
    const temp = `${cached}.${process.pid}`;
    execFileSync('cp', [join(dir, 'files/bin/busybox'), temp]);
    renameSync(temp, cached);
    return cached;
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** Why steps for arm64 cannot be run here; undefined: they can. */
export function whyNoEmulation(): string | undefined {
  if (process.arch !== 'x64') return 'the machine is not amd64';
  const [major = 0, minor = 0] = execFileSync('uname', ['-r'], { encoding: 'utf8' }).split('.').map(Number);
  if (major < 6 || (major === 6 && minor < 7)) return 'Linux 6.7 is needed';
  return existsSync('/usr/bin/qemu-aarch64-static') ? undefined : 'qemu-user-static is not installed';
}
