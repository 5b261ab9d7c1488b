import { randomBytes } from 'node:crypto';
import { accessSync, chownSync, constants, realpathSync, type Stats, statSync, writeFileSync } from 'node:fs';
import { dirname, resolve, sep } from 'node:path';
import { exportError, targetError } from '../../exporter/export-error.ts';
import { writeFileAtomic } from '../../util/atomic-fs.ts';
import type { NormalOptions } from '../normalise.ts';
import type { Output } from '../options.ts';

/**
 * Refuses places that cannot be written to, before the build that would end there. What only the write itself can tell (a
 * full disk, a directory that is removed meanwhile) is told then.
 * @throws EXPORT_TARGET_INVALID, EXPORT_FAILED
 */
export function checkWritable({
  outputs,
  cacheTo = [],
  cwd,
}: Pick<NormalOptions, 'outputs' | 'cacheTo' | 'cwd'>): void {
  const made: string[] = [];
  for (const output of outputs) {
    if (!('dest' in output) || output.dest === undefined || output.dest === '-') continue;
    if (isDirectoryOutput(output)) {
      checkDirectory(output.dest);
      made.push(output.dest);
    } else checkFile(output.dest, made);
  }
  for (const cache of cacheTo) {
    if (cache.type === 'local' && cache.ignoreError !== true) checkDirectory(resolve(cwd, cache.dest));
  }
}

/** Directories that a build makes, so that other files can go into them. */
export function madeDirectories(outputs: readonly Output[], cwd: string): string[] {
  return outputs.flatMap((output) =>
    isDirectoryOutput(output) && 'dest' in output ? resolve(cwd, output.dest ?? '') : [],
  );
}

/** @param made directories that will be there when the file is written */
export function checkFile(path: string, made: readonly string[]): void {
  const found = lookAt(path, path);
  if (found?.isDirectory()) throw targetError(path, 'it is a directory, expected a file');
  const parent = dirname(path);
  const above = lookAt(parent, path);
  if (above?.isDirectory() === false) throw targetError(path, `"${parent}" is no directory`);
  if (found !== undefined && !found.isFile()) {
    mayWrite(path, path);
  } else if (above !== undefined) {
    mayWrite(parent, path);
  } else if (!made.some((dir) => `${parent}${sep}`.startsWith(`${dir}${sep}`))) {
    throw targetError(path, 'its directory does not exist');
  }
}

/** A directory that is there or can be made. @throws EXPORT_TARGET_INVALID, EXPORT_FAILED */
export function checkDirectory(path: string): void {
  for (let at = path; ; at = dirname(at)) {
    const found = lookAt(at, path);
    if (found === undefined) continue;
    if (!found.isDirectory()) {
      throw targetError(path, at === path ? 'a file of that name is in the way' : `"${at}" is no directory`);
    }
    mayWrite(at, path);
    return;
  }
}

function isDirectoryOutput(output: Output): boolean {
  return output.type === 'local' || (output.type === 'oci' && output.tar === false);
}

function lookAt(path: string, dest: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch (error) {
    throw exportError(error, dest);
  }
}

function mayWrite(path: string, dest: string): void {
  try {
    accessSync(path, constants.W_OK);
  } catch (error) {
    throw exportError(error, dest);
  }
}

/**
 * Writes a small file: old or new, never half, through a symlink, with the mode and owner of the one before; pipes and
 * devices are written to as they are.
 * @throws DISK_FULL, EXPORT_*
 */
export function writeWhole(path: string, text: string): void {
  try {
    const found = statSync(path, { throwIfNoEntry: false });
    if (found?.isFile() === false) {
      writeFileSync(path, text);
      return;
    }
    const file = found === undefined ? path : realpathSync(path);
    const temp = `${file}.${randomBytes(6).toString('hex')}`;
    const mode = found === undefined ? 0o666 & ~process.umask() : found.mode & 0o7777;
    writeFileAtomic(file, text, { temp, mode });
    if (found !== undefined && process.getuid?.() === 0) chownSync(file, found.uid, found.gid);
  } catch (error) {
    throw exportError(error, path);
  }
}
