/** The root file system of the image `base`: busybox and a few files with odd owners, modes and links. */
import { readFile, writeFile } from 'node:fs/promises';
import { packFiles } from '../context.ts';
import type { ContextFile } from '../types.ts';

const APPLETS =
  'ash basename cat chgrp chmod chown cp cut date dd dirname echo env false find grep gzip head hostname id install ln ls mkdir mkfifo mknod mktemp mv nproc pwd readlink rm rmdir sed sh sleep sort stat tail tar test touch tr true tty uname wc xargs';

const PASSWD = `root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/false
www-data:x:33:33:www-data:/var/www:/bin/false
app:x:1000:1000:app:/home/app:/bin/sh
other:x:1001:2000:primary group differs:/home/other:/bin/sh
nohome:x:1002:1002:::/bin/sh
`;

const GROUP = `root:x:0:
daemon:x:1:
tty:x:5:app
audio:x:29:app,other
www-data:x:33:
app:x:1000:
nohome:x:1002:
staff:x:2000:
`;

/**
 * Writes the archive that `base/Dockerfile` adds. The busybox must be static, since the image holds no libraries; it
 * may differ between machines, which is why expected results leave its bytes out.
 */
export async function writeRootfs(dest: string, options: { busybox: string }): Promise<void> {
  await writeFile(dest, await packFiles(rootfs(await readFile(options.busybox))));
}

function rootfs(busybox: Buffer): ContextFile[] {
  const dirs = 'bin dev etc home opt proc srv sys usr usr/bin usr/lib64 usr/local usr/local/bin var var/lib';
  return [
    ...dirs.split(' ').map((path) => ({ path, dir: true })),
    { path: 'bin/busybox', base64: busybox.toString('base64'), mode: '755' },
    ...APPLETS.split(' ').map((name) => ({ path: `bin/${name}`, symlink: 'busybox' })),
    { path: 'etc/passwd', content: PASSWD },
    { path: 'etc/group', content: GROUP },
    { path: 'etc/base.conf', content: 'key=value\n', mode: '640', gid: 33 },
    { path: 'home/app', dir: true, mode: '750', uid: 1000, gid: 1000 },
    { path: 'home/app/notes.txt', content: 'notes\n', mode: '600', uid: 1000, gid: 1000 },
    { path: 'root', dir: true, mode: '700' },
    { path: 'tmp', dir: true, mode: '1777' },
    { path: 'srv/data', dir: true },
    { path: 'srv/data/keep.txt', content: 'keep\n' },
    { path: 'data', symlink: '/srv/data' },
    { path: 'reldata', symlink: 'srv/data' },
    { path: 'lib64', symlink: 'usr/lib64' },
    { path: 'usr/lib64/libdemo.so', content: 'not a library\n' },
    { path: 'opt/tool', dir: true, mode: '2750', uid: 33, gid: 33 },
    { path: 'opt/tool/run', content: '#!/bin/sh\necho tool\n', mode: '4755', uid: 33, gid: 33 },
    { path: 'opt/tool/conf', dir: true, mode: '700', uid: 33, gid: 33 },
    { path: 'opt/tool/conf/a', content: 'a\n', mode: '400', uid: 33, gid: 33 },
    { path: 'opt/tool/conf/b', content: 'b\n', mode: '400', uid: 33, gid: 33 },
    { path: 'opt/link-file', symlink: 'tool/run' },
    { path: 'opt/dangling', symlink: '/nowhere/target' },
    { path: 'opt/hard1', content: 'hard\n' },
    { path: 'opt/hard2', hardlink: 'opt/hard1' },
    { path: 'var/lib/app', dir: true, mode: '770', uid: 1000, gid: 1000 },
    { path: 'var/lib/app/state', content: 'state\n', mode: '640', uid: 1000, gid: 1000 },
  ];
}
