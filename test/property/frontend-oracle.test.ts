import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { OcibuildError } from '../../src/errors/error.ts';
import { parseIgnore } from '../../src/frontend/parse/dockerignore.ts';
import { createIgnoreMatcher } from '../../src/util/ignore-matcher.ts';
import { convert, historyOf } from '../unit/frontend/support.ts';
import type { Expansions, Ignores } from './oracle/types.ts';

function readFixture(name: string): unknown {
  return JSON.parse(readFileSync(join(import.meta.dirname, 'oracle', name), 'utf8'));
}

const expansions = readFixture('expansions.json') as Expansions;
const ignores = readFixture('ignores.json') as Ignores;

async function historyOfLine(escapeChar: string, line: string): Promise<string | null> {
  const text = [`# escape=${escapeChar}`, ...expansions.header, line, ''].join('\n');
  try {
    return (
      historyOf(await convert(text))
        .at(-1)
        ?.replace(/^- /, '') ?? ''
    );
  } catch (error) {
    if (!(error instanceof OcibuildError)) throw error;
    return null;
  }
}

describe('convertDockerfile() on lines that Docker was asked about', () => {
  it('has enough of them, both taken and refused', () => {
    const taken = expansions.answers.filter(({ history }) => history !== null).length;
    expect(taken).toBeGreaterThan(100);
    expect(expansions.answers.length - taken).toBeGreaterThan(50);
  });

  it('expands each line as Docker does, or refuses it too', async () => {
    const wrong: unknown[] = [];
    for (const { escapeChar, line, history } of expansions.answers) {
      const ours = await historyOfLine(escapeChar, line);
      if (ours !== history) wrong.push({ escapeChar, line, docker: history, ours });
    }
    expect(wrong).toEqual([]);
  });
});

describe('createIgnoreMatcher() on ignore files that Docker was asked about', () => {
  it.each(ignores.answers)(
    'keeps the files that Docker copies when patterns are $patterns',
    ({ patterns, kept }) => {
      const matcher = createIgnoreMatcher(parseIgnore({ name: '.dockerignore', text: patterns.join('\n') }));
      expect(ignores.files.filter((path) => !matcher.excluded(path, false))).toEqual(kept);
    },
  );
});
