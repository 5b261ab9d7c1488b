import { readdirSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { RULES, rulePage } from '../../../../src/frontend/lint/rules.ts';
import { fixed, lint } from './support.ts';

const ROOT = resolve(import.meta.dirname, '../../../..');
const IGNORE = { name: '.dockerignore', text: '*.log\n' };

function examples(rule: string): { bad: string; good: string; page: string } {
  const page = readFileSync(resolve(ROOT, rulePage(rule)), 'utf8');
  const [bad = '', good = ''] = [...page.matchAll(/```dockerfile\n([\s\S]*?)```/g)].map((match) => match[1]);
  return { bad, good, page };
}

describe('RULES', () => {
  it('RULES and pages in docs/lint are the same set when compared', () => {
    const pages = readdirSync(resolve(ROOT, 'docs/lint')).filter((name) => name !== 'README.md');
    expect(pages.sort()).toEqual(RULES.map(({ name }) => `${name}.md`).sort());
  });

  it('RULES are listed in docs/lint with their descriptions when looked up', () => {
    const list = readFileSync(resolve(ROOT, 'docs/lint/README.md'), 'utf8');
    for (const { name, description } of RULES)
      expect(list).toContain(`[${name}](${name}.md) | ${description} |`);
  });

  it.each(RULES.map(({ name }) => name))(
    '%s speaks of the bad example alone when both are checked',
    async (rule) => {
      const { bad, good, page } = examples(rule);
      expect(page).toMatch(new RegExp(`^# ${rule}\n\n.{60,}`));
      const found = await lint(bad, { ignoreFile: IGNORE });
      expect(found.map((warning) => warning.rule)).toEqual([rule]);
      expect(found[0]?.url).toBe(rulePage(rule));
      expect(await lint(good, { ignoreFile: IGNORE })).toEqual([]);
    },
  );

  it.each(RULES.map(({ name }) => name))('%s is fixed as its page says when it can be', async (rule) => {
    const { bad, good, page } = examples(rule);
    const isFixed = !page.includes('more than one way');
    expect(await fixed(bad, { ignoreFile: IGNORE })).toBe(isFixed ? good : bad);
  });
});
