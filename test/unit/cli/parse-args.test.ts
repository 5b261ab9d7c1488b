import { describe, expect, it } from 'vitest';
import { COMMANDS, findCommand } from '../../../src/cli/commands.ts';
import { BUILD_FLAGS } from '../../../src/cli/flags/build-flags.ts';
import { parseAttributes, parseCsv } from '../../../src/cli/flags/csv.ts';
import { GLOBAL_FLAGS } from '../../../src/cli/flags/global-flags.ts';
import { parseArgs } from '../../../src/cli/flags/parse-args.ts';
import { helpText } from '../../../src/cli/help/help.ts';

const TABLE = [...BUILD_FLAGS, ...GLOBAL_FLAGS];
const parse = (...args: string[]): Record<string, unknown> => {
  const { flags, positional } = parseArgs(args, TABLE);
  return { ...Object.fromEntries(flags), _: positional };
};

describe('parseArgs()', () => {
  it.each<[string, string[], Record<string, unknown>]>([
    ['long with a space', ['--target', 'x', '.'], { target: 'x', _: ['.'] }],
    ['long with an equals sign', ['--target=x=y', '.'], { target: 'x=y', _: ['.'] }],
    ['short forms', ['-ta', '-t', 'b', '-t=c'], { tag: ['a', 'b', 'c'], _: [] }],
    ['joined short forms', ['-qt', 'x', '.'], { quiet: true, tag: ['x'], _: ['.'] }],
    ['bools with values', ['--no-cache=false', '-q=1'], { 'no-cache': false, quiet: true, _: [] }],
    ['an optional value', ['--pull', '.'], { pull: 'always', _: ['.'] }],
    ['an optional value with =', ['--pull=never'], { pull: 'never', _: [] }],
    [
      'attributes as the next argument',
      ['--provenance', 'mode=max', '.'],
      { provenance: 'mode=max', _: ['.'] },
    ],
    ['false as the next argument', ['--sbom', 'false', './a=b'], { sbom: 'false', _: ['./a=b'] }],
    [
      'a context as the next argument',
      ['--sbom', 'https://x/y?a=b'],
      { sbom: 'true', _: ['https://x/y?a=b'] },
    ],
    ['flags after the context', ['.', '-q'], { quiet: true, _: ['.'] }],
    ['the end of flags', ['-q', '--', '-t'], { quiet: true, _: ['-t'] }],
    ['a dash as a value and an argument', ['-f', '-', '-'], { file: '-', _: ['-'] }],
    ['the last of single values', ['--target', 'a', '--target', 'b'], { target: 'b', _: [] }],
    ['empty values', ['--target=', '--iidfile', ''], { target: '', iidfile: '', _: [] }],
  ])('parseArgs() reads %s when given', (_what, args, expected) => {
    expect(parse(...args)).toEqual(expected);
  });

  it.each<[string[], string, RegExp]>([
    [['--tga', 'x'], 'USAGE_FLAG_UNKNOWN', /"--tga"/],
    [['-z'], 'USAGE_FLAG_UNKNOWN', /"-z"/],
    [['--target'], 'USAGE_INVALID', /without a value/],
    [['-qt'], 'USAGE_INVALID', /-t without a value/],
    [['--no-cache=maybe'], 'USAGE_INVALID', /expected true or false/],
  ])('parseArgs() refuses when arguments are %j', (args, code, message) => {
    expect(() => parse(...args)).toThrow(
      expect.objectContaining({ code, message: expect.stringMatching(message) }),
    );
  });

  it('parseArgs() suggests the flag that was meant when one is near', () => {
    expect(() => parse('--buildarg', 'x')).toThrow(
      expect.objectContaining({ hint: 'did you mean "--build-arg"?' }),
    );
  });

  it.each(BUILD_FLAGS.filter((flag) => flag.refused !== undefined).map((flag) => [flag.name, flag] as const))(
    'parseArgs() refuses --%s by name when it asks for something',
    (name, flag) => {
      const asks = flag.kind === 'bool' ? `--${name}=${!flag.accepts?.includes('true')}` : `--${name}=x`;
      expect(() => parse(asks)).toThrow(
        expect.objectContaining({
          code: 'USAGE_UNSUPPORTED',
          message: `Cannot use --${name}: ${flag.refused}`,
        }),
      );
      for (const value of flag.accepts ?? []) expect(() => parse(`--${name}=${value}`)).not.toThrow();
    },
  );
});

describe('BUILD_FLAGS', () => {
  // As `docker buildx build --help` of 0.30 lists them, with its hidden ones.
  const BUILDX =
    'add-host allow annotation attest build-arg build-context builder cache-from cache-to call cgroup-parent check debug file iidfile label load metadata-file network no-cache no-cache-filter output platform progress provenance pull push quiet sbom secret shm-size ssh tag target ulimit compress isolation security-opt squash memory memory-swap cpu-shares cpu-period cpu-quota cpuset-cpus cpuset-mems rm force-rm print';

  it('BUILD_FLAGS knows every flag of buildx when compared', () => {
    const known = new Set(TABLE.map((flag) => flag.name));
    expect(BUILDX.split(' ').filter((name) => !known.has(name))).toEqual([]);
  });

  it('BUILD_FLAGS has no name or letter twice when counted', () => {
    const keys = TABLE.flatMap(({ name, short }) => [name, ...(short === undefined ? [] : [`-${short}`])]);
    expect(keys.filter((key, at) => keys.indexOf(key) !== at)).toEqual([]);
  });
});

describe('findCommand()', () => {
  it.each<[string[], string, string[]]>([
    [['build', '-t', 'x', '.'], 'build', ['-t', 'x', '.']],
    [['-t', 'images', '.'], 'build', ['-t', 'images', '.']],
    [['.'], 'build', ['.']],
    [['--root', '/x', 'images', '-q'], 'images', ['--root', '/x', '-q']],
    [['--root=/x', '--debug', 'inspect', 'a'], 'inspect', ['--root=/x', '--debug', 'a']],
    [['buildx', 'build', '.'], 'build', ['.']],
    [['image', 'build', '.'], 'build', ['.']],
    [['prune'], 'prune', []],
    [['./images'], 'build', ['./images']],
  ])('findCommand() finds the command when arguments are %j', (argv, name, args) => {
    expect(findCommand(argv)).toMatchObject({ name, args });
  });
});

describe('parseCsv()', () => {
  it('parseCsv() keeps commas when they are quoted', () => {
    expect(parseCsv('a,"b,c","d ""e""",')).toEqual(['a', 'b,c', 'd "e"', '']);
    expect(parseCsv('')).toEqual(['']);
  });

  it('parseCsv() refuses quotes that do not match', () => {
    expect(() => parseCsv('a,"b')).toThrow(/quotes do not match/);
  });

  it('parseAttributes() splits at the first equals sign and refuses a key twice', () => {
    expect([...parseAttributes('Type=oci,dest=a=b,tar')]).toEqual([
      ['type', 'oci'],
      ['dest', 'a=b'],
      ['tar', ''],
    ]);
    expect(() => parseAttributes('a=1,A=2')).toThrow(/stands twice/);
  });
});

describe('helpText()', () => {
  it.each([undefined, ...(Object.keys(COMMANDS) as (keyof typeof COMMANDS)[])])(
    'helpText() fits a screen and has an example when asked for %s',
    (name) => {
      const lines = helpText(name).split('\n');
      expect(lines.length).toBeLessThanOrEqual(50);
      const widths = [...lines, ...helpText(name, true).split('\n')].map((line) => line.length);
      expect(Math.max(...widths)).toBeLessThanOrEqual(80);
      if (name === undefined || name === 'build') expect(lines.join()).toMatch(/Examples?:/);
    },
  );

  it('helpText() shows every flag that works when asked for build', () => {
    for (const { name, help } of BUILD_FLAGS) {
      if (help !== undefined) expect(helpText('build')).toContain(`--${name}`);
    }
  });
});
