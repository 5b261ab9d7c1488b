import { describe, expect, it } from 'vitest';
import type { OcibuildError } from '../../../../src/errors/error.ts';
import type { SourceRange } from '../../../../src/errors/source.ts';
import { parseFile } from '../../../../src/frontend/parse/parser.ts';

function parse(text: string) {
  return parseFile({ name: 'Dockerfile', text });
}

/** `2:1-3:8` */
function show({ start, end }: SourceRange): string {
  return `${start.line}:${start.column}-${end.line}:${end.column}`;
}

async function texts(text: string): Promise<string[]> {
  const { instructions } = await parse(text);
  return instructions.map((each) => `${show(each.range)} ${each.text}`);
}

describe('parseFile()', () => {
  it.each<[string, string, string[]]>([
    ['lines end in CR LF', 'FROM a\r\nRUN b \\\r\n  c\r\n', ['1:1-1:7 FROM a', '2:1-3:4 RUN b   c']],
    ['a byte order mark leads', '\uFEFFFROM a\n', ['1:2-1:8 FROM a']],
    ['the last line is unfinished', 'FROM a\nRUN b \\', ['1:1-1:7 FROM a', '2:1-2:8 RUN b']],
    ['comments stand inside', 'RUN a \\\n # x\n#y\n && b\n', ['1:1-4:6 RUN a  && b']],
    ['a blank line stands inside', 'RUN a \\\n\n  b\nCMD c', ['1:1-3:4 RUN a   b', '4:1-4:6 CMD c']],
    ['the escape is doubled', 'RUN a \\\\\nCMD b', ['1:1-1:9 RUN a \\\\', '2:1-2:6 CMD b']],
    ['blanks follow the escape', 'RUN a \\ \t\n b', ['1:1-2:3 RUN a  b']],
    ['the keyword is cut', 'RU\\\nN a', ['1:1-2:4 RUN a']],
    ['an instruction is indented', '  \tRUN a # no comment', ['1:4-1:22 RUN a # no comment']],
    ['the escape is a backtick', '# escape=`\nRUN a `\n b\\\nCMD c', ['2:1-3:4 RUN a  b\\', '4:1-4:6 CMD c']],
    ['a directive has no value', '# syntax=\n# escape=`\nRUN a \\\n b', ['3:1-4:3 RUN a  b']],
    ['a directive comes late', '\n# escape=`\nRUN a \\\n b', ['3:1-4:3 RUN a  b']],
  ])('gives exact texts and ranges when %s', async (_when, text, expected) => {
    expect(await texts(text)).toEqual(expected);
  });

  it('reads here-documents when several stand on one line', async () => {
    const { instructions, errors } = await parse(
      'COPY <<A <<-"B" 3<<C x /d/\na $v\n A\nA\n\tb\n\tB\nc\nC\nRUN next\n',
    );
    expect(errors).toEqual([]);
    expect(instructions.map((each) => show(each.range))).toEqual(['1:1-8:2', '9:1-9:9']);
    expect(instructions[0]?.heredocs).toEqual([
      { name: 'A', content: 'a $v\n A\n', expand: true, chomp: false },
      { name: 'B', content: '\tb\n', expand: false, chomp: true },
      { name: 'C', content: 'c\n', expand: true, chomp: false },
    ]);
  });

  it.each([
    'RUN echo "<<EOF"\nRUN b',
    "RUN echo '<<EOF'\nRUN b",
    'RUN a <<<EOF\nRUN b',
    'RUN echo $((1<<2))\nRUN b',
    'RUN ["a", "<<EOF"]\nRUN b',
    'CMD cat <<EOF\nRUN b',
    'ENV A=<<EOF\nRUN b',
  ])('sees no here-document when the line is %j', async (text) => {
    const { instructions, errors } = await parse(text);
    expect(errors).toEqual([]);
    expect(instructions).toHaveLength(2);
  });

  it('keeps comments above and blank lines inside when instructions have them', async () => {
    const { instructions } = await parse(
      '# syntax=docker/dockerfile:1\n# first\n\n  #  second \nARG a \\\n# inside\n\n  b\nRUN c\n#d\nRUN e \\\n\n',
    );
    expect(instructions.map(({ comment }) => comment)).toEqual([
      ['syntax=docker/dockerfile:1', 'first', 'second'],
      undefined,
      ['d'],
    ]);
    expect(instructions.map(({ blankLines }) => blankLines?.map(show))).toEqual([
      ['7:1-7:1'],
      undefined,
      undefined,
    ]);
  });

  it.each([
    ['RUN cat << E >x\na\nE\nRUN b', ['E']],
    ['RUN 3<<   "E" cat\na\nE\nRUN b', ['E']],
    ['RUN << E\na\nE\nRUN b', ['E']],
    ['RUN cat <<-\nRUN b', []],
    ['RUN cat <<- E\nRUN b', []],
    ["RUN echo '<<' E\nRUN b", []],
    ['RUN cat <<a\\ b\nx\na b\nRUN b', ['a b']],
    ['COPY <<a\\b /x\n$v\nab\nRUN b', ['ab']],
  ])('finds the here-documents of %j', async (text, names) => {
    const { instructions, errors } = await parse(text);
    expect(errors).toEqual([]);
    expect(instructions[0]?.heredocs.map(({ name }) => name)).toEqual(names);
    expect(instructions.at(-1)?.text).toBe('RUN b');
  });

  it('reads here-documents when they belong to a trigger', async () => {
    const { instructions } = await parse('ONBUILD RUN <<E\nx\nE\nRUN b');
    expect(instructions.map((each) => each.heredocs.length)).toEqual([1, 0]);
  });

  it('reports a here-document when the file ends before its terminator', async () => {
    const { errors } = await parse('FROM a\nRUN <<EOF\nb\n');
    expect(errors.map(({ code, message }) => `${code} ${message}`)).toEqual([
      'DOCKERFILE_SYNTAX Cannot read the here-document "EOF": the file ends before a line with "EOF" alone',
    ]);
    expect(errors[0]?.source?.ranges.map(show)).toEqual(['2:1-3:2']);
  });

  it('splits flags off and names their places when lines are continued', async () => {
    const { instructions } = await parse('copy --from=a \\\n  # why\n  --chown="1:2" --link -- --x y\n');
    const [copy] = instructions;
    expect(copy?.keyword).toBe('COPY');
    expect(copy?.flags.map(({ name, value, range }) => [name, value, show(range)])).toEqual([
      ['from', 'a', '1:6-1:14'],
      ['chown', '1:2', '3:3-3:16'],
      ['link', undefined, '3:17-3:23'],
    ]);
    expect(copy?.rest).toBe('--x y');
    expect(copy && show(copy.keywordRange)).toBe('1:1-1:5');
  });

  it('reads directives when they lead the file', async () => {
    const { directives, escapeChar } = await parse(
      '#  Syntax = docker/dockerfile:1 \n#check=skip=all\n# ESCAPE=`\nFROM a',
    );
    expect(directives.map(({ name, value }) => [name, value])).toEqual([
      ['syntax', 'docker/dockerfile:1'],
      ['check', 'skip=all'],
      ['escape', '`'],
    ]);
    expect(escapeChar).toBe('`');
  });

  it.each([
    ['', 'DOCKERFILE_EMPTY', /it is empty/],
    [' \n\t\n', 'DOCKERFILE_EMPTY', /it is empty/],
    ['# a\n#b', 'DOCKERFILE_EMPTY', /comments only/],
    ['# escape=x\nFROM a', 'DOCKERFILE_DIRECTIVE_INVALID', /"x" as escape/],
    ['# escape=\\\n# escape=`\nFROM a', 'DOCKERFILE_DIRECTIVE_INVALID', /twice/],
    [`FROM a\nRUN ${'x'.repeat(65_532)}`, 'DOCKERFILE_LINE_TOO_LONG', /line 2 .* 65,536 B/],
  ])('refuses the file when it is %.20j', async (text, code, message) => {
    const error = await parse(text).then(
      () => undefined,
      (reason: OcibuildError) => reason,
    );
    expect(error?.code).toBe(code);
    expect(error?.message).toMatch(message);
  });

  it('accepts a line when it has exactly 65,535 B', async () => {
    expect((await parse(`RUN ${'x'.repeat(65_531)}\r\n`)).instructions).toHaveLength(1);
  });

  it.each([
    ['blanks in a directive', `# x=a${' '.repeat(60_000)}b\nRUN c`],
    ['blanks in a directive of another language', `//x=a${' '.repeat(60_000)}b\nRUN c`],
    ['carriage returns', `RUN a${'\r'.repeat(60_000)}b`],
  ])('reads a long run of %s at once', async (_, text) => {
    expect((await parse(text)).instructions.length).toBeGreaterThan(0);
  });
});
