// Brings what a command needs to a machine that has only Node 20, npm and (for apt-get) root.
// Runs before npm ci, so it uses nothing but Node's own modules.
// npm scripts call it with npm's own Node: the one in node_modules may not start yet.
// Usage: node scripts/prepare.mjs demo|test|bench|example|modules
import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');

/** Debian package for each program a purpose calls; what is on PATH already is not installed. */
const PROGRAMS = {
  runc: 'runc',
  crun: 'crun',
  catatonit: 'catatonit',
  runsc: 'runsc',
  busybox: 'busybox-static',
  mmdebstrap: 'mmdebstrap',
  skopeo: 'skopeo',
  umoci: 'umoci',
  'docker-registry': 'docker-registry',
  containerd: 'containerd',
  newuidmap: 'uidmap',
  pasta: 'passt',
  '/usr/lib/cni/bridge': 'containernetworking-plugins',
  iptables: 'iptables',
  slirp4netns: 'slirp4netns',
  setcap: 'libcap2-bin',
  'qemu-aarch64-static': 'qemu-user-static',
  setfattr: 'attr',
  curl: 'curl',
  git: 'git',
  sshd: 'openssh-server',
  'ssh-agent': 'openssh-client',
  ps: 'procps',
  python3: 'python3',
  script: 'bsdutils',
  xz: 'xz-utils',
  openssl: 'openssl',
  zstd: 'zstd',
  mandoc: 'mandoc',
  time: 'time',
};

const PURPOSES = {
  modules: [],
  demo: ['runc', 'busybox'],
  example: ['runc', 'busybox', 'mmdebstrap'],
  bench: ['runc', 'busybox', 'time'],
  test: [
    ...[
      'runc',
      'crun',
      'catatonit',
      'runsc',
      'busybox',
      'mmdebstrap',
      'skopeo',
      'umoci',
      'docker-registry',
      'newuidmap',
      'pasta',
    ],
    ...[
      'slirp4netns',
      '/usr/lib/cni/bridge',
      'iptables',
      'containerd',
      'setcap',
      'qemu-aarch64-static',
      'setfattr',
      'curl',
      'git',
      'sshd',
      'ssh-agent',
      'ps',
      'python3',
      'script',
      'openssl',
      'xz',
      'zstd',
      'mandoc',
    ],
  ],
};

function fail(message) {
  process.stderr.write(`${message}\n`);
  process.exit(3);
}

function isProgram(name) {
  const folders = name.startsWith('/')
    ? ['']
    : [...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/sbin', '/usr/bin', '/bin'];
  return folders.some((folder) => {
    try {
      accessSync(join(folder, name), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

function aptGet(args) {
  return spawnSync('apt-get', ['-qq', '-o', 'Dpkg::Use-Pty=0', '-o', 'DPkg::Lock::Timeout=120', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    encoding: 'utf8',
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
  });
}

function installPrograms(names) {
  installPackages(names.filter((name) => !isProgram(name)).map((name) => PROGRAMS[name]));
}

function installPackages(packages) {
  if (packages.length === 0) return;
  const list = packages.join(' ');
  if (!isProgram('apt-get'))
    fail(`Cannot install ${list}: there is no apt-get, install them with your package manager`);
  if (process.getuid?.() !== 0)
    fail(`Cannot install ${list}: not root, run \`sudo apt-get install ${list}\` first`);
  process.stderr.write(`installing Debian packages: ${list}\n`);
  const install = () => aptGet(['install', '-y', '--no-install-recommends', ...packages]);
  // Package lists may be missing (slim images) or name versions that the mirror no longer has.
  if (install().status === 0) return;
  const update = aptGet(['update']);
  const second = install();
  if (second.status !== 0)
    fail(`Cannot install ${list}: ${(second.stderr || update.stderr).trim().slice(-2000)}`);
}

/** Whether node_modules holds every required package of package-lock.json in its version. */
function hasModules() {
  try {
    const wanted = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages;
    const installed = JSON.parse(
      readFileSync(join(root, 'node_modules/.package-lock.json'), 'utf8'),
    ).packages;
    return Object.entries(wanted).every(
      ([path, entry]) =>
        path === '' || entry.optional || entry.peer || installed[path]?.version === entry.version,
    );
  } catch {
    return false;
  }
}

function npm(args) {
  const quiet = ['--no-audit', '--no-fund', '--no-update-notifier', '--loglevel=error'];
  return (
    spawnSync('npm', [...args, ...quiet], { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] }).status === 0
  );
}

function installModules() {
  const node = join(root, 'node_modules/node/bin/node');
  if (!hasModules()) {
    process.stderr.write('installing node modules: npm ci\n');
    if (!npm(['ci'])) fail('Cannot install the node modules: `npm ci` failed');
  }
  // Where npm runs no install scripts (ignore-scripts=true), the package is there without its binary.
  if (!existsSync(node) && !npm(['rebuild', 'node', '--ignore-scripts=false'])) {
    fail('Cannot install Node 26: the install script of the npm package `node` failed');
  }
  // The binary is linked against a library that slim Debian images lack.
  const started = spawnSync(node, ['--version'], { encoding: 'utf8' });
  if (/libatomic/.test(started.stderr ?? '')) installPackages(['libatomic1']);
  else if (started.status !== 0) fail(`Cannot start "${node}": ${started.stderr || started.error?.message}`);
}

const purpose = process.argv[2] ?? '';
if (!(purpose in PURPOSES)) {
  process.stderr.write(`Usage: node scripts/prepare.mjs ${Object.keys(PURPOSES).join('|')}\n`);
  process.exit(2);
}
installModules();
installPrograms(PURPOSES[purpose]);
