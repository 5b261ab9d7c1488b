import { createHash } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { join, resolve } from 'node:path';
import { mustRun, OCIBUILD } from './builders.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const CACHE = join(ROOT, 'node_modules/.cache/ocibuild-examples');
const DEBIAN = 'debian:bookworm-slim';

export type Bases = {
  /** A layout directory and the tag in it, made when it is asked for the first time. */
  layout(name: string): Promise<string>;
};

/**
 * Images for the names in FROM, built from `bases/NAME`: a slim Debian out of what `examples/debian` bootstraps, the others
 * on top of that. Packages take minutes to install, so the layouts stay in the cache directory of the examples until their
 * Dockerfile or Debian changes.
 * @param store where they are built
 */
export function createBases(store: string): Bases {
  const made = new Map<string, Promise<string>>();
  mkdirSync(CACHE, { recursive: true });
  const layout = (name: string): Promise<string> => {
    const ready = made.get(name) ?? makeBase(name);
    made.set(name, ready);
    return ready;
  };
  const makeBase = async (name: string): Promise<string> => {
    const context = join(import.meta.dirname, 'bases', name);
    const certificates = process.env.NODE_EXTRA_CA_CERTS;
    const below = name === 'debian' ? await bootstrap() : await layout('debian');
    const key = [below, readFileSync(join(context, 'Dockerfile')), readIfThere(certificates)];
    return keep(name, key, async (dest, temp) => {
      const certs = join(temp, 'certs');
      mkdirSync(certs);
      if (certificates && existsSync(certificates)) copyFileSync(certificates, join(certs, 'own.crt'));
      const args = ['build', '--root', store, '--network', 'host', '--build-context', `certs=${certs}`];
      if (name !== 'debian') args.push('--build-context', `${DEBIAN}=oci-layout://${below}`);
      else args.push('--build-context', `debian:local=oci-layout://${await exampleDebian(temp)}`);
      await mustRun(OCIBUILD, [...args, '-o', `type=oci,tar=false,name=it,dest=${dest}`, context]);
    });
  };
  return { layout };
}

/** Has the tarball made where it is missing; gives words that name its version. */
async function bootstrap(): Promise<string> {
  const tar = join(CACHE, 'debian-bookworm.tar');
  if (!existsSync(tar)) {
    const temp = mkdtempSync(join(CACHE, '.base-'));
    await exampleDebian(temp).finally(() => rmSync(temp, { recursive: true }));
  }
  const { size, mtimeMs } = statSync(tar);
  return `${size} ${mtimeMs}`;
}

/** Builds `debian:local` into a layout below `temp`, with the script that bootstraps it. */
async function exampleDebian(temp: string): Promise<string> {
  const layout = join(temp, 'example');
  const args = ['scripts/example.mjs', 'debian', '-o', `type=oci,tar=false,name=it,dest=${layout}`];
  await mustRun(process.execPath, args, { env: { OCIBUILD_ROOT: join(temp, 'store') } });
  return `${layout}:latest`;
}

/** Gives `PATH:TAG` of the layout with this key, which `make` fills first where it is missing. */
async function keep(
  name: string,
  key: readonly (string | Buffer)[],
  make: (dest: string, temp: string) => Promise<void>,
): Promise<string> {
  const hash = createHash('sha256');
  for (const part of key) hash.update(part).update('\0');
  const dest = join(CACHE, `base-${name}-${hash.digest('hex').slice(0, 12)}`);
  if (!existsSync(dest)) {
    const temp = mkdtempSync(join(CACHE, '.base-'));
    try {
      await make(join(temp, 'layout'), temp);
      // Another run may have made the same in the meantime.
      if (!existsSync(dest)) renameSync(join(temp, 'layout'), dest);
    } finally {
      rmSync(temp, { recursive: true, force: true });
    }
  }
  return `${dest}:latest`;
}

function readIfThere(path: string | undefined): Buffer {
  return path && existsSync(path) ? readFileSync(path) : Buffer.alloc(0);
}
