import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { check, outline, targets } from '../../../src/build/describe.ts';
import { readCall } from '../../../src/cli/build/call-flag.ts';
import { checkJson, outlineJson, targetsJson } from '../../../src/cli/build/call-json.ts';
import { checkText, outlineText, targetsText } from '../../../src/cli/build/call-text.ts';
import { sarifOf } from '../../../src/cli/build/sarif.ts';
import { isOcibuildError } from '../../../src/errors/error.ts';
import { tempDir } from '../build/fixture.ts';

const GOLDEN = resolve(import.meta.dirname, '../../golden/call');
const golden = (name: string) => readFileSync(join(GOLDEN, name), 'utf8');
const ask = { context: GOLDEN, env: {}, root: '/does/not/exist/store' };

describe('readCall()', () => {
  const call = (text?: string, check = false, fix = false) => readCall({ call: text, check, fix });
  const usual = { format: 'text', ignoreStatus: false, fix: false };

  it('knows what is asked for by any of its names', () => {
    expect(call()).toBeUndefined();
    expect(call('build')).toBeUndefined();
    expect(call(undefined, true)).toEqual({ ...usual, name: 'check' });
    expect(call('frontend.lint', true, true)).toEqual({ ...usual, name: 'check', fix: true });
    expect(call('outline,format=json')).toEqual({ ...usual, name: 'outline', format: 'json' });
    expect(call('check,format=sarif,ignorestatus')).toMatchObject({ format: 'sarif', ignoreStatus: true });
    expect(call('check,ignorestatus=false')).toMatchObject({ ignoreStatus: false });
  });

  it.each<[string | undefined, boolean, boolean, RegExp]>([
    ['chek', false, false, /--call "chek": expected build, check/],
    ['outline', true, false, /--check together with --call outline/],
    [undefined, false, true, /--fix without --check/],
    ['targets,format=sarif', false, false, /targets as SARIF/],
    ['check,format=xml', false, false, /format "xml": expected text, json, sarif/],
    ['check,colour=red', false, false, /"colour=red" in --call/],
    ['check,ignorestatus=perhaps', false, false, /ignorestatus=perhaps/],
  ])('refuses %j with check %j and fix %j', (text, isCheck, fix, message) => {
    expect(() => call(text, isCheck, fix)).toThrow(message);
  });
});

describe('checkText(), outlineText(), targetsText()', () => {
  it('checkText() has the layout of buildx', async () => {
    const text = checkText(await check(ask)).replaceAll(/docs\/lint\/\w+\.md/g, 'URL');
    // Blanks at the ends of lines are no layout.
    const trimmed = (lines: string) => lines.replaceAll(/ +$/gm, '').trimEnd();
    expect(trimmed(text)).toBe(trimmed(golden('check.txt')));
  });

  it('checkText() says so when nothing is found', async () => {
    const context = tempDir({ Dockerfile: 'FROM scratch\n' });
    expect(checkText(await check({ ...ask, context }))).toBe('Check complete, no warnings found.\n');
  });

  it('outlineText() and targetsText() have the layout of buildx', async () => {
    expect(outlineText(await outline(ask)).trimEnd()).toBe(golden('outline.txt').trimEnd());
    expect(targetsText((await targets(ask)).targets).trimEnd()).toBe(golden('targets.txt').trimEnd());
  });
});

describe('checkJson(), outlineJson(), targetsJson()', () => {
  it('checkJson() has the shape of BuildKit, with our ranges and fixes beside it', async () => {
    const json = checkJson(await check(ask)) as { warnings: Record<string, unknown>[] };
    expect(json.warnings.find(({ ruleName }) => ruleName === 'LegacyKeyValueFormat')).toEqual({
      ruleName: 'LegacyKeyValueFormat',
      description: expect.any(String),
      url: 'docs/lint/LegacyKeyValueFormat.md',
      detail: '"ENV key=value" should be used instead of legacy "ENV key value" format',
      location: { sourceIndex: 0, ranges: [{ start: { line: 8 }, end: { line: 8 } }] },
      range: { start: { line: 8, column: 5 }, end: { line: 8, column: 19 } },
      fix: [{ range: expect.anything(), text: 'NAME="some name"' }],
    });
    expect(json).toMatchObject({
      sources: [
        {
          filename: 'Dockerfile',
          language: 'Dockerfile',
          data: Buffer.from(golden('Dockerfile')).toString('base64'),
        },
      ],
    });
    expect(json).not.toHaveProperty('buildError');
  });

  it('checkJson() tells the fault that a build would end with', async () => {
    const context = tempDir({ Dockerfile: 'FROM scratch\nCOPY --chmod=x a b\n' });
    expect(checkJson(await check({ ...ask, context }))).toMatchObject({
      warnings: [],
      buildError: {
        code: 'DOCKERFILE_FLAG_INVALID',
        location: { ranges: [{ start: { line: 2 }, end: { line: 2 } }] },
      },
    });
  });

  it('outlineJson() and targetsJson() leave out what is not there', async () => {
    const context = tempDir({ Dockerfile: 'FROM scratch\nARG A\nRUN --mount=type=cache,target=/c x\n' });
    const line = (n: number) => ({ sourceIndex: 0, ranges: [{ start: { line: n }, end: { line: n } }] });
    expect(outlineJson(await outline({ ...ask, context }))).toEqual({
      args: [{ name: 'A', location: line(2) }],
      cache: [{ ID: '/c', location: line(3) }],
      sources: [expect.any(String)],
    });
    const found = await targets({ ...ask, context });
    expect(targetsJson(found.targets, found.dockerfile)).toEqual({
      targets: [{ base: 'scratch', default: true, location: line(1) }],
      sources: [expect.any(String)],
    });
  });
});

/** What SARIF 2.1.0 asks of the objects that we write. @see §3.13, §3.14, §3.27, §3.30, §3.55 */
function checkSarif(log: unknown): void {
  const region = {
    startLine: expect.any(Number),
    startColumn: expect.any(Number),
    endLine: expect.any(Number),
    endColumn: expect.any(Number),
  };
  const location = { physicalLocation: { artifactLocation: { uri: expect.any(String) }, region } };
  const { version, runs } = log as { version: string; runs: Record<string, never>[] };
  expect(version).toBe('2.1.0');
  expect(runs).toHaveLength(1);
  const [{ tool, results, invocations, columnKind }] = runs as unknown as [
    {
      tool: { driver: { name: string; rules: { id: string }[] } };
      results: { ruleId: string; ruleIndex: number; level: string; fixes?: unknown[] }[];
      invocations: { executionSuccessful: boolean }[];
      columnKind: string;
    },
  ];
  expect(tool.driver.name).toBe('ocibuild');
  expect(columnKind).toBe('utf16CodeUnits');
  expect(typeof invocations[0]?.executionSuccessful).toBe('boolean');
  for (const result of results) {
    expect(result).toMatchObject({
      level: 'warning',
      message: { text: expect.stringMatching(/./) },
      locations: [location],
    });
    expect(tool.driver.rules[result.ruleIndex]?.id).toBe(result.ruleId);
    for (const fix of result.fixes ?? []) {
      expect(fix).toMatchObject({
        description: { text: expect.any(String) },
        artifactChanges: [{ artifactLocation: { uri: expect.any(String) } }],
      });
      const [change] = (fix as { artifactChanges: { replacements: unknown[] }[] }).artifactChanges;
      expect(change?.replacements.length).toBeGreaterThan(0);
      for (const each of change?.replacements ?? []) {
        expect(each).toEqual({ deletedRegion: region, insertedContent: { text: expect.any(String) } });
      }
    }
  }
}

describe('sarifOf()', () => {
  it('gives results, rules and fixes that refer to one another', async () => {
    const log = sarifOf(await check(ask), '1.2.3');
    checkSarif(log);
    const [run] = log.runs as [{ results: { ruleId: string; fixes?: unknown }[] }];
    expect(run.results.map(({ ruleId }) => ruleId)).toContain('UndefinedVar');
    expect(run.results.find(({ ruleId }) => ruleId === 'UndefinedVar')).not.toHaveProperty('fixes');
    expect(run.results.find(({ ruleId }) => ruleId === 'MaintainerDeprecated')).toHaveProperty('fixes');
  });

  it('tells a fault of the file as a notification of the run', async () => {
    const context = tempDir({ 'a b.Dockerfile': 'FROM scratch\nRUNN x\n' });
    const log = sarifOf(await check({ ...ask, context, dockerfile: join(context, 'a b.Dockerfile') }), '1');
    checkSarif(log);
    expect(log).toMatchObject({
      runs: [
        {
          results: [],
          invocations: [
            {
              executionSuccessful: false,
              toolExecutionNotifications: [
                {
                  descriptor: { id: 'DOCKERFILE_INSTRUCTION_UNKNOWN' },
                  level: 'error',
                  locations: [{ physicalLocation: { artifactLocation: { uri: 'a%20b.Dockerfile' } } }],
                },
              ],
            },
          ],
        },
      ],
    });
  });
});

describe('check()', () => {
  it('rejects what is no fault of the Dockerfile', async () => {
    const error = await check({ ...ask, context: '/does/not/exist' }).catch((reason: unknown) => reason);
    expect(isOcibuildError(error) && error.code).toBe('CONTEXT_NOT_FOUND');
  });
});
