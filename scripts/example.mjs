#!/usr/bin/env node
// Builds an example and the bases it stands on with bin/ocibuild, after making what the contexts need.
// Usage: node scripts/example.mjs NAME [ocibuild flags…]
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, linkSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';

const root = resolve(import.meta.dirname, '..');
const examples = join(root, 'examples');
const cache = join(root, 'node_modules/.cache/ocibuild-examples');
const SUITE = 'bookworm';
const MIRROR = 'http://deb.debian.org/debian';

const hostNetwork = ['--network', 'host'];

/** `on` is built first; `make` fills the context; `flags` are those its README names. */
const EXAMPLES = {
  busybox: { make: copyBusybox },
  debian: { make: bootstrapDebian },
  hello: { on: 'busybox' },
  'node-app': { on: 'debian', make: lendCertificates, flags: hostNetwork },
  'java-http': { on: 'debian', flags: hostNetwork },
};

function fail(message) {
  process.stderr.write(`${message}\n`);
  process.exit(3);
}

function copyBusybox() {
  const path = [...(process.env.PATH ?? '').split(delimiter), '/bin']
    .map((folder) => join(folder, 'busybox'))
    .find(existsSync);
  if (path === undefined) fail('Cannot find busybox: install the package busybox-static');
  // A dynamic binary names its loader in the first page, and would find none in an empty image.
  if (/\/ld-(linux|musl)/.test(readFileSync(path).subarray(0, 4096).toString('latin1'))) {
    fail(`Cannot use "${path}": it is linked dynamically, install the package busybox-static`);
  }
  const target = join(examples, 'busybox/busybox');
  if (existsSync(target) && readFileSync(target).equals(readFileSync(path))) return;
  rmSync(target, { force: true });
  copyFileSync(path, target);
}

function bootstrapDebian() {
  const tar = join(cache, `debian-${SUITE}.tar`);
  if (!existsSync(tar)) {
    mkdirSync(cache, { recursive: true });
    process.stderr.write(`making ${tar} with mmdebstrap\n`);
    const temp = join(cache, `.${process.pid}.tar`);
    const { status, stderr } = spawnSync(
      'mmdebstrap',
      ['--quiet', '--variant=minbase', SUITE, temp, MIRROR],
      {
        stdio: ['ignore', 'inherit', 'pipe'],
        encoding: 'utf8',
      },
    );
    if (status !== 0) {
      rmSync(temp, { force: true });
      fail(`Cannot bootstrap Debian: ${stderr?.trim() || 'mmdebstrap is missing'}`);
    }
    renameSync(temp, tar);
  }
  const target = join(examples, 'debian/rootfs.tar');
  rmSync(target, { force: true });
  try {
    linkSync(tar, target);
  } catch {
    copyFileSync(tar, target);
  }
}

/** Networks with certificates of their own say so in NODE_EXTRA_CA_CERTS. */
function lendCertificates() {
  const file = process.env.NODE_EXTRA_CA_CERTS;
  const target = join(examples, 'node-app/certs/ca.crt');
  rmSync(target, { force: true });
  if (file && existsSync(file)) copyFileSync(file, target);
}

function buildExample(name, extra) {
  const { on, make, flags } = EXAMPLES[name];
  if (on !== undefined) buildExample(on, []);
  make?.();
  const args = ['build', '-t', `${name}:local`, ...(flags ?? []), ...extra, join('examples', name)];
  process.stderr.write(`$ bin/ocibuild ${args.join(' ')}\n`);
  const { status } = spawnSync(join(root, 'bin/ocibuild'), args, { cwd: root, stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
}

const [name = '', ...extra] = process.argv.slice(2);
if (!Object.hasOwn(EXAMPLES, name)) {
  process.stderr.write(`Usage: npm run example -- ${Object.keys(EXAMPLES).join('|')} [ocibuild flags]\n`);
  process.exit(2);
}
if (!existsSync(join(root, 'dist/cli.js'))) {
  const { status } = spawnSync(process.execPath, [join(root, 'scripts/build.mjs'), '--no-types'], {
    stdio: 'inherit',
  });
  if (status !== 0) process.exit(1);
}
buildExample(name, extra);
