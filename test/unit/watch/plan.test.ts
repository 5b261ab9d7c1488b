import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { LocalTree } from '../../../src/build/inputs/local-files.ts';
import { createIgnoreMatcher } from '../../../src/util/ignore-matcher.ts';
import { planWatch } from '../../../src/watch/plan.ts';

function tree(dir: string, select: readonly string[], rules: readonly string[] = []): LocalTree {
  return { dir, select, rules, ...(rules.length > 0 ? { ignore: createIgnoreMatcher(rules) } : {}) };
}

describe('planWatch()', () => {
  it('watches only what is selected when steps select parts', () => {
    const plan = planWatch({ files: ['/p/Dockerfile'], trees: [tree('/p', ['src', 'package.json'])] });
    expect(plan.concerns('/p/src/a/b.ts')).toBe(true);
    expect(plan.concerns('/p/package.json')).toBe(true);
    expect(plan.concerns('/p/Dockerfile')).toBe(true);
    expect(plan.concerns('/p/docs/a.md')).toBe(false);
    expect(plan.ignored('/p/docs')).toBe(true);
    expect(plan.ignored('/p/src', true)).toBe(false);
    expect(plan.ignored('/p/package-lock.json', false)).toBe(true);
  });

  it('goes past ignored directories, but not past those with exceptions', () => {
    const rules = ['node_modules', 'dist', '!dist/keep'];
    const plan = planWatch({ files: [], trees: [tree('/p', [''], rules)] });
    expect(plan.ignored('/p/node_modules')).toBe(true);
    expect(plan.ignored('/p/dist', true)).toBe(false);
    expect(plan.ignored('/p/dist/other', false)).toBe(true);
    expect(plan.concerns('/p/dist/keep')).toBe(true);
    expect(plan.concerns('/p/node_modules/a')).toBe(false);
  });

  it('listens to the directories of files outside of the context, and to nothing else there', () => {
    const plan = planWatch({ files: ['/other/Dockerfile'], trees: [tree('/p', [''])] });
    expect(plan.roots).toEqual(['/', '/other'].slice(0, 1));
    expect(plan.ignored('/other', true)).toBe(false);
    expect(plan.ignored('/other/secret', false)).toBe(true);
    expect(plan.ignored('/etc')).toBe(true);
    expect(plan.concerns('/other/Dockerfile')).toBe(true);
  });

  it('leaves out what the build writes', () => {
    const plan = planWatch({ files: [], trees: [tree('/p', [''])], written: ['/p/out'] });
    expect(plan.concerns('/p/out/a')).toBe(false);
    expect(plan.ignored('/p/out', true)).toBe(true);
    expect(plan.concerns('/p/outer')).toBe(true);
  });

  it('applies the ignore file of the context to directories that are synced', () => {
    const plan = planWatch({
      files: [],
      trees: [tree('/p', ['lib'], ['src/ignored'])],
      more: ['/p/src'],
    });
    expect(plan.concerns('/p/src/a')).toBe(true);
    expect(plan.concerns('/p/src/ignored/a')).toBe(false);
  });

  it('names paths as the build knows them when the context is behind a link', () => {
    const top = mkdtempSync(join(tmpdir(), 'ocibuild-plan-'));
    onTestFinished(() => rmSync(top, { recursive: true }));
    mkdirSync(join(top, 'real/lib'), { recursive: true });
    symlinkSync('real', join(top, 'link'));
    symlinkSync('lib', join(top, 'real/alias'));
    const plan = planWatch({ files: [], trees: [tree(join(top, 'link'), ['alias'])] });
    expect(plan.named(join(top, 'real/lib/a'))).toBe(join(top, 'link/lib/a'));
    expect(plan.concerns(join(top, 'real/lib/a'))).toBe(true);
    expect(plan.concerns(join(top, 'link'))).toBe(true);
    expect(plan.ignored(join(top, 'real'), true)).toBe(false);
  });

  it('reads what is selected, and not the directories above it', () => {
    const plan = planWatch({
      files: ['/p/Dockerfile'],
      trees: [tree('/p', ['src/a'])],
      written: ['/p/src/a/out'],
    });
    expect(plan.reads('/p/src/a')).toBe(true);
    expect(plan.reads('/p/src/a/b')).toBe(true);
    expect(plan.reads('/p/Dockerfile')).toBe(true);
    expect(plan.reads('/p/src')).toBe(false);
    expect(plan.reads('/p')).toBe(false);
    expect(plan.reads('/p/src/a/out')).toBe(false);
    expect(planWatch({ files: [], trees: [tree('/p', [''])] }).reads('/p')).toBe(true);
  });

  it('differs in its key when a selection, a rule or the place behind a link does', () => {
    const inputs = { files: ['/p/Dockerfile'], trees: [tree('/p', [''], ['a'])] };
    const { key } = planWatch(inputs);
    expect(planWatch({ ...inputs, trees: [tree('/p', [''], ['a'])] }).key).toBe(key);
    expect(planWatch({ ...inputs, trees: [tree('/p', [''], ['b'])] }).key).not.toBe(key);
    expect(planWatch({ ...inputs, files: [] }).key).not.toBe(key);
    const top = mkdtempSync(join(tmpdir(), 'ocibuild-plan-'));
    onTestFinished(() => rmSync(top, { recursive: true }));
    const behindLink = (target: string): string => {
      mkdirSync(join(top, target));
      rmSync(join(top, 'link'), { force: true });
      symlinkSync(target, join(top, 'link'));
      return planWatch({ files: [], trees: [tree(join(top, 'link'), [''])] }).key;
    };
    expect(behindLink('one')).not.toBe(behindLink('two'));
  });
});
