import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const MODULE = new URL('../../../src/util/open-worker.ts', import.meta.url).href;

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'ocibuild-worker-'));
  mkdirSync(join(dir, 'here'));
  writeFileSync(join(dir, 'worker.ts'), "console.log('the thread runs');\n");
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

/** What a process prints that starts a thread after its own directory was changed. */
function startIn(change: string): string {
  const script = `
    import { mkdirSync, rmdirSync } from 'node:fs';
    import { openWorker } from ${JSON.stringify(MODULE)};
    const here = process.cwd();
    ${change}
    try {
      openWorker(${JSON.stringify(pathToFileURL(join(dir, 'caller.ts')).href)}, 'worker.ts', {});
    } catch (error) {
      console.log(error.code, error.message);
    }`;
  writeFileSync(join(dir, 'main.ts'), script);
  return execFileSync(process.execPath, [join(dir, 'main.ts')], { cwd: join(dir, 'here'), encoding: 'utf8' });
}

describe('openWorker()', () => {
  it('starts a thread in a directory that was deleted and made again', () => {
    expect(startIn('rmdirSync(here); mkdirSync(here);')).toBe('the thread runs\n');
  });

  it('starts a thread in a directory that is only called "(deleted)"', () => {
    const change = "mkdirSync(here + ' (deleted)'); process.chdir(here + ' (deleted)'); rmdirSync(here);";
    expect(startIn(change)).toBe('the thread runs\n');
  });

  it('names a directory that is gone', () => {
    const message = `Cannot start a thread: the current directory "${join(dir, 'here')}" is gone`;
    expect(startIn('rmdirSync(here);')).toBe(`SYSCALL_FAILED ${message}\n`);
  });
});
