import { execFileSync } from 'node:child_process';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { programOf } from '../../../src/executor/program.ts';
import { tempDir } from '../exporter/fixture.ts';

function makeRoot(): string {
  const root = tempDir();
  for (const dir of ['bin', 'usr/bin', 'work']) mkdirSync(join(root, dir), { recursive: true });
  writeFileSync(join(root, 'usr/bin/busybox'), 'BUSYBOX');
  symlinkSync('/usr/bin/busybox', join(root, 'bin/sh'));
  writeFileSync(join(root, 'work/run'), '#! /bin/sh -e\necho\n');
  writeFileSync(join(root, 'work/loop'), '#!/work/loop\n');
  return root;
}

const found = (args: string[], env: string[] = []) => {
  const program = programOf(makeRoot(), { args, env, cwd: '/work' });
  return program && [program.path, program.head.toString()];
};

describe('programOf()', () => {
  it('follows links inside the root', () => {
    expect(found(['/bin/sh', '-c', 'x'])).toEqual(['/bin/sh', 'BUSYBOX']);
  });

  it('goes to the interpreter of a script, from the working directory', () => {
    expect(found(['./run'])).toEqual(['/bin/sh', 'BUSYBOX']);
    expect(found(['./loop'])).toBeUndefined();
  });

  it('searches PATH, the last one given, for a name', () => {
    expect(found(['busybox'])).toEqual(['/usr/bin/busybox', 'BUSYBOX']);
    expect(found(['busybox'], ['PATH=/usr/bin', 'PATH=/bin'])).toBeUndefined();
    expect(found(['sh'], ['PATH=/usr/bin:/bin'])).toEqual(['/bin/sh', 'BUSYBOX']);
  });

  it('finds nothing where there is nothing', () => {
    expect(found(['/missing'])).toBeUndefined();
    expect(found([])).toBeUndefined();
  });

  it('does not wait for a writer of a fifo', () => {
    const root = makeRoot();
    execFileSync('mkfifo', [join(root, 'work/sh')]);
    expect(programOf(root, { args: ['./sh'], env: [], cwd: '/work' })).toBeUndefined();
    expect(programOf(root, { args: ['sh'], env: ['PATH=/work:/bin'], cwd: '/' })?.path).toBe('/bin/sh');
  });
});
