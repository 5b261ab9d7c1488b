import { lstatSync, mkdirSync, openSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { SYS, sys } from '../../../src/layer/sys.ts';
import { createScratch } from '../../support/layers.ts';

describe('sys()', () => {
  it('gives the same calls when asked again', () => expect(sys()).toBe(sys()));

  it('throws SYSCALL_FAILED with the name of the errno when a call fails', () => {
    expect(() => sys().lgetxattr('/nowhere', 'user.x')).toThrow(
      expect.objectContaining({
        code: 'SYSCALL_FAILED',
        details: { syscall: 'read an extended attribute of', errno: 'ENOENT', path: '/nowhere' },
      }),
    );
  });

  it('keeps attribute bytes when paths are text or bytes', () => {
    using scratch = createScratch();
    const path = Buffer.concat([Buffer.from(scratch.path('f')), Buffer.of(0xff)]);
    writeFileSync(path, '');
    sys().lsetxattr(path, 'user.b', Buffer.of(0, 255, 128));
    sys().lsetxattr(path, 'user.a', Buffer.alloc(0));
    expect(sys().llistxattr(path)).toEqual(['user.a', 'user.b']);
    expect(sys().lgetxattr(path, 'user.b')).toEqual(Buffer.of(0, 255, 128));
    expect(sys().lgetxattr(path, 'user.none')).toBeUndefined();
  });

  it('makes FIFOs and sets times before 1970 when node:fs cannot', () => {
    using scratch = createScratch();
    const path = scratch.path('pipe');
    sys().mknod(path, { type: SYS.S_IFIFO, mode: 0o600 });
    sys().lutimes(path, { sec: -10, nsec: 500_000_000 });
    expect(lstatSync(path).isFIFO()).toBe(true);
    expect(lstatSync(path).mtimeMs).toBe(-9500);
  });

  it('openat2() stays below a directory when a symlink is absolute', () => {
    using scratch = createScratch();
    mkdirSync(scratch.path('etc'));
    writeFileSync(scratch.path('etc/passwd'), 'inner');
    symlinkSync('/etc/passwd', scratch.path('link'));
    const root = openSync(scratch.dir, 'r');
    const fd = sys().openat2(root, 'link', { flags: 0, resolve: SYS.RESOLVE_IN_ROOT });
    expect(readFileSync(fd, 'utf8')).toBe('inner');
    sys().close(fd);
    sys().close(root);
  });

  it('copyFileRange() gives the bytes copied when it ends', () => {
    using scratch = createScratch();
    writeFileSync(scratch.path('a'), 'hello');
    const [from, to] = [openSync(scratch.path('a'), 'r'), openSync(scratch.path('b'), 'w')];
    expect(sys().copyFileRange({ fd: from, offset: 1 }, to, 100)).toBe(4);
    expect(sys().copyFileRange({ fd: from, offset: 5 }, to, 100)).toBe(0);
    expect(readFileSync(scratch.path('b'), 'utf8')).toBe('ello');
    for (const fd of [from, to]) sys().close(fd);
  });
});
