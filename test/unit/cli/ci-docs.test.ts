import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { readBuildRequest } from '../../../src/cli/build-options.ts';
import { COMMANDS, type CommandName, findCommand } from '../../../src/cli/commands.ts';
import { GLOBAL_FLAGS } from '../../../src/cli/flags.ts';
import { parseArgs } from '../../../src/cli/parse-args.ts';

const DOCS = resolve(import.meta.dirname, '../../../docs');

function blocks(file: string, language: string): string[] {
  const text = readFileSync(join(DOCS, file), 'utf8');
  return [...text.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\`$`, 'gms'))].map(
    ([, code = '']) => code,
  );
}

/** Variables as a job may have them, where they decide how a word is read. */
const VARIABLES: Readonly<Record<string, string>> = {
  CACHE: 'type=registry,ref=registry.example/app/cache:topic',
  MAIN_CACHE: 'type=registry,ref=registry.example/app/cache:main',
  IMAGE: 'ghcr.io/team/app',
};

/** The words of each call of ocibuild in a shell script. */
function callsIn(script: string): string[][] {
  const lines = script.replaceAll(/\\\n\s*/g, ' ').split('\n');
  return lines.flatMap((line) => {
    const [, call] = /(?:^|[|&;"] ?)\s*(ocibuild (?!--version).*)$/.exec(line.replace(/^\s*#.*/, '')) ?? [];
    if (call === undefined) return [];
    const words = call.match(/(?:"[^"]*"|[^\s"])+/g) ?? [];
    return [
      words
        .slice(1)
        .map((word) =>
          word
            .replaceAll('"', '')
            .replace(/\$(\w+)/g, (_, name: string) => VARIABLES[name] ?? name.toLowerCase()),
        ),
    ];
  });
}

/** All texts of a document; the arguments of a container are one call. */
function callsOf(value: unknown): string[][] {
  if (typeof value === 'string') return callsIn(value);
  if (typeof value !== 'object' || value === null) return [];
  const { args, ...rest } = value as { args?: unknown };
  return [...(Array.isArray(args) ? [args as string[]] : []), ...Object.values(rest).flatMap(callsOf)];
}

/** Throws where the call would end in an error of usage. */
function check(argv: readonly string[]): string {
  const { name, args } = findCommand(argv);
  const command = COMMANDS[name as CommandName];
  const parsed = parseArgs(args, [...command.flags, ...GLOBAL_FLAGS]);
  if (name === 'build') readBuildRequest(parsed, {});
  return name;
}

describe('docs/ci.md', () => {
  it('has files that are YAML, and calls that ocibuild understands', () => {
    const files = blocks('ci.md', 'yaml').map((text) => parse(text) as unknown);
    expect(files).toHaveLength(5);
    const calls = files.map((file) => callsOf(file).map(check));
    expect(calls).toEqual([['login', 'build', 'build'], ['build'], ['build'], ['login', 'build'], ['build']]);
  });

  it('has a builder that a Job finds by its name', () => {
    const job = parse(blocks('ci.md', 'yaml').at(-1) ?? '') as {
      spec: {
        template: {
          spec: { containers: { volumeMounts: { name: string }[] }[]; volumes: { name: string }[] };
        };
      };
    };
    const { containers, volumes } = job.spec.template.spec;
    expect(containers[0]?.volumeMounts.map(({ name }) => name)).toEqual(volumes.map(({ name }) => name));
    expect(blocks('ci.md', 'dockerfile')[0]).toContain('ENTRYPOINT ["ocibuild"]');
  });
});

describe('docs/cache-services.md', () => {
  it('has calls that ocibuild understands, and every attribute', () => {
    expect(blocks('cache-services.md', 'sh').flatMap(callsIn).map(check)).toEqual(['build']);
    const text = readFileSync(join(DOCS, 'cache-services.md'), 'utf8');
    const [s3 = '', gha = ''] = text.split('## type=').slice(1);
    const attributes = (section: string): string[] =>
      [...section.matchAll(/^\| (`[^|]*`) \|/gm)].flatMap(([, names = '']) =>
        names.replaceAll('`', '').split(', '),
      );
    for (const [type, section] of [
      ['s3', s3],
      ['gha', gha],
    ] as const) {
      const values = {
        touch_refresh: '1h',
        timeout: '1h',
        upload_parallelism: '1',
        retry_max_attempts: '1',
        version: '2',
        use_path_style: 'true',
      };
      const given = attributes(section).map(
        (name) => `${name}=${(values as Record<string, string>)[name] ?? 'x'}`,
      );
      expect(given.length).toBeGreaterThan(5);
      expect(check(['build', '--cache-to', [`type=${type}`, ...given].join(','), '.'])).toBe('build');
    }
  });
});
