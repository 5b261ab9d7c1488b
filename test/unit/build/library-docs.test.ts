import { existsSync, readFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { BuildOptions } from '../../../src/build/options.ts';
import * as ocibuild from '../../../src/index.ts';
import { tempDir } from './fixture.ts';

const ROOT = resolve(import.meta.dirname, '../../..');

interface Example {
  readonly title: string;
  readonly code: string;
}

/** Blocks marked `ts`, named by the heading above them. */
function blocksOf(file: string): Example[] {
  const text = readFileSync(join(ROOT, file), 'utf8');
  return [...text.matchAll(/^```ts\n(.*?)^```$/gms)].map(({ 1: code = '', index }) => ({
    title: `${file}, ${text
      .slice(0, index)
      .match(/^#+ .*$/gm)
      ?.at(-1)}`,
    code,
  }));
}

/** The lines after `@example` of doc comments. */
function examplesOf(file: string): Example[] {
  const text = readFileSync(join(ROOT, file), 'utf8');
  return [...text.matchAll(/@example\n((?: \* (?!@).*\n)+)/g)].map(({ 1: code = '' }) => ({
    title: `${file}, @example`,
    code: `import { build } from 'ocibuild';\n${code.replaceAll(/^ \* /gm, '')}`,
  }));
}

/** Runs an example as a program of its own would: in a context, with its own store, its output recorded. */
async function runExample({ code }: Example) {
  const cwd = tempDir({ Dockerfile: 'FROM scratch\nCOPY app.txt /\n', 'app.txt': 'hello' });
  const root = join(tempDir(), 'store');
  const printed: unknown[][] = [];
  const log = (...values: unknown[]): void => void printed.push(values);
  const build = (options: BuildOptions): ocibuild.Build => ocibuild.build({ cwd, root, ...options });
  const lock = (options: ocibuild.LockOptions) => ocibuild.lock({ cwd, root, ...options });
  const check = (options: ocibuild.CheckOptions) => ocibuild.check({ cwd, root, ...options });
  const outline = (options: BuildOptions) => ocibuild.outline({ cwd, root, ...options });
  const targets = (options: BuildOptions) => ocibuild.targets({ cwd, root, ...options });
  const watch = (options: BuildOptions) => ocibuild.watch({ cwd, root, ...options });
  const copy = (options: ocibuild.CopyOptions) => ocibuild.copy({ cwd, root, ...options });
  const diskUsage = (options: ocibuild.DiskUsageOptions) => ocibuild.diskUsage({ root, ...options });
  const prune = (options: ocibuild.PruneOptions) => ocibuild.prune({ root, ...options });
  const names: string[] = [];
  const body = stripTypeScriptTypes(code).replace(
    /import \{([^}]*)\} from 'ocibuild';/g,
    (_, list: string) => {
      names.push(
        ...list
          .split(',')
          .map((name) => name.trim())
          .filter((name) => name !== ''),
      );
      return '';
    },
  );
  for (const name of names) expect(Object.keys(ocibuild)).toContain(name);
  const own = { build, lock, check, outline, targets, watch, copy, diskUsage, prune };
  const args = { ...ocibuild, ...own, console: { log, warn: log, error: log } };
  const run = new Function(...Object.keys(args), `return (async () => {${body}\n})()`) as (
    ...values: unknown[]
  ) => Promise<void>;
  await run(...Object.values(args));
  return { cwd, root, printed, names };
}

const documented = blocksOf('docs/library.md');

describe('docs/library.md', () => {
  it('has an example under every heading that tells how to do something', () => {
    const titles = documented.map(({ title }) => title.replace(/.*# /, ''));
    expect(new Set(titles)).toEqual(
      new Set([
        ...[
          'The library',
          'Options',
          'Events',
          'Checking',
          'Locking',
          'Watching',
          'Moving images',
          'Disk space',
        ],
        ...['Stopping', 'Errors'],
      ]),
    );
  });

  it.each(documented.map((example, i) => [`${example.title} (${i + 1})`, example] as const))(
    'runs as printed: %s',
    async (_, example) => {
      const { cwd, root, printed, names } = await runExample(example);
      expect(names).toContain('build');
      const text = printed.map((values) => values.map(String).join(' ')).join('\n');
      for (const [, comment = ''] of example.code.matchAll(/^\s*console\.log\(.*\); \/\/ (\S.*)$/gm)) {
        const told = comment.startsWith('last lines') ? '' : comment.replace(/^undefined: .*/, 'undefined');
        expect(text).toContain(told);
      }
      for (const [, dest = ''] of example.code.matchAll(/dest: '([^']+)'/g))
        expect(existsSync(join(cwd, dest))).toBe(true);
      if (!example.code.includes("'local'") && !/cancel|missing/.test(example.code))
        expect(text + readFileSync(join(root, 'index.json'), 'utf8')).toMatch(/sha256:|true/);
    },
  );

  it('names every option and every kind of event that it has a table for', () => {
    const text = readFileSync(join(ROOT, 'docs/library.md'), 'utf8');
    const types = readFileSync(join(ROOT, 'src/solver/types.ts'), 'utf8');
    const kinds = types.matchAll(/readonly kind: '(\w+)';/g);
    const named = new Set([...kinds].map(([, kind]) => kind));
    expect(named.size).toBeGreaterThanOrEqual(8);
    for (const kind of named) expect(text).toContain(`\`${kind}\``);
    const options = readFileSync(join(ROOT, 'src/build/options.ts'), 'utf8');
    for (const [, name] of text.matchAll(/`(\w+)`(?=[^|\n]*\|[^|\n]*\|[^|\n]*\|$)/gm)) {
      expect(`${options} ${types}`).toMatch(new RegExp(`\\b${name}\\b`));
    }
  });
});

describe('examples beside the code', () => {
  const examples = examplesOf('src/build/build.ts');
  it('are there', () => {
    expect(examples.length).toBeGreaterThan(0);
  });
  it.each(examples.map((example) => [example.title, example] as const))('run: %s', async (_, example) => {
    const { printed } = await runExample(example);
    expect(String(printed.at(-1))).toMatch(/^sha256:/);
  });
});

describe.each(['docs/lock.md', 'README.md'])('%s', (file) => {
  it.each(blocksOf(file).map((example) => [example.title, example] as const))('runs: %s', async (_, one) => {
    const { root } = await runExample(one);
    expect(readFileSync(join(root, 'index.json'), 'utf8')).toContain('app:v1');
  });
});
