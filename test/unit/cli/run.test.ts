import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { PassThrough, Writable } from 'node:stream';
import { describe, expect, it, onTestFinished } from 'vitest';
import { COMMANDS, type CommandName } from '../../../src/cli/commands.ts';
import { helpText } from '../../../src/cli/help/help.ts';
import { reportError } from '../../../src/cli/report.ts';
import { runCli } from '../../../src/cli/run.ts';
import { OcibuildError } from '../../../src/errors/error.ts';

const GOLDEN = resolve(import.meta.dirname, '../../golden/help.txt');

/** Runs a command line against recorded streams. */
async function run(argv: readonly string[], more: { isTTY?: boolean; env?: Record<string, string> } = {}) {
  const texts = { stdout: '', stderr: '' };
  const stream = (name: 'stdout' | 'stderr'): NodeJS.WriteStream =>
    Object.assign(
      new Writable({
        write(chunk, _encoding, done) {
          texts[name] += String(chunk);
          done();
        },
      }),
      { isTTY: more.isTTY === true },
    ) as unknown as NodeJS.WriteStream;
  const code = await runCli(argv, {
    env: more.env ?? {},
    cwd: import.meta.dirname,
    stdin: new PassThrough().end() as unknown as NodeJS.ReadStream,
    stdout: stream('stdout'),
    stderr: stream('stderr'),
    signal: new AbortController().signal,
  });
  return { code, ...texts };
}

describe('runCli()', () => {
  it.each<[string[], RegExp]>([
    [[], /^ocibuild turns a Dockerfile/],
    [['--help'], /^ocibuild turns a Dockerfile/],
    [['help', 'images'], /^Usage: ocibuild images/],
    [['build', '--help'], /^Usage: ocibuild \[build\]/],
    [['help', 'watch'], /^Usage: ocibuild \[build\]/],
    [['inspect', '-h'], /^Usage: ocibuild inspect/],
    [['version'], /^ocibuild \d+\.\d+\.\d+ \(Node /],
    [['--version'], /^ocibuild \d+\.\d+\.\d+ \(Node /],
  ])('runCli() prints to stdout only when arguments are %j', async (argv, text) => {
    expect(await run(argv)).toEqual({ code: 0, stdout: expect.stringMatching(text), stderr: '' });
  });

  it('runCli() ends with 1 where an image is missing, diff with 2: its 1 says that two differ', async () => {
    const missing = { stderr: expect.stringMatching(/^error\[IMAGE_NOT_FOUND\]/) };
    const root = join(tmpdir(), 'ocibuild-no-store');
    expect(await run(['history', '--root', root, 'a'])).toMatchObject({ code: 1, ...missing });
    expect(await run(['diff', '--root', root, 'a', 'b'])).toMatchObject({ code: 2, ...missing });
  });

  it.each<[string[], RegExp]>([
    [['help', 'imagse'], /hint: did you mean "images"\?/],
    [['bild', '.'], /hint: did you mean "build"\?/],
    [['save', 'app:v1'], /there is no such command\nhint: write `ocibuild copy store:app docker-archive:/],
    [['buildx', 'du'], /hint: leave "buildx" out/],
    [['imgaes'], /no command and no directory is called so\nhint: did you mean "images"\?/],
    [['help', 'nope'], /there is no such command\nhint: `ocibuild help` lists them/],
    [['help', 'build', 'x'], /Cannot use "x": expected only COMMAND/],
    [['images', '--nothing-near'], /no such flag\nhint: see `ocibuild help images`/],
    [['tag', 'a'], /Cannot do this without NAME\nhint: see `ocibuild help tag`/],
    [['inspect'], /Cannot do this without REF\n/],
    [['stop'], /Cannot do this without CONTAINER\n/],
    [['logs'], /Cannot show logs without CONTAINER\nhint: `ocibuild logs --build latest`/],
    [['completion'], /Cannot do this without SHELL \(bash, zsh or fish\)/],
    [['images', 'a'], /Cannot use "a": expected no arguments/],
    [['inspect', 'a', 'b'], /Cannot use "b": expected only REF/],
    [['inspect', 'a', '--raw', '--layers'], /Cannot use --raw and --layers together/],
    [['unpack', 'a'], /Cannot do this without BUNDLE/],
    [['prune', 'a'], /error\[USAGE_INVALID\]: Cannot use "a": expected no arguments/],
    [['images', '--all'], /error\[USAGE_FLAG_UNKNOWN\]/],
  ])('runCli() explains wrong usage on stderr with 2 when arguments are %j', async (argv, text) => {
    expect(await run(argv)).toEqual({ code: 2, stdout: '', stderr: expect.stringMatching(text) });
  });

  it('runCli() annotates the line of a config file that cannot be used when GitHub reads', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'ocibuild-run-'));
    onTestFinished(() => rmSync(dir, { recursive: true }));
    const file = join(dir, 'ocibuild.config.json');
    writeFileSync(file, '{\n"tag": "a"}\n');
    const args = ['build', '--config', file, '--progress', 'github'];
    const { stderr, code } = await run(args, { env: { GITHUB_WORKSPACE: dir } });
    expect(stderr).toMatch(/^::error file=ocibuild\.config\.json,line=2::Cannot use the config file/);
    expect(code).toBe(2);
    expect((await run(args.slice(0, -2))).stderr).not.toContain('::error');
  });

  it('runCli() writes no archive to a terminal when one is asked for', async () => {
    const { code, stderr } = await run(['-o', '-', '.'], { isTTY: true });
    expect([code, stderr]).toEqual([2, expect.stringContaining('Cannot write an archive to a terminal')]);
  });

  it('runCli() shows stacks only when debugging', async () => {
    expect((await run(['inspect'])).stderr).not.toContain('    at ');
    expect((await run(['--debug', 'inspect'])).stderr).toContain('    at ');
    expect((await run(['inspect'], { env: { OCIBUILD_DEBUG: '1' } })).stderr).toContain('    at ');
  });
});

describe('reportError()', () => {
  const signal = new AbortController().signal;

  it.each([
    ['RUN_EXIT_NONZERO', 1],
    ['DOCKERFILE_SYNTAX', 2],
    ['DISK_FULL', 3],
    ['REGISTRY_UNREACHABLE', 4],
    ['INTERNAL', 70],
    ['CANCELLED', 130],
  ] as const)('reportError() gives the exit code of the category when the code is %s', (code, expected) => {
    const error = new OcibuildError(code, 'Cannot x');
    expect(reportError(error, { write() {}, signal, debug: false })).toBe(expected);
  });

  it('reportError() shows a stack and gives 70 when the error is not ours', () => {
    let text = '';
    const write = (piece: string): void => {
      text += piece;
    };
    expect(reportError(new TypeError('oops'), { write, signal, debug: false })).toBe(70);
    expect(text).toMatch(/oops\n {4}at /);
  });

  it('reportError() shows an error that is the cause of its own cause', () => {
    let text = '';
    const write = (piece: string): void => {
      text += piece;
    };
    const [outer, inner] = [new TypeError('outer'), new Error('inner')];
    Object.assign(outer, { cause: inner });
    Object.assign(inner, { cause: outer });
    expect(reportError(outer, { write, signal, debug: false })).toBe(70);
    expect(text).toContain('cause: inner');
  });

  it('reportError() takes any failure for the cancellation when everything is being stopped', () => {
    const stopped = AbortSignal.abort(new OcibuildError('CANCELLED', 'Cannot finish: interrupted by SIGINT'));
    let text = '';
    const write = (piece: string): void => {
      text += piece;
    };
    const options = { write, signal: stopped, debug: false };
    expect(reportError(new Error('write EPIPE'), options)).toBe(130);
    expect(text).toBe('error[CANCELLED]: Cannot finish: interrupted by SIGINT\n');
  });

  it('reportError() masks credentials when it writes JSON', () => {
    let text = '';
    const write = (piece: string): void => {
      text += piece;
    };
    const options = { write, signal, debug: false, json: true };
    reportError(new OcibuildError('REGISTRY_UNREACHABLE', 'Cannot reach https://me:pw@host/v2/'), options);
    expect(JSON.parse(text).error).toMatchObject({ message: 'Cannot reach https://***@host/v2/' });
  });
});

describe('helpText()', () => {
  it('helpText() is the golden text when nothing was changed on purpose', () => {
    const names = [undefined, ...(Object.keys(COMMANDS) as CommandName[]).filter((name) => name !== 'help')];
    const text = names
      .map((name) => `$ ocibuild help ${name ?? ''}`.trimEnd().concat('\n', helpText(name)))
      .join('\n');
    if (process.env.UPDATE_GOLDEN === '1') {
      mkdirSync(dirname(GOLDEN), { recursive: true });
      writeFileSync(GOLDEN, text);
    }
    expect(text).toBe(readFileSync(GOLDEN, 'utf8'));
  });
});
