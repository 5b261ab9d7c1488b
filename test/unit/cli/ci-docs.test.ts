import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { readBuildRequest } from '../../../src/cli/build/build-options.ts';
import { COMMANDS, type CommandName, findCommand } from '../../../src/cli/commands.ts';
import { GLOBAL_FLAGS } from '../../../src/cli/flags/global-flags.ts';
import { parseArgs } from '../../../src/cli/flags/parse-args.ts';

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

describe('examples/ci', () => {
  const file = (name: string): string =>
    readFileSync(resolve(import.meta.dirname, '../../../examples/ci', name), 'utf8');
  interface Action {
    readonly inputs: Readonly<Record<string, { readonly description: string; readonly default: string }>>;
    readonly outputs: Readonly<Record<string, unknown>>;
    readonly runs: {
      readonly steps: readonly { readonly id?: string; readonly run?: string; readonly env?: object }[];
    };
  }
  const action = parse(file('github-action/action.yml')) as Action;
  const build = action.runs.steps.find(({ id }) => id === 'build');

  /** Runs the script of the build step with an ocibuild that notes how it was called. */
  function callOf(inputs: Readonly<Record<string, string>>): { argv: string[]; output: string } {
    const dir = mkdtempSync(join(tmpdir(), 'ocibuild-action-'));
    try {
      const tool = '#!/bin/sh\nprintf "%s\\n" "$@" >"$RUNNER_TEMP/argv"\n';
      writeFileSync(join(dir, 'ocibuild'), tool, { mode: 0o755 });
      writeFileSync(join(dir, 'ocibuild.json'), '{"containerimage.digest":"sha256:1"}');
      const value = (text: string): string =>
        text.replace(
          /\$\{\{ inputs\.([\w-]+) \}\}/g,
          (_, name: string) => inputs[name] ?? action.inputs[name]?.default ?? '?',
        );
      const env = Object.fromEntries(
        Object.entries(build?.env ?? {}).map(([name, text]) => [name, value(String(text))]),
      );
      const { status, stderr } = spawnSync(
        'bash',
        ['--noprofile', '--norc', '-e', '-o', 'pipefail', '-c', build?.run ?? 'exit 1'],
        {
          env: {
            PATH: `${dir}:${process.env.PATH}`,
            RUNNER_TEMP: dir,
            GITHUB_OUTPUT: join(dir, 'output'),
            ...env,
          },
          encoding: 'utf8',
        },
      );
      expect([status, stderr]).toEqual([0, '']);
      return {
        argv: readFileSync(join(dir, 'argv'), 'utf8').trimEnd().split('\n'),
        output: readFileSync(join(dir, 'output'), 'utf8'),
      };
    } finally {
      rmSync(dir, { recursive: true });
    }
  }

  it('has an action whose inputs become flags that ocibuild understands', () => {
    const least = callOf({});
    expect([check(least.argv), least.argv.at(-1)]).toEqual(['build', '.']);
    expect(least.output).toContain('digest=sha256:1\n');
    const { argv } = callOf({
      ...{ context: './app dir', tags: 'a:1\na:2\n', 'build-args': 'A=x y\nB=$(id)', push: 'true' },
      ...{
        platforms: 'linux/amd64,linux/arm64',
        'cache-to': 'type=registry,ref=r.example/c',
        args: '--locked',
      },
    });
    expect(check(argv)).toBe('build');
    expect(argv.slice(4)).toEqual([
      ...['--tag', 'a:1', '--tag', 'a:2', '--platform', 'linux/amd64,linux/arm64'],
      ...['--build-arg', 'A=x y', '--build-arg', 'B=$(id)', '--cache-to', 'type=registry,ref=r.example/c'],
      ...['--push', '--locked', './app dir'],
    ]);
    const docker = callOf({
      ...{ tags: 'a:1, a:2', labels: 'x=1,2 \n', 'secret-envs': 'T=TOKEN', 'secret-files': 'f=./f' },
      ...{ secrets: 'key=va=l ue\nid=npm,src=.npmrc', load: 'true', pull: 'true' },
      ...{ outputs: 'type=oci,dest=a.tar', provenance: 'mode=max', sbom: 'true', 'no-cache-filters': 'a,b' },
      ...{ ssh: 'k=./key', annotations: 'b=2', 'build-contexts': 'c=./d' },
    }).argv;
    expect(check(docker)).toBe('build');
    expect(docker.slice(4)).toEqual([
      ...[
        '--tag',
        'a:1',
        '--tag',
        'a:2',
        '--build-context',
        'c=./d',
        '--label',
        'x=1,2',
        '--annotation',
        'b=2',
      ],
      ...['--ssh', 'k=./key', '--output', 'type=oci,dest=a.tar', '--no-cache-filter', 'a,b'],
      ...['--secret', 'id=key,env=OCIBUILD_SECRET_1', '--secret', 'id=npm,src=.npmrc'],
      ...['--secret', 'id=T,env=TOKEN', '--secret', 'id=f,src=./f'],
      ...['--load', '--pull', '--provenance=mode=max', '--sbom=true', '.'],
    ]);
  });

  it('has an action that uses each input as a variable, never in a script', () => {
    const used = new Set(
      [...file('github-action/action.yml').matchAll(/inputs\.([\w-]+)/g)].map(([, name]) => name),
    );
    expect([...used].toSorted()).toEqual(Object.keys(action.inputs).toSorted());
    for (const { run = '' } of action.runs.steps) expect(run).not.toContain('${{');
    expect(
      action.runs.steps.flatMap(({ run = '' }) => callsIn(run.replace('"${args[@]}" ', ''))).map(check),
    ).toEqual(['doctor', 'login', 'build']);
  });

  it('has a workflow that gives the action inputs that it has', () => {
    const workflow = parse(file('github-workflow.yml')) as {
      jobs: { image: { steps: { uses?: string; with?: object }[] } };
    };
    const step = workflow.jobs.image.steps.find(({ uses }) => uses === './.github/actions/ocibuild');
    expect(Object.keys(action.inputs)).toEqual(
      expect.arrayContaining(Object.keys(step?.with ?? { missing: 1 })),
    );
  });

  it('has a template with calls that ocibuild understands', () => {
    const template = parse(file('gitlab-template.yml')) as Record<string, unknown>;
    expect(Object.keys(template)).toEqual(['.ocibuild']);
    const text = { ...template, OCIBUILD_ARGS: '' };
    expect(callsOf(JSON.parse(JSON.stringify(text).replaceAll('$OCIBUILD_ARGS ', ''))).map(check)).toEqual([
      ...['doctor', 'login', 'build'],
    ]);
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
