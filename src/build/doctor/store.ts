import { accessSync, closeSync, constants, existsSync, openSync, readSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import { SCHEMA_VERSION } from '../../cache/database.ts';
import { readText } from '../../util/read-text.ts';
import { existingParent } from './scratch.ts';
import type { Finding, Machine } from './types.ts';

const GIB = 1024 ** 3;
const LITTLE_SPACE = 5 * GIB;
/** Upper directories of an overlay cannot lie there. @see Documentation/filesystems/overlayfs.rst */
const REFUSED_TYPES = [
  'overlay',
  'nfs',
  'nfs4',
  'vfat',
  'exfat',
  'fuse.sshfs',
  '9p',
  'drvfs',
  'proc',
  'sysfs',
  'squashfs',
];

/** The store as it is; one that is not there yet is not made. */
export function probeStore(machine: Machine): Finding[] {
  const { root } = machine;
  const parent = existingParent(root);
  const isThere = parent === root;
  try {
    accessSync(parent, constants.W_OK | constants.X_OK);
  } catch {
    const message = `"${root}" ${isThere ? 'cannot be written to' : 'cannot be made'} by this user`;
    return [{ id: 'store', status: 'fail', message, fix: 'export OCIBUILD_ROOT=DIR' }];
  }
  const type = fileSystemType(parent, readText('/proc/self/mountinfo') ?? '');
  const { bavail, bsize } = statfsSync(parent);
  const free = bavail * bsize;
  const about = `"${root}"${isThere ? '' : ' (not made yet)'} on ${type}, ${(free / GIB).toFixed(1)} GiB free`;
  const place: Finding = REFUSED_TYPES.includes(type)
    ? {
        id: 'store',
        status: 'fail',
        message: `${about}: RUN steps cannot be stacked on ${type}`,
        fix: 'put it on ext4, xfs, btrfs or tmpfs, in a container on a volume: export OCIBUILD_ROOT=DIR',
      }
    : free < LITTLE_SPACE
      ? {
          id: 'store',
          status: 'warn',
          message: `${about}: builds may fill it`,
          fix: 'ocibuild prune, or a larger place: export OCIBUILD_ROOT=DIR',
        }
      : { id: 'store', status: 'ok', message: about };
  return [place, ...probeSchema(join(root, 'cache.db'))];
}

function probeSchema(file: string): Finding[] {
  if (!existsSync(file)) return [];
  const version = databaseVersion(file);
  if (version === undefined) {
    const message = `"${file}" cannot be read: the next build moves it aside and runs every step anew`;
    return [{ id: 'schema', status: 'warn', message }];
  }
  if (version <= SCHEMA_VERSION)
    return [{ id: 'schema', status: 'ok', message: `version ${version} of cache.db` }];
  const message = `"${file}" has version ${version}, this ocibuild knows ${SCHEMA_VERSION}`;
  return [{ id: 'schema', status: 'fail', message, fix: 'npm install --global ocibuild@latest' }];
}

/** Type of the file system that a path is on. @see proc_pid_mountinfo(5) */
export function fileSystemType(path: string, mountinfo: string): string {
  const mounts = mountinfo.split('\n').flatMap((line) => {
    const [left = '', right = ''] = line.split(' - ');
    const target = left
      .split(' ')[4]
      ?.replace(/\\(\d{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
    return target === undefined ? [] : [{ target, type: right.split(' ')[0] ?? '' }];
  });
  const above = mounts.filter(
    ({ target }) => target === '/' || path === target || path.startsWith(`${target}/`),
  );
  // Of mounts on one directory the last is seen.
  const longest = Math.max(...above.map(({ target }) => target.length));
  return above.findLast(({ target }) => target.length === longest)?.type ?? 'an unknown file system';
}

/** `user_version` from the file's header: opening the database would write beside it. Undefined for another file.
 * @see sqlite.org/fileformat2.html, "The Database Header" */
function databaseVersion(file: string): number | undefined {
  const header = Buffer.alloc(100);
  const fd = openSync(file, 'r');
  try {
    readSync(fd, header, 0, header.length, 0);
  } finally {
    closeSync(fd);
  }
  return header.toString('latin1', 0, 16) === 'SQLite format 3\0' ? header.readUInt32BE(60) : undefined;
}
