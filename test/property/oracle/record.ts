/**
 * Asks Docker about generated expansions and ignore files: `node test/property/oracle/record.ts [--peers PATH]
 * [expansions.json] [ignores.json]`.
 */
import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import fc from 'fast-check';
import { oracleArguments } from '../../conformance/oracle.ts';
import { flattenLayout } from '../../support/flatten.ts';
import type { Expansions, Ignores } from './types.ts';

const NAMES = ['a', 'b', 'ab', 'ba', 'a.b', '.a', 'é'];

const { peers, names } = oracleArguments(process.argv.slice(2));
if (peers === undefined) throw new Error('Name the command that runs Docker with --peers PATH or PEERS');
const command = peers;
const root = await mkdtemp(join(tmpdir(), 'ocibuild-record-'));
try {
  const isWanted = (name: string): boolean => names.length === 0 || names.includes(name);
  if (isWanted('expansions.json')) await writeFixture('expansions.json', await recordExpansions());
  if (isWanted('ignores.json')) await writeFixture('ignores.json', await recordIgnores());
} finally {
  await rm(root, { recursive: true, force: true });
}

async function writeFixture(name: string, value: Expansions | Ignores): Promise<void> {
  const { answers, ...rest } = value;
  const lines = answers.map((answer) => `    ${JSON.stringify(answer)}`).join(',\n');
  const head = Object.entries(rest).map(
    ([key, each]) => `  ${JSON.stringify(key)}: ${JSON.stringify(each)},\n`,
  );
  await writeFile(join(import.meta.dirname, name), `{\n${head.join('')}  "answers": [\n${lines}\n  ]\n}\n`);
  process.stdout.write(`${name}: ${answers.length} answers\n`);
}

/** Builds the lines that Docker takes in one go, and leaves out one refused line after another until it does. */
async function recordExpansions(): Promise<Expansions> {
  const header = ['FROM scratch', 'ENV a="one two" b=ab*?xbab empty= é=accent'];
  const answers: Expansions['answers'] = [];
  for (const escapeChar of ['\\', '`']) {
    const lines = sampleLines(escapeChar);
    const refused = new Set<string>();
    for (;;) {
      const asked = lines.filter((line) => !refused.has(line));
      const text = [`# escape=${escapeChar}`, ...header, ...asked, ''].join('\n');
      const built = await build({ dockerfile: text, contexts: [] });
      const wrong = built.faultyLine === undefined ? undefined : asked[built.faultyLine - header.length - 2];
      if (wrong !== undefined) {
        refused.add(wrong);
        continue;
      }
      const histories = built.history.slice(1);
      const of = new Map(asked.map((line, index) => [line, histories[index] ?? null]));
      answers.push(...lines.map((line) => ({ escapeChar, line, history: of.get(line) ?? null })));
      break;
    }
  }
  return { header, answers };
}

function sampleLines(escapeChar: string): string[] {
  const variable = fc.constantFrom('a', 'b', 'empty', 'unset', 'é', '1', '@');
  const operator = fc.constantFrom(
    '',
    ':-',
    '-',
    ':+',
    '+',
    ':?',
    '?',
    '#',
    '##',
    '%',
    '%%',
    '/',
    '//',
    ':',
    '=',
  );
  const plain = fc.constantFrom(
    'x',
    'ab',
    '*',
    '?',
    '/',
    '.',
    '-',
    '=',
    ' ',
    '[',
    ']',
    '}',
    '{',
    '#',
    ':',
    '😀',
  );
  const special = fc.constantFrom(
    '$',
    '"',
    "'",
    escapeChar,
    `${escapeChar}$`,
    `${escapeChar}"`,
    `${escapeChar}*`,
    `${escapeChar}}`,
    '\\',
  );
  const { text } = fc.letrec<{ text: string; word: string; reference: string }>((tie) => ({
    text: fc.array(tie('word'), { minLength: 1, maxLength: 5 }).map((words) => words.join('')),
    word: fc.oneof(
      { maxDepth: 3, depthSize: 'small' },
      plain,
      special,
      variable.map((name) => `$${name}`),
      tie('reference'),
      tie('text').map((inner) => `"${inner}"`),
      tie('text').map((inner) => `'${inner}'`),
    ),
    reference: fc.tuple(variable, operator, tie('text'), fc.boolean()).map(([name, sign, word, more]) => {
      if (sign === '') return `\${${name}}`;
      return `\${${name}${sign}${word}${sign.startsWith('/') && more ? '/x' : ''}}`;
    }),
  }));
  // In the old form everything behind the key is one value, in the other blanks separate pairs.
  const line = fc.tuple(text, fc.boolean()).map(([value, old]) => `LABEL k${old ? ' ' : '='}${value}`);
  const usable = line.filter(
    (each) => each === each.trim() && !each.endsWith(escapeChar) && each.length < 90,
  );
  return [...new Set(fc.sample(usable, { numRuns: 160, seed: 20_260_801 }))];
}

/** One build for all lists of patterns: each is the ignore file of a named context of its own. */
async function recordIgnores(): Promise<Ignores> {
  const name = fc.constantFrom(...NAMES);
  const path = fc.array(name, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/'));
  const paths = [...new Set(fc.sample(path, { numRuns: 90, seed: 7 }))].sort();
  // A path that is also a directory cannot be a file.
  const files = paths.filter((each) => !paths.some((other) => other.startsWith(`${each}/`)));
  const piece = fc.oneof(
    name,
    fc.constantFrom(
      '*',
      '**',
      '?',
      'a*',
      '*b',
      '[a-b]',
      '[^a]*',
      '**a',
      'a**',
      '\\.a',
      '.',
      '..',
      '',
      '.*',
      '?b',
    ),
  );
  const pattern = fc
    .tuple(fc.constantFrom('', '', '', '!', '! '), fc.array(piece, { minLength: 1, maxLength: 4 }))
    .map(([mark, parts]) => `${mark}${parts.join('/')}`)
    .filter((each) => /[^!\s]/.test(each));
  const lists = fc.sample(fc.array(pattern, { minLength: 1, maxLength: 5 }), { numRuns: 120, seed: 11 });
  const contexts = lists.map((patterns) => [
    { path: '.dockerignore', content: `${patterns.join('\n')}\n` },
    ...files.map((each) => ({ path: each, content: '' })),
  ]);
  const copies = contexts.map((_, index) => `COPY --from=c${index} / /${index}/`);
  const built = await build({ dockerfile: ['FROM scratch', ...copies, ''].join('\n'), contexts });
  if (built.faultyLine !== undefined)
    throw new Error(`Docker refuses line ${built.faultyLine}: ${built.log}`);
  const answers = lists.map((patterns, index) => ({
    patterns,
    kept: files.filter((each) => built.files.has(`/${index}/${each}`)),
  }));
  return { files, answers };
}

async function build(input: {
  dockerfile: string;
  contexts: { path: string; content: string }[][];
}): Promise<{
  faultyLine?: number;
  log: string;
  history: (string | null)[];
  files: ReadonlyMap<string, unknown>;
}> {
  const dir = await mkdtemp(join(root, 'build-'));
  const output = join(dir, 'output');
  const context = join(dir, 'context');
  await mkdir(context);
  await writeFile(join(context, 'Dockerfile'), input.dockerfile);
  const args = ['docker', 'buildx', 'build', '--progress', 'plain', '--provenance=false'];
  args.push('--output', `type=oci,tar=false,dest=${output}`);
  for (const [index, files] of input.contexts.entries()) {
    const folder = join(dir, `c${index}`);
    for (const { path, content } of files) {
      await mkdir(dirname(join(folder, path)), { recursive: true });
      await writeFile(join(folder, path), content);
    }
    args.push('--build-context', `c${index}=${folder}`);
  }
  const { status, stderr: log } = spawnSync(command, [...args, context], { encoding: 'utf8' });
  const marked = /^ +(\d+) \| >>> /m.exec(log)?.[1] ?? /on line (\d+)/.exec(log)?.[1];
  if (status !== 0 && marked === undefined) throw new Error(`Docker names no line: ${log}`);
  if (status !== 0) return { faultyLine: Number(marked), log, history: [], files: new Map() };
  const { config, files } = await flattenLayout(output);
  const history = config.history as { created_by?: string }[];
  return { log, history: history.map(({ created_by }) => created_by ?? null), files };
}
