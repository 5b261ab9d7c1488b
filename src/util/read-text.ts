import { readFileSync } from 'node:fs';

/** The text of a small file, such as those of /proc; undefined where it cannot be read. */
export function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
