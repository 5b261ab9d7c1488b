import { describe, expect, it } from 'vitest';
import { MultiError, OcibuildError } from '../../../src/errors/error.ts';
import type { FrontendContext } from '../../../src/frontend/types.ts';
import { convert } from './support.ts';

async function failure(text: string, changes: Partial<FrontendContext> = {}): Promise<OcibuildError> {
  const error: unknown = await convert(text, changes).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toHaveProperty('code');
  return error as OcibuildError;
}

const CASES: readonly [text: string, line: number, code: string, message: RegExp, hint?: RegExp][] = [
  ['ARG A\n', 1, 'DOCKERFILE_STAGE_INVALID', /no FROM/],
  ['RUN a\nFROM base', 1, 'DOCKERFILE_STAGE_INVALID', /RUN before the first FROM/],
  ['FROM base\nCOYP a b', 2, 'DOCKERFILE_INSTRUCTION_UNKNOWN', /"COYP"/, /"COPY"/],
  ['FROM base AS', 1, 'DOCKERFILE_INSTRUCTION_INVALID', /expected "FROM image"/],
  ['FROM base AS 1x', 1, 'DOCKERFILE_STAGE_INVALID', /"1x"/],
  ['FROM $NOPE', 1, 'DOCKERFILE_STAGE_INVALID', /empty after expansion/, /--build-arg/],
  ['FROM --platform=$X base', 1, 'DOCKERFILE_STAGE_INVALID', /--platform/, /--build-arg/],
  ['FROM --platform=a/b/c/d base', 1, 'PLATFORM_INVALID', /not a platform/],
  ['FROM base\nCOPY --fron=x a b', 2, 'DOCKERFILE_FLAG_INVALID', /"--fron"/, /"--from"/],
  ['FROM base\nCOPY --from a b', 2, 'DOCKERFILE_FLAG_INVALID', /without a value/],
  ['FROM base\nCOPY --link=maybe a b', 2, 'DOCKERFILE_FLAG_INVALID', /"maybe"/],
  ['FROM base\nCOPY --chmod=1 --chmod=2 a b', 2, 'DOCKERFILE_FLAG_INVALID', /twice/],
  ['FROM base\nCOPY --chmod=8 a b', 2, 'DOCKERFILE_FLAG_INVALID', /octal/],
  ['FROM base\nCOPY --chmod=u+y a b', 2, 'DOCKERFILE_FLAG_INVALID', /symbolic/],
  ['FROM base\nCOPY --exclude=[ a b', 2, 'DOCKERFILE_FLAG_INVALID', /unclosed "\["/],
  ['FROM base\nADD --checksum=sha256:0 a b', 2, 'DOCKERFILE_FLAG_INVALID', /neither a URL nor/],
  ['FROM base\nADD --checksum=md5:0 https://x.org/a b', 2, 'DOCKERFILE_FLAG_INVALID', /"md5" is none of/],
  ['FROM base\nADD --checksum=sha256:0 https://x.org/a b', 2, 'DOCKERFILE_FLAG_INVALID', /64 lower-case/],
  [
    'FROM base\nADD --checksum=nohex https://x.org/a.git b',
    2,
    'DOCKERFILE_FLAG_INVALID',
    /start of a commit/,
  ],
  ['FROM base\nCOPY --parents --link=no a b', 2, 'DOCKERFILE_FLAG_INVALID', /"--link" to "no"/],
  ['FROM base\nCOPY <<a/b /x\na/b', 2, 'DOCKERFILE_INSTRUCTION_INVALID', /holds a "\/"/],
  ['# syntax=ocibuild\nFROM base\nCOPY --from=$NONE a b', 3, 'DOCKERFILE_FLAG_INVALID', /empty after/],
  ['FROM base\nCOPY https://x.org/a b', 2, 'DOCKERFILE_INSTRUCTION_INVALID', /COPY takes paths/, /ADD/],
  ['FROM base\nRUN --network=hots a', 2, 'DOCKERFILE_FLAG_INVALID', /"hots"/, /"host"/],
  ['FROM base\nCOPY a', 2, 'DOCKERFILE_INSTRUCTION_INVALID', /"a" alone/],
  ['FROM base\nCOPY a b c', 2, 'DOCKERFILE_INSTRUCTION_INVALID', /must be a directory/, /"c\/"/],
  ['FROM base\nCOPY a[ c', 2, 'DOCKERFILE_INSTRUCTION_INVALID', /unclosed/],
  ['FROM base\nCOPY --from=$X a b', 2, 'DOCKERFILE_FLAG_INVALID', /not expanded/],
  ['FROM base\nCOPY --from=7 a b', 2, 'DOCKERFILE_STAGE_NOT_FOUND', /stage 7/],
  ['FROM base AS x\nCOPY --from=0 a b', 2, 'DOCKERFILE_STAGE_CYCLE', /copies from itself/],
  [
    'FROM base AS x\nCOPY --from=y a b\nFROM base AS y\nFROM x',
    2,
    'DOCKERFILE_STAGE_INVALID',
    /defined after/,
  ],
  ['FROM base\n<<<<<<< HEAD\n', 2, 'DOCKERFILE_INSTRUCTION_UNKNOWN', /"<<<<<<<"/, /merge/],
  ['FROM base\nRUN a &&\n  apt b', 3, 'DOCKERFILE_INSTRUCTION_UNKNOWN', /"apt"/, /line above.*"\\"/],
  ['# escape=`\nFROM base\n&& b', 3, 'DOCKERFILE_INSTRUCTION_UNKNOWN', /"&&"/, /line above.*"`"/],
  ['services:\n', 1, 'DOCKERFILE_INSTRUCTION_UNKNOWN', /"services:"/, /YAML/],
  ['FROM\u00a0base', 1, 'DOCKERFILE_INSTRUCTION_UNKNOWN', /base/, /no-break/],
  ['\ufffdFROM base', 1, 'DOCKERFILE_INSTRUCTION_UNKNOWN', /FROM/, /UTF-8/],
  ['FROM base builder', 1, 'DOCKERFILE_INSTRUCTION_INVALID', /expected/, /"FROM base AS builder"/],
  ['FROM base A builder', 1, 'DOCKERFILE_INSTRUCTION_INVALID', /"A"/, /"FROM base AS builder"/],
  ['FROM base: v1', 1, 'DOCKERFILE_INSTRUCTION_INVALID', /expected/, /"base:v1"/],
  ["FROM base\nCOPY ['a b', '/c d']", 2, 'DOCKERFILE_EXPANSION_INVALID', /not closed/, /double quotes only/],
  ["FROM base\nENV A=it's", 2, 'DOCKERFILE_EXPANSION_INVALID', /not closed/, /put "\\" before/],
  ['FROM base\nRUN <<END\na\n  END', 2, 'DOCKERFILE_SYNTAX', /the file ends/, /blanks.*line 4/],
  ['FROM base\nRUN --mount=type=bind, target=/x a', 2, 'DOCKERFILE_FLAG_INVALID', /empty/, /without blanks/],
  ['FROM base\nONBUILD ENV A=1 B', 2, 'DOCKERFILE_INSTRUCTION_INVALID', /"B" in ENV/, /quotes/],
  ['FROM base\nENV A', 2, 'DOCKERFILE_INSTRUCTION_INVALID', /value is missing/],
  ['FROM base\nENV A=1 B', 2, 'DOCKERFILE_INSTRUCTION_INVALID', /expected "name=value"/],
  ['FROM base\nENV =1', 2, 'DOCKERFILE_INSTRUCTION_INVALID', /name is empty/],
  ['FROM base\nENV A=${b', 2, 'DOCKERFILE_EXPANSION_INVALID', /closing "}" is missing/],
  ['FROM base\nCMD ["a", 1]', 2, 'DOCKERFILE_INSTRUCTION_INVALID', /strings/],
  ['FROM base\nSHELL /bin/sh', 2, 'DOCKERFILE_INSTRUCTION_INVALID', /JSON form/],
  ['FROM base\nEXPOSE 90-80', 2, 'DOCKERFILE_INSTRUCTION_INVALID', /ends before/],
  ['FROM base\nEXPOSE 70000', 2, 'DOCKERFILE_INSTRUCTION_INVALID', /65535/],
  ['FROM base\nVOLUME $X', 2, 'DOCKERFILE_INSTRUCTION_INVALID', /empty path/],
  ['FROM base\nSTOPSIGNAL SIGFOO', 2, 'DOCKERFILE_INSTRUCTION_INVALID', /SIGFOO/],
  ['FROM base\nHEALTHCHECK FOO x', 2, 'DOCKERFILE_INSTRUCTION_INVALID', /"FOO"/],
  ['FROM base\nHEALTHCHECK --interval=1us CMD x', 2, 'DOCKERFILE_FLAG_INVALID', /at least 1 ms/],
  ['FROM base\nONBUILD FROM x', 2, 'DOCKERFILE_INSTRUCTION_INVALID', /FROM in ONBUILD/],
  ['FROM base\nUSER', 2, 'DOCKERFILE_INSTRUCTION_INVALID', /without arguments/],
  ['# syntax=my/frontend\nFROM base', 1, 'DOCKERFILE_UNSUPPORTED', /"my\/frontend"/],
  [
    'FROM base\nCOPY <<EOF <<"E F" /x/\nEOF\nE F\n',
    2,
    'DOCKERFILE_EXPANSION_INVALID',
    /double quote is not closed/,
  ],
  ['# syntax=ocibuilder\nFROM base', 1, 'DOCKERFILE_UNSUPPORTED', /"docker\/dockerfile" and "ocibuild"/],
];

describe('convertDockerfile() refuses', () => {
  it.each(CASES)('%j with its line, code and words', async (text, line, code, message, hint) => {
    const error = await failure(text);
    expect(error.message).toMatch(message);
    expect(error.code).toBe(code);
    expect(error.source?.ranges[0]?.start.line).toBe(line);
    if (hint !== undefined) expect(error.hint).toMatch(hint);
  });

  it('several faults at once when they are independent', async () => {
    const error = await failure('FROM base\nFOO a\nCOPY b\nRUN ok\nENV c\n');
    expect(error).toBeInstanceOf(MultiError);
    const { errors } = error as MultiError;
    expect(errors.map(({ source }) => source?.ranges[0]?.start.line)).toEqual([2, 3, 5]);
  });

  it('mounts together with faults of syntax when no variable is in them', async () => {
    const error = await failure(
      'FROM base\nFOO a\nRUN --mount=type=cahce,target=/x ok\nRUN --mount=targe=/x --mount=id=$a,typ=b ok',
    );
    const { errors } = error as MultiError;
    expect(errors.map(({ source, hint }) => [source?.ranges[0]?.start.line, hint])).toEqual([
      [2, undefined],
      [3, 'did you mean "cache"?'],
      [4, 'did you mean "target"?'],
    ]);
  });

  it('faults that show up after parsing together when they are independent', async () => {
    const error = await failure(
      'FROM base AS a\nWORKDIR ${x:?}\nEXPOSE 99999\nFROM base\nCOPY --from=a / /\nSTOPSIGNAL no\nENV b=${c:?}\nENV d=${b:?}',
    );
    const { errors } = error as MultiError;
    // The last line is wrong only because the one before it is.
    expect(errors.map(({ source }) => source?.ranges[0]?.start.line)).toEqual([2, 3, 6, 7]);
  });

  it('stages with all their faults when several FROM lines and indexes are wrong', async () => {
    const error = await failure('FROM $A\nCOPY --from=9 / /\nFROM --platform=$B base\nFROM base');
    const { errors } = error as MultiError;
    expect(errors.map(({ code, source }) => [code, source?.ranges[0]?.start.line])).toEqual([
      ['DOCKERFILE_STAGE_INVALID', 1],
      ['DOCKERFILE_STAGE_NOT_FOUND', 2],
      ['DOCKERFILE_STAGE_INVALID', 3],
    ]);
  });

  it('images that cannot be had together, with the stage that may have been meant', async () => {
    const error = await failure(
      'FROM nope1 AS build\nFROM nope2\nCOPY --from=biuld / /\nCOPY --from=build / /',
      {
        resolver: {
          resolve: async (name) => {
            throw new OcibuildError('IMAGE_NOT_FOUND', `Cannot find "${name}"`);
          },
        },
      },
    );
    const { errors } = error as MultiError;
    expect(errors.map(({ message, hint }) => [message, hint])).toEqual([
      ['Cannot find "nope1"', undefined],
      ['Cannot find "nope2"', undefined],
      ['Cannot find "biuld"', 'did you mean "build"?'],
    ]);
  });

  it('a base that is empty, with the argument that may have been meant', async () => {
    expect((await failure('ARG BASE=base\nFROM ${BAES}')).hint).toBe('did you mean "BASE"?');
  });

  it('a trigger only when it fires, at the FROM that fires it', async () => {
    expect((await convert('FROM base\nONBUILD FOO x')).config.config?.OnBuild).toEqual(['FOO x']);
    const error = await failure('FROM base AS p\nONBUILD FOO x\nFROM p');
    expect([error.code, error.source?.ranges[0]?.start.line]).toEqual(['DOCKERFILE_INSTRUCTION_UNKNOWN', 3]);
  });

  it.each([
    ['#!/usr/bin/env x\n# syntax=my/a\nFROM base', 2],
    ['//syntax=my/a\nFROM base', 1],
    ['#!/bin/x\n// key=v\n// syntax = my/a --opt\nx', 3],
    ['{\n"syntax": "my/a", "x": 1}', 1],
    ['\uFEFF# SYNTAX = my/a\nFROM base', 1],
  ])('another language when the file is %j', async (text, line) => {
    const error = await failure(text);
    expect([error.code, error.source?.ranges[0]?.start.line]).toEqual(['DOCKERFILE_UNSUPPORTED', line]);
    expect(error.message).toContain('"my/a"');
  });

  it('a target when no stage has its name', async () => {
    const error = await failure('FROM base AS build\nFROM base AS test', { target: 'biuld' });
    expect([error.code, error.hint]).toEqual(['DOCKERFILE_STAGE_NOT_FOUND', 'did you mean "build"?']);
  });

  it('stages that need one another with all places when they form a circle', async () => {
    const error = await failure(
      'FROM base AS a\nCOPY --from=b x x\nFROM base AS b\nCOPY --from=a x x\nFROM a',
    );
    expect(error.code).toBe('DOCKERFILE_STAGE_CYCLE');
    expect(error.source?.ranges.map(({ start }) => start.line)).toEqual([2, 4]);
  });

  it('to go on when the signal is aborted', async () => {
    const error = await failure('FROM base', { signal: AbortSignal.abort() });
    expect(error.code).toBe('CANCELLED');
  });
});
