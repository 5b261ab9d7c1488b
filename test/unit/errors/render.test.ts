import { describe, expect, it } from 'vitest';
import { MultiError, OcibuildError } from '../../../src/errors/error.ts';
import { renderError } from '../../../src/errors/render.ts';
import type { SourceRef } from '../../../src/errors/source.ts';

const TEXT = `FROM node:24
WORKDIR /app
COPY package.json .
RUN npm ci
ENV A=b

# build
COPY . .

RUN npm run build
`;

function at(line: number, endLine = line, about: Partial<SourceRef> = {}): SourceRef {
  return {
    file: { name: 'Dockerfile', text: TEXT },
    ranges: [{ start: { line, column: 1 }, end: { line: endLine, column: 18 } }],
    ...about,
  };
}

describe('renderError()', () => {
  it('renderError() shows title, place, excerpt, log tail and hint when a step fails', () => {
    const error = new OcibuildError('RUN_EXIT_NONZERO', 'Cannot finish RUN npm run build: exit code 2', {
      source: at(10, 10, { stage: 'build', step: '4/6' }),
      logTail: ["src/app.ts(3,1): error TS2304: Cannot find name 'foo'."],
      hint: 'reproduce it with `x`',
    });
    expect(renderError(error)).toBe(`error[RUN_EXIT_NONZERO]: Cannot finish RUN npm run build: exit code 2
  Dockerfile:10:1  (stage build, step 4/6)
    |
  8 | COPY . .
  9 |
>10 | RUN npm run build
    |
  last lines of the step:
   | src/app.ts(3,1): error TS2304: Cannot find name 'foo'.
hint: reproduce it with \`x\`
`);
  });

  it('renderError() shows two lines around when the range is in the middle', () => {
    expect(renderError(new OcibuildError('DOCKERFILE_SYNTAX', 'Cannot read x', { source: at(3, 4) }))).toBe(
      `error[DOCKERFILE_SYNTAX]: Cannot read x
  Dockerfile:3:1
   |
 1 | FROM node:24
 2 | WORKDIR /app
>3 | COPY package.json .
>4 | RUN npm ci
 5 | ENV A=b
 6 |
   |
`,
    );
  });

  it('renderError() joins several ranges with dots when they are apart', () => {
    const source = { ...at(1), ranges: [...at(1).ranges, ...at(10).ranges] };
    const text = renderError(new OcibuildError('DOCKERFILE_STAGE_CYCLE', 'Cannot order stages', { source }));
    expect(text).toContain('> 1 | FROM');
    expect(text).toMatch(/ 3 \| COPY package.json \.\n +\.\.\.\n {2}8 \| COPY/);
    expect(text).toContain('>10 | RUN');
  });

  it('renderError() cuts a range when it is very long', () => {
    const file = { name: 'D', text: 'x\n'.repeat(300) };
    const source = { file, ranges: [{ start: { line: 5, column: 1 }, end: { line: 200, column: 1 } }] };
    const text = renderError(new OcibuildError('DOCKERFILE_SYNTAX', 'Cannot read x', { source }));
    expect(text.split('\n').length).toBeLessThan(24);
  });

  it('renderError() cuts a line when it is very long, and hides a secret at the cut', () => {
    const file = {
      name: 'Dockerfile',
      text: `FROM a\nRUN ${'x'.repeat(388)} s3cret ${'y'.repeat(60_000)}\n`,
    };
    const range = { start: { line: 2, column: 1 }, end: { line: 2, column: 4 } };
    const error = new OcibuildError('DOCKERFILE_SYNTAX', 'Cannot read x', {
      source: { file, ranges: [range] },
    });
    const text = renderError(error, { secrets: ['s3cret'] });
    expect(text.length).toBeLessThan(600);
    expect(text).toMatch(/xx \*+…\n/);
    expect(text).not.toContain('s3');
  });

  it('renderError() survives a place outside of the text', () => {
    const text = renderError(new OcibuildError('DOCKERFILE_SYNTAX', 'Cannot read x', { source: at(99) }));
    expect(text).toBe('error[DOCKERFILE_SYNTAX]: Cannot read x\n  Dockerfile:99:1\n');
  });

  it('renderError() lists causes once when messages repeat', () => {
    const cause = new Error('read index.json in "/cache"', { cause: new Error('ENOENT: no such file') });
    const text = renderError(new OcibuildError('STORE_INVALID', 'Cannot open the store', { cause }));
    expect(text).toBe(
      'error[STORE_INVALID]: Cannot open the store\ncause: read index.json in "/cache"\ncause: ENOENT: no such file\n',
    );
    const told = new OcibuildError('STORE_INVALID', 'Cannot open: EACCES', { cause: new Error('EACCES') });
    expect(renderError(told)).toBe('error[STORE_INVALID]: Cannot open: EACCES\n');
  });

  it('renderError() gives each of them when there are several faults', () => {
    const text = renderError(
      new MultiError([
        new OcibuildError('COPY_SOURCE_MISSING', 'Cannot copy "a"', { source: at(3) }),
        new OcibuildError('COPY_SOURCE_MISSING', 'Cannot copy "b"', { source: at(8), hint: 'add it' }),
      ]),
    );
    expect(text.match(/^error\[/gm)).toHaveLength(2);
    expect(text).toContain('\n\nerror[COPY_SOURCE_MISSING]: Cannot copy "b"');
  });

  it('renderError() shows a stack and asks for a report when it is a bug', () => {
    const text = renderError(new TypeError('x is undefined'));
    expect(text).toMatch(/^error\[INTERNAL\]: Cannot continue: x is undefined\n {4}at /);
    expect(text).toContain('hint: this is a bug in ocibuild');
  });

  it('renderError() shows no stack of our own errors unless debugging', () => {
    const error = new OcibuildError('CONTEXT_NOT_FOUND', 'Cannot read context "x"');
    expect(renderError(error)).not.toContain('    at ');
    expect(renderError(error, { debug: true })).toContain('    at ');
  });

  it('renderError() blames no step when the build was interrupted', () => {
    const error = new OcibuildError('CANCELLED', 'Cannot finish: interrupted by SIGINT', {
      source: at(4),
      logTail: ['x'],
    });
    expect(renderError(error)).toBe('error[CANCELLED]: Cannot finish: interrupted by SIGINT\n');
  });

  it('renderError() hides secrets and control characters wherever they stand', () => {
    const secret = 'hunter2222';
    const error = new OcibuildError('RUN_EXIT_NONZERO', `Cannot run \u001b[31m${secret}`, {
      source: { ...at(1), file: { name: 'Dockerfile', text: `RUN curl https://me:pw@host/${secret}\n` } },
      logTail: [`using ${secret}`, 'a\u001b[2Jb'],
      hint: `try ${secret}`,
      cause: new Error(`no ${secret}`),
    });
    const text = renderError(error, { secrets: [secret], debug: true });
    expect(text).not.toContain(secret);
    expect(text).not.toContain('me:pw');
    expect(text).not.toContain('\u001b');
  });
});
