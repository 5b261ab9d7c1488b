import { describe, expect, it } from 'vitest';
import { convertDockerfile } from '../../../../src/frontend/convert/convert.ts';
import { checkDockerfile } from '../../../../src/frontend/describe.ts';
import type { LintWarning } from '../../../../src/frontend/types.ts';
import { anyImage, covered, fixed, lint } from './support.ts';

/** Dockerfile → rule, text that its range covers. */
const RANGES: readonly [text: string, rule: string, at: string][] = [
  ['FROM a AS \\\n  Big\n', 'StageNameCasing', 'Big'],
  ['FROM --platform=$BUILDPLATFORM a as b\n', 'FromAsCasing', 'as'],
  ['FROM a\nRUN b\n  env c=d\n', 'ConsistentInstructionCasing', 'env'],
  ['FROM a\nENV A=1 \\\n\n  KEY=2 SECRET=3\n', 'SecretsUsedInArgOrEnv', 'KEY'],
  ['FROM a\nLABEL a=1 \\\n  b=${NOPE}\n', 'UndefinedVar', '${NOPE'],
  ['FROM a\nCOPY <<E /f\nx\n$NOPE\nE\n', 'UndefinedVar', '$NOPE'],
  ['FROM a\nEXPOSE 80 \\\n 81/TCP\n', 'ExposeProtoCasing', '81/TCP'],
  ['FROM a\nENV  a  b c\n', 'LegacyKeyValueFormat', 'a  b c'],
  ['FROM --platform=linux/arm64 a\n', 'FromPlatformFlagConstDisallowed', '--platform=linux/arm64'],
  ['FROM a:$X\n', 'InvalidDefaultArgInFrom', 'a:$X'],
  ['FROM a\nWORKDIR  x/y\n', 'WorkdirRelativePath', 'x/y'],
  ['FROM a AS b\nFROM a AS b\n', 'DuplicateStageName', 'b'],
  ['FROM a\nCMD ["x"]\nCMD ["y"]\n', 'MultipleInstructionsDisallowed', 'CMD ["x"]'],
];

describe('checkDockerfile()', () => {
  it.each(RANGES)('gives the exact range when %j is checked', async (text, rule, at) => {
    const found = (await lint(text)).find((warning) => warning.rule === rule);
    expect(found && covered(text, found)).toBe(at);
  });

  it('gives the same columns when lines end with carriage returns or a byte order mark is in front', async () => {
    const text = '\uFEFFFROM a as b\r\nENV c d\r\n';
    const found = await lint(text);
    expect(found.map((warning) => covered(text, warning))).toEqual(['as', 'c d']);
    expect(await fixed(text)).toBe('\uFEFFFROM a AS b\r\nENV c=d\r\n');
  });

  it('looks at all stages, and only at those that a target needs when there is one', async () => {
    const text = 'FROM a AS x\nWORKDIR r\nFROM a AS y\nENV k v\n';
    const rules = async (target?: string) =>
      (await lint(text, target === undefined ? {} : { target })).map(({ rule }) => rule);
    expect(await rules()).toEqual(['WorkdirRelativePath', 'LegacyKeyValueFormat']);
    expect(await rules('x')).toEqual(['WorkdirRelativePath']);
  });

  it('knows the variables of a base image, and keeps silent about them when it is not found', async () => {
    const text = 'FROM a\nLABEL path=$PATH other=$OTHER\n';
    expect((await lint(text)).map(({ message }) => message)).toEqual([
      "Usage of undefined variable '$OTHER'",
    ]);
    const { OcibuildError } = await import('../../../../src/errors/error.ts');
    const resolver = {
      resolve: () => Promise.reject(new OcibuildError('IMAGE_NOT_FOUND', 'Cannot find it')),
    };
    const { warnings, error } = await checkDockerfile(anyImage(`${text}ENV a b\n`, { resolver }));
    expect(warnings.map(({ rule }) => rule)).toEqual(['LegacyKeyValueFormat']);
    expect(error).toMatchObject({ code: 'IMAGE_NOT_FOUND', source: { ranges: [{ start: { line: 1 } }] } });
  });

  it('tells what it found before and behind an instruction that cannot be read', async () => {
    const { warnings, error } = await checkDockerfile(anyImage('FROM a as b\nRUNN x\nMAINTAINER me\n'));
    expect(warnings.map(({ rule }) => rule)).toEqual(['FromAsCasing', 'MaintainerDeprecated']);
    expect(error?.code).toBe('DOCKERFILE_INSTRUCTION_UNKNOWN');
  });

  it('needs no entitlement for a step that it does not run', async () => {
    expect(await checkDockerfile(anyImage('FROM a\nRUN --security=insecure b\n'))).toEqual({ warnings: [] });
  });
});

describe('# check=', () => {
  const faulty = 'FROM a as b\nENV c d\n';
  const rules = async (head: string, buildArgs: Record<string, string> = {}) =>
    (await lint(head + faulty, { buildArgs })).map(({ rule }) => rule);

  it('silences rules by name, or all', async () => {
    expect(await rules('')).toEqual(['FromAsCasing', 'LegacyKeyValueFormat']);
    expect(await rules('# check=skip=FromAsCasing,Other\n')).toEqual(['LegacyKeyValueFormat']);
    expect(await rules('# check=skip=all\n')).toEqual([]);
    expect(await rules('# check=skip=all\n', { BUILDKIT_DOCKERFILE_CHECK: 'skip=Other' })).toHaveLength(2);
  });

  it('silences a rule for the one instruction below the comment', async () => {
    const text = 'FROM a\n# check=skip=LegacyKeyValueFormat\nENV b c\nENV d e\n# check=skip=all\n\nENV f g\n';
    expect((await lint(text)).map(({ range }) => range.start.line)).toEqual([4]);
  });

  it.each(['foo=bar', 'error=maybe', 'skip'])('refuses "%s"', async (value) => {
    const { error } = await checkDockerfile(anyImage(`# check=${value}\nFROM a\n`));
    expect(error).toMatchObject({
      code: 'DOCKERFILE_DIRECTIVE_INVALID',
      source: { ranges: [{ start: { line: 1 } }] },
    });
  });

  it('makes findings a failure with error=true, and only findings', async () => {
    const strict = (text: string, more = '') =>
      convertDockerfile(anyImage(`# check=error=true${more}\n${text}`));
    await expect(strict(faulty)).rejects.toMatchObject({
      code: 'CHECK_FAILED',
      message: expect.stringContaining('FromAsCasing, LegacyKeyValueFormat'),
    });
    await expect(strict(faulty, ';skip=all')).resolves.toMatchObject({ warnings: [] });
    await expect(strict('FROM a\n')).resolves.toMatchObject({ warnings: [] });
  });
});

describe('convertDockerfile()', () => {
  it('gives findings with the result, and before it fails', async () => {
    const before: LintWarning[] = [];
    const onFailedWarnings = (warnings: readonly LintWarning[]) => void before.push(...warnings);
    const text = 'FROM a\nENV c d\n';
    const { warnings } = await convertDockerfile(anyImage(text, { onFailedWarnings }));
    expect([warnings.map(({ rule }) => rule), before]).toEqual([['LegacyKeyValueFormat'], []]);
    const failing = convertDockerfile(anyImage(`${text}COPY --chmod=wat x /\n`, { onFailedWarnings }));
    await expect(failing).rejects.toMatchObject({ code: 'DOCKERFILE_FLAG_INVALID' });
    expect(before.map(({ rule }) => rule)).toEqual(['LegacyKeyValueFormat']);
  });

  it('does not mind a wrong ignore file that nothing needs', async () => {
    const ignoreFile = { name: '.dockerignore', text: '[a\n' };
    await expect(convertDockerfile(anyImage('FROM a\n', { ignoreFile }))).resolves.toBeDefined();
    const copy = convertDockerfile(anyImage('FROM a\nCOPY b /\n', { ignoreFile }));
    await expect(copy).rejects.toMatchObject({ code: 'DOCKERIGNORE_INVALID' });
  });

  it('asks no rule when lint is off', async () => {
    expect((await convertDockerfile(anyImage('FROM a\nENV c d\n', { lint: 'off' }))).warnings).toEqual([]);
  });
});
