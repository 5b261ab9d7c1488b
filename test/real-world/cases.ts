import { cpSync, readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { LoadedCase, RealWorldCase } from './types.ts';

const CASES = join(import.meta.dirname, 'cases');

/** The cases named, all of them where none is; `quick` keeps those that `npm test` runs. */
export function loadCases(options: { names?: readonly string[]; quick?: boolean } = {}): LoadedCase[] {
  const all = readdirSync(CASES).sort();
  const { names = [], quick = false } = options;
  const unknown = names.filter((name) => !all.includes(name));
  if (unknown.length > 0) throw new Error(`No case ${unknown.join(', ')}; there are ${all.join(', ')}`);
  return all
    .filter((name) => names.length === 0 || names.includes(name))
    .map((name) => {
      const dir = join(CASES, name);
      const options = JSON.parse(readFileSync(join(dir, 'case.json'), 'utf8')) as RealWorldCase;
      return { ...options, name, dir };
    })
    .filter((one) => !quick || one.quick === true);
}

/** Copies the project of a case; `COPY . .` must not see what the test expects. */
export function copyContext(one: LoadedCase, target: string): void {
  cpSync(one.dir, target, {
    recursive: true,
    verbatimSymlinks: true,
    filter: (source) => basename(source) !== 'case.json',
  });
}
