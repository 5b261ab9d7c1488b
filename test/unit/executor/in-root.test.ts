import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { finalPath, locate, makeDirs, makeStub, removeStubs } from '../../../src/executor/in-root.ts';

const OLD = 1_500_000_000;
let root = '';
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'ocibuild-root-'));
  mkdirSync(join(root, 'a/b'), { recursive: true });
  writeFileSync(join(root, 'file'), '');
  symlinkSync('/a', join(root, 'abs'));
  symlinkSync('../../../../../../a', join(root, 'up'));
  symlinkSync('/gone/far', join(root, 'dangling'));
  symlinkSync('loop', join(root, 'loop'));
});
afterEach(() => rmSync(root, { recursive: true }));

describe.runIf(process.platform === 'linux')('locate', () => {
  it.each([
    ['/', '/', []],
    ['/a/b', '/a/b', []],
    ['/abs/b', '/a/b', []],
    ['/up/b', '/a/b', []],
    ['/../../a', '/a', []],
    ['/a/x/y', '/a', ['x', 'y']],
    ['/abs/x', '/a', ['x']],
    ['/dangling/x', '/', ['gone', 'far', 'x']],
  ])('locate() finds the place inside the root when the path is %s', (path, existing, missing) => {
    expect(locate(root, path)).toEqual({ existing, missing });
    expect(finalPath(locate(root, path))).toBe(join(existing, ...missing));
  });

  it.each(['/file/x', '/loop', '/loop/x'])('locate() refuses when %s cannot be followed', (path) => {
    expect(() => locate(root, path)).toThrow(expect.objectContaining({ code: 'SYSCALL_FAILED' }));
  });

  it('makeDirs() makes parents 0755 when several are missing', () => {
    makeDirs(root, locate(root, '/abs/new/deep'), { uid: 0, gid: 0 });
    expect(statSync(join(root, 'a/new/deep')).mode & 0o7777).toBe(0o755);
  });

  it('makeStub() and removeStubs() leave times alone when the stub stays empty', () => {
    utimesSync(join(root, 'a'), OLD, OLD);
    const stubs = makeStub(root, locate(root, '/a/s/t/file'), 'file');
    expect(stubs.map((stub) => stub.kind)).toEqual(['dir', 'dir', 'file']);
    expect(statSync(join(root, 'a')).mtimeMs).toBe(OLD * 1000);
    removeStubs(root, stubs);
    expect(existsSync(join(root, 'a/s'))).toBe(false);
    expect(statSync(join(root, 'a')).mtimeMs).toBe(OLD * 1000);
  });

  it('makeStub() keeps the setgid bit that a new directory inherits', () => {
    chmodSync(join(root, 'a'), 0o2775);
    makeStub(root, locate(root, '/a/s/t'), 'dir');
    expect(['s', 's/t'].map((path) => statSync(join(root, 'a', path)).mode & 0o7777)).toEqual([
      0o2755, 0o2755,
    ]);
  });

  it('removeStubs() keeps what has content when the step wrote there', () => {
    const stubs = makeStub(root, locate(root, '/a/s/file'), 'file');
    writeFileSync(join(root, 'a/s/other'), 'x');
    removeStubs(root, stubs);
    expect(existsSync(join(root, 'a/s/other'))).toBe(true);
    expect(existsSync(join(root, 'a/s/file'))).toBe(false);
  });

  it('removeStubs() follows no link that the step put in the place of a parent', () => {
    const outside = mkdtempSync(join(tmpdir(), 'ocibuild-outside-'));
    mkdirSync(join(outside, 't'));
    writeFileSync(join(outside, 'file'), '');
    const stubs = [
      ...makeStub(root, locate(root, '/a/s/t'), 'dir'),
      ...makeStub(root, locate(root, '/a/s/file'), 'file'),
    ];
    renameSync(join(root, 'a/s'), join(root, 'a/moved'));
    symlinkSync(outside, join(root, 'a/s'));
    removeStubs(root, stubs);
    expect(readdirSync(outside).sort()).toEqual(['file', 't']);
    expect(readlinkSync(join(root, 'a/s'))).toBe(outside);
    rmSync(outside, { recursive: true });
  });
});
