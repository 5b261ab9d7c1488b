import { copyFileSync, linkSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

/** What git rewrites in place, and what a killed git left locked. */
const LEFT_OUT = /^FETCH_HEAD$|\.lock$|^tmp_/;

/** Makes a repository of the same content: files of objects never change, so they are shared as hard links; the rest is
 * copied. */
export function linkRepository(from: string, to: string): void {
  copy(from, to, false);
}

function copy(from: string, to: string, shared: boolean): void {
  mkdirSync(to, { mode: 0o700 });
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    if (LEFT_OUT.test(entry.name)) continue;
    const [source, target] = [join(from, entry.name), join(to, entry.name)];
    if (entry.isDirectory()) copy(source, target, shared || entry.name === 'objects');
    else if (shared && entry.name !== 'alternates') linkSync(source, target);
    else copyFileSync(source, target);
  }
}
