import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, it, onTestFinished } from 'vitest';
import { placeOfKey } from '../../../src/build/config/config-error.ts';
import { findConfig } from '../../../src/build/config/find-config.ts';
import { loadConfig } from '../../../src/build/config/load-config.ts';
import type { BuildDefaults, OcibuildConfig } from '../../../src/build/config/types.ts';
import { checkConfig } from '../../../src/cli/config/config.ts';
import { commandBuild, commandBuilds, configuredRequest } from '../../../src/cli/config/config-builds.ts';
import { configSchema } from '../../../src/cli/config/config-schema.ts';
import { CONFIG_FLAGS, configKey } from '../../../src/cli/config/config-values.ts';
import { BUILD_FLAGS, LOCK_FLAGS } from '../../../src/cli/flags/build-flags.ts';
import { GLOBAL_FLAGS } from '../../../src/cli/flags/global-flags.ts';
import { parseArgs } from '../../../src/cli/flags/parse-args.ts';

const TRACE = { readMs: 0, files: [], env: {}, isWhole: true };

function check(value: unknown, text = JSON.stringify(value)) {
  return checkConfig({ raw: { path: '/project/ocibuild.config.json', text, value }, trace: TRACE });
}

/** The options of the builds that a command line and a config file ask for. */
function requests(config: OcibuildConfig, argv: readonly string[], env: Record<string, string> = {}) {
  const context = { config: check(config), env };
  return commandBuilds(parseArgs(argv, [...BUILD_FLAGS, ...GLOBAL_FLAGS]), context).map(({ args }) =>
    configuredRequest(args, context),
  );
}

/** Every key of the type, so that the compiler holds it against the table below. */
const KEYS: Readonly<Record<keyof BuildDefaults, true>> = {
  ...{ tags: true, file: true, buildArgs: true, target: true, labels: true, annotations: true },
  ...{ platforms: true, buildContexts: true, addHosts: true, network: true, ulimits: true, secrets: true },
  ...{ ssh: true, allow: true, shmSize: true, cacheFrom: true, cacheTo: true, noCache: true },
  ...{ noCacheFilter: true, pull: true, outputs: true, push: true, load: true, progress: true, quiet: true },
  ...{ iidfile: true, metadataFile: true, provenance: true, sbom: true, attest: true, jobs: true },
  ...{ locked: true, explain: true, check: true, fix: true, call: true, watch: true, debugShell: true },
  ...{ exportOnFailure: true },
};

const EXAMPLE: OcibuildConfig = {
  root: 'store',
  gc: { maxUsedSpace: '20gb', keepDuration: '8w4d' },
  defaults: {
    pull: 'newer',
    labels: { team: 'web', level: 1 },
    secrets: { npmrc: '.npmrc', token: { env: 'T' } },
  },
  builds: {
    base: { buildArgs: { A: 'base', B: 'base' }, cacheFrom: { type: 'local', src: 'cache' } },
    api: {
      context: 'api',
      extends: 'base',
      tags: ['api:v1', 'api:latest'],
      buildArgs: { A: 'api' },
      outputs: [{ type: 'store' }, { type: 'oci', dest: 'out/a,b.tar', compression: 'zstd' }],
      ssh: { default: ['key'] },
    },
    git: { context: 'https://git.example/team/app.git', file: 'deploy/Dockerfile' },
  },
};

describe('config file', () => {
  it('has a key for every flag that is shown, and a schema of the same keys', () => {
    expect(CONFIG_FLAGS.map(configKey).toSorted()).toEqual(Object.keys(KEYS).toSorted());
    const validate = new Ajv2020({ allowUnionTypes: true }).compile(configSchema());
    expect(validate(EXAMPLE)).toBe(true);
    for (const wrong of [{ builds: { a: { tagz: 'x' } } }, { defaults: { push: 'yes' } }, { root: 1 }]) {
      expect(validate(wrong)).toBe(false);
    }
  });

  it('commandBuilds() takes a build with what it extends and the defaults, paths relative to the file', () => {
    const [api] = requests(EXAMPLE, ['@api']);
    expect(api?.options).toMatchObject({
      context: '/project/api',
      tags: ['api:v1', 'api:latest'],
      buildArgs: { A: 'api', B: 'base' },
      labels: { team: 'web', level: '1' },
      pull: 'newer',
      secrets: {
        npmrc: { type: 'file', path: '/project/.npmrc' },
        token: { type: 'env', name: 'T' },
      },
      ssh: { default: { type: 'keys', files: ['/project/key'] } },
      cacheFrom: [{ type: 'local', src: '/project/cache' }],
      outputs: [{ type: 'store' }, { type: 'oci', dest: '/project/out/a,b.tar', compression: 'zstd' }],
      gc: { maxUsedSpace: 20 * 1024 ** 3, keepDurationMs: 60 * 86_400_000 },
    });
  });

  it('commandBuilds() lets flags win over the file: lists are replaced, maps are merged by key', () => {
    const [api] = requests(EXAMPLE, [
      '-t',
      'x',
      '--build-arg',
      'B=cli',
      '-o',
      'dir',
      '--pull=never',
      '@api',
      '.',
    ]);
    expect(api?.options).toMatchObject({
      context: '.',
      tags: ['x'],
      buildArgs: { A: 'api', B: 'cli' },
      outputs: [{ type: 'local', dest: 'dir' }],
      pull: 'never',
    });
    const [plain] = requests({ defaults: { noCacheFilter: 'a', push: true } }, [
      '--no-cache',
      '-o',
      'dir',
      '.',
    ]);
    expect(plain?.options).toMatchObject({ noCache: true, noCacheFilter: [], outputs: [{ type: 'local' }] });
  });

  it('commandBuilds() lets variables win over the file', () => {
    const config: OcibuildConfig = {
      defaults: { progress: 'plain', platforms: 'linux/arm64' },
      gc: { interval: '1h' },
    };
    const [own] = requests(config, ['.']);
    expect([own?.progress, own?.options.platform, own?.options.gc]).toEqual([
      'plain',
      'linux/arm64',
      { intervalMs: 3_600_000 },
    ]);
    const env = {
      BUILDKIT_PROGRESS: 'quiet',
      DOCKER_DEFAULT_PLATFORM: 'linux/amd64',
      OCIBUILD_GC_INTERVAL: '2h',
    };
    const [other] = requests(config, ['.'], env);
    expect([other?.progress, other?.options.platform, other?.options.gc]).toEqual(['quiet', undefined, {}]);
  });

  it('commandBuilds() gives several builds, and keeps contexts that are URLs', () => {
    const both = requests(EXAMPLE, ['@git', '@api', '@git']);
    expect(both.map(({ options }) => options.context)).toEqual([
      'https://git.example/team/app.git',
      '/project/api',
    ]);
    expect(both[0]?.options.dockerfile).toBe('/project/deploy/Dockerfile');
  });

  it.each([
    [['@apo'], /has no build of that name/, 'did you mean "api"?'],
    [['@api', '@git', '.'], /each has a context of its own/, undefined],
  ])('commandBuilds() refuses %j', (argv, message, hint) => {
    expect(() => requests(EXAMPLE, argv)).toThrow(
      expect.objectContaining({ message: expect.stringMatching(message), hint }),
    );
  });

  it('configuredRequest() names the file when a flag refuses a value that stands in it', () => {
    const config = { defaults: { jobs: 'x' } } as unknown as OcibuildConfig;
    expect(() => requests(config, ['.'])).toThrow(/Cannot use --jobs "x": expected a .*, in "/);
    expect(() => requests(config, ['.', '--jobs=y'])).toThrow(/expected a whole number above 0$/);
  });

  it('commandBuilds() says that there is no config file when a build is named without one', () => {
    const parsed = parseArgs(['@api'], BUILD_FLAGS);
    expect(() => commandBuilds(parsed, { env: {} })).toThrow(/there is no config file here/);
  });

  it('commandBuild() gives another command the flags that it has', () => {
    const context = {
      config: check({ defaults: { platforms: 'linux/arm64', explain: true, check: true } }),
      env: {},
    };
    const own = LOCK_FLAGS.filter(({ name }) => name !== 'check');
    const { flags } = commandBuild(parseArgs(['.'], LOCK_FLAGS), own, context);
    expect(Object.fromEntries(flags)).toEqual({ platform: ['linux/arm64'], explain: true });
  });

  it.each<[unknown, RegExp, string | undefined]>([
    [
      { builds: { a: { dockerfile: 'x' } } },
      /there is no key "dockerfile" in "builds.a"/,
      'did you mean "file"?',
    ],
    [{ bulds: {} }, /there is no key "bulds"/, 'did you mean "builds"?'],
    [{ defaults: { tags: [1, null] } }, /"defaults.tags": expected a text, not null/, undefined],
    [
      { defaults: { push: 'yes' } },
      /"defaults.push": expected true or false, not the string "yes"/,
      undefined,
    ],
    [{ defaults: { network: 'bridge' } }, /expected default, none, host, not "bridge"/, undefined],
    [{ builds: { a: { extends: 'b' } } }, /there is no build "b" to extend/, undefined],
    [{ builds: { a: { extends: 'b' }, b: { extends: 'a' } } }, /a → b → a/, undefined],
    [{ builds: { 'a/b': {} } }, /"a\/b" is no name of a build/, undefined],
    [{ gc: { maxUsedSpace: 'lots' } }, /expected a size such as "20gb", not "lots"/, undefined],
    [{ gc: { keepDuration: 'ever' } }, /expected a time/, undefined],
    [[], /it is no object/, undefined],
  ])('checkConfig() refuses %j', (value, message, hint) => {
    expect(() => check(value)).toThrow(
      expect.objectContaining({ code: 'CONFIG_INVALID', message: expect.stringMatching(message), hint }),
    );
  });

  it('checkConfig() names the line of a key', () => {
    const text = '{\n  "builds": {\n    "api": { "tags": [] },\n    "web": { "tagz": [] }\n  }\n}\n';
    expect(() => check(JSON.parse(text), text)).toThrow(
      expect.objectContaining({
        source: expect.objectContaining({
          ranges: [expect.objectContaining({ start: { line: 4, column: 14 } })],
        }),
      }),
    );
    expect(placeOfKey('export default {\n  defaults: { target: 1 } }', ['defaults', 'target'])).toEqual({
      line: 2,
      column: 15,
    });
  });
});

describe('loadConfig()', () => {
  it.each([
    ['{"defaults": {\n  "tags": ["a",]\n}}', 'Unexpected token', { line: 2, column: 16 }],
    ['{"a": x, "something that is long": 1}', 'Unexpected token', { line: 1, column: 7 }],
    ['{"a": 1', 'Expected', { line: 1, column: 8 }],
  ])('loadConfig() shows where JSON is at fault when it is %j', async (text, message, start) => {
    const dir = mkdtempSync(join(tmpdir(), 'ocibuild-unit-'));
    onTestFinished(() => rmSync(dir, { recursive: true }));
    writeFileSync(join(dir, 'ocibuild.config.json'), text);
    await expect(loadConfig(dir, {}, undefined)).rejects.toMatchObject({
      ...{ code: 'CONFIG_INVALID', message: expect.stringContaining(message) },
      source: { ranges: [{ start }] },
    });
  });

  it.each(['ocibuild.config.ts', 'ocibuild.config.js', 'ocibuild.config.mjs'])(
    'loadConfig() refuses %s when it exports nothing',
    async (name) => {
      const dir = mkdtempSync(join(tmpdir(), 'ocibuild-unit-'));
      onTestFinished(() => rmSync(dir, { recursive: true }));
      writeFileSync(join(dir, name), 'const config = { defaults: {} };\n');
      await expect(loadConfig(dir, {}, undefined)).rejects.toMatchObject({
        ...{ code: 'CONFIG_INVALID', message: expect.stringContaining('it has no default export') },
      });
    },
  );
});

describe('findConfig()', () => {
  function tree(files: readonly string[]): string {
    const dir = mkdtempSync(join(tmpdir(), 'ocibuild-config-'));
    onTestFinished(() => rmSync(dir, { recursive: true }));
    for (const file of files) {
      mkdirSync(join(dir, file, '..'), { recursive: true });
      if (file.endsWith('/')) mkdirSync(join(dir, file), { recursive: true });
      else writeFileSync(join(dir, file), file.endsWith('package.json') ? '{ "ocibuild": {} }' : '');
    }
    return dir;
  }

  it('findConfig() takes the nearest file, up to the root of the repository', () => {
    const dir = tree([
      'ocibuild.config.json',
      'repo/.git/',
      'repo/package.json',
      'repo/a/b/',
      'repo/c/ocibuild.config.ts',
    ]);
    const found = (at: string): string | undefined =>
      findConfig(join(dir, at), {}, undefined).path?.slice(dir.length);
    expect(['repo/a/b', 'repo/c', 'repo'].map(found)).toEqual([
      '/repo/package.json',
      '/repo/c/ocibuild.config.ts',
      '/repo/package.json',
    ]);
  });

  it('findConfig() looks at no directory above where there is neither a repository nor a home', () => {
    const dir = tree(['ocibuild.config.json', 'a/']);
    expect(findConfig(join(dir, 'a'), {}, undefined).path).toBeUndefined();
    expect(findConfig(join(dir, 'a'), { HOME: dir }, undefined).path).toBe(join(dir, 'ocibuild.config.json'));
  });

  it('findConfig() takes a broken package.json that seems to be meant for us, and no other', () => {
    const dir = mkdtempSync(join(tmpdir(), 'ocibuild-config-'));
    onTestFinished(() => rmSync(dir, { recursive: true }));
    const path = join(dir, 'package.json');
    writeFileSync(path, '{ "name": ');
    expect(findConfig(dir, {}, undefined).path).toBeUndefined();
    writeFileSync(path, '{ "ocibuild": { ');
    expect(findConfig(dir, {}, undefined).path).toBe(path);
  });

  it('findConfig() finds nothing where it cannot look', () => {
    const outside = join(tmpdir(), 'x'.repeat(300));
    expect(findConfig(outside, {}, undefined)).toEqual({ looked: [] });
    expect(() => findConfig('/', {}, outside)).toThrow(/^Cannot use the config file/);
  });

  it('findConfig() refuses two files in one directory, and a file that is named and missing', () => {
    const dir = tree(['ocibuild.config.json', 'ocibuild.config.ts']);
    expect(() => findConfig(dir, {}, undefined)).toThrow(/Cannot choose between/);
    expect(() => findConfig(dir, {}, 'missing.ts')).toThrow(
      expect.objectContaining({ code: 'CONFIG_NOT_FOUND' }),
    );
    expect(findConfig(dir, {}, 'none')).toEqual({ looked: [] });
    expect(findConfig(dir, {}, 'ocibuild.config.ts').path).toBe(join(dir, 'ocibuild.config.ts'));
  });
});
