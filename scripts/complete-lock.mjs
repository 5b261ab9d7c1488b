// Completes package-lock.json after `npm install` against a registry mirror that carries only some platforms.
// npm leaves optional platform packages out of the lock when it cannot fetch their metadata, and `npm ci`
// then refuses the lock everywhere. Version, os, cpu and libc follow from the parent's exact range and the name.
import { readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';

const OS = [
  'aix',
  'android',
  'darwin',
  'freebsd',
  'linux',
  'netbsd',
  'openbsd',
  'openharmony',
  'sunos',
  'win32',
];
const CPU = {
  arm64: 'arm64',
  arm: 'arm',
  x64: 'x64',
  ia32: 'ia32',
  ppc64: 'ppc64',
  riscv64: 'riscv64',
  s390x: 's390x',
};
const LIBC = { gnu: 'glibc', glibc: 'glibc', gnueabihf: 'glibc', musl: 'musl', musleabihf: 'musl' };

const path = resolve(import.meta.dirname, '..', 'package-lock.json');
const lock = JSON.parse(readFileSync(path, 'utf8'));
const packages = lock.packages;
const added = [];

for (const [location, parent] of Object.entries(packages)) {
  for (const [name, version] of Object.entries(parent.optionalDependencies ?? {})) {
    const known = packages[`${location}/node_modules/${name}`] ?? packages[`node_modules/${name}`];
    const words = name.split(/[/-]/).flatMap((word) => (word === 'eabi' ? [] : [word]));
    const os = words.find((word) => OS.includes(word));
    const cpu = words.find((word) => word in CPU);
    if (known || !os || !cpu || !/^\d/.test(version)) continue;
    const libc = words.map((word) => LIBC[word]).find((word) => word !== undefined);
    packages[`node_modules/${name}`] = {
      version,
      cpu: [CPU[cpu]],
      ...(parent.dev ? { dev: true } : {}),
      ...(libc && os === 'linux' ? { libc: [libc] } : {}),
      license: parent.license,
      optional: true,
      os: [os],
    };
    added.push(name);
  }
}

const root = packages[''];
delete packages[''];
lock.packages = {
  '': root,
  ...Object.fromEntries(Object.entries(packages).sort(([a], [b]) => a.localeCompare(b, 'en'))),
};
if (added.length > 0) writeFileSync(path, `${JSON.stringify(lock, null, 2)}\n`);
process.stdout.write(
  added.length > 0 ? `package-lock.json: added ${added.join(', ')}\n` : 'package-lock.json is complete\n',
);
