import { accessSync, constants, statSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';

/** Searched after PATH: the PATH of a normal user often lacks the sbin folders where Debian puts runc. */
export const SYSTEM_FOLDERS: readonly string[] = [
  '/usr/local/sbin',
  '/usr/local/bin',
  '/usr/sbin',
  '/usr/bin',
  '/sbin',
  '/bin',
];

/** The path of a program: of the first executable file of that name in `searchPath`, which has the form of PATH, or in
 * the folders of the system. A name with a slash is a path already. */
export function findProgram(name: string, searchPath: string): string | undefined {
  if (name.includes('/')) return [name].find(isExecutable);
  const folders = [...searchPath.split(':').filter(isAbsolute), ...SYSTEM_FOLDERS];
  return folders.map((folder) => join(folder, name)).find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
