import { readdirSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { categoryOf, ERROR_CODES, exitCodeOf } from '../../../src/errors/codes.ts';

const DOCS = resolve(import.meta.dirname, '../../../docs/errors');

describe('ERROR_CODES', () => {
  it('ERROR_CODES and pages in docs/errors are the same set when compared', () => {
    const pages = readdirSync(DOCS).map((name) => name.replace(/\.md$/, ''));
    expect(pages.sort()).toEqual([...ERROR_CODES].sort());
  });

  it.each(ERROR_CODES)('%s has a page with its exit code and advice when looked up', (code) => {
    const page = readFileSync(resolve(DOCS, `${code}.md`), 'utf8');
    expect(page).toMatch(
      new RegExp(`^# ${code}\n\nExit code ${exitCodeOf(categoryOf(code))}: .+\\.\n\n.{30,}`),
    );
    expect(page.split('## What to do\n\n')[1]?.length).toBeGreaterThan(10);
  });
});
