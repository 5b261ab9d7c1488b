import { createRequire } from 'node:module';
import { getSystemErrorMessage, getSystemErrorName } from 'node:util';
import { OcibuildError } from '../errors/error.ts';
import { once } from '../util/once.ts';

/** A path for a syscall; a Buffer is taken as it is, without a NUL at its end. */
export type SysPath = string | Buffer;

/** Flags of mount(2), umount2(2), unshare(2), openat2(2) and the mount API, with the kernel's own names. */
export const SYS = {
  AT_FDCWD: -100,
  MS_RDONLY: 0x1,
  MS_NOSUID: 0x2,
  MS_NODEV: 0x4,
  MS_NOEXEC: 0x8,
  MS_REMOUNT: 0x20,
  MS_NOATIME: 0x400,
  MS_BIND: 0x1000,
  MS_MOVE: 0x2000,
  MS_REC: 0x4000,
  MS_PRIVATE: 0x40000,
  MS_SLAVE: 0x80000,
  MNT_DETACH: 0x2,
  CLONE_NEWNS: 0x20000,
  CLONE_NEWCGROUP: 0x2000000,
  CLONE_NEWUTS: 0x4000000,
  CLONE_NEWIPC: 0x8000000,
  CLONE_NEWUSER: 0x10000000,
  CLONE_NEWPID: 0x20000000,
  CLONE_NEWNET: 0x40000000,
  FSOPEN_CLOEXEC: 0x1,
  FSMOUNT_CLOEXEC: 0x1,
  FSCONFIG_SET_FLAG: 0,
  FSCONFIG_SET_STRING: 1,
  FSCONFIG_CMD_CREATE: 6,
  MOUNT_ATTR_RDONLY: 0x1,
  MOUNT_ATTR_NOSUID: 0x2,
  MOUNT_ATTR_NODEV: 0x4,
  MOUNT_ATTR_NOEXEC: 0x8,
  MOVE_MOUNT_F_EMPTY_PATH: 0x4,
  OPEN_TREE_CLONE: 0x1,
  OPEN_TREE_CLOEXEC: 0x80000,
  AT_RECURSIVE: 0x8000,
  AT_EMPTY_PATH: 0x1000,
  RESOLVE_NO_SYMLINKS: 0x4,
  RESOLVE_BENEATH: 0x8,
  RESOLVE_IN_ROOT: 0x10,
  O_PATH: 0x200000,
  S_IFCHR: 0x2000,
  S_IFBLK: 0x6000,
  S_IFIFO: 0x1000,
  PR_SET_PDEATHSIG: 1,
  PR_SET_CHILD_SUBREAPER: 36,
  PR_SET_NO_NEW_PRIVS: 38,
} as const;

/**
 * The Linux calls that node:fs lacks. All are synchronous and throw SYSCALL_FAILED with `details.errno`
 * (a name such as `EPERM`), or DISK_FULL. Namespace changes act on the calling thread only.
 */
export interface Sys {
  mount(options: {
    readonly source: string;
    readonly target: SysPath;
    readonly type?: string;
    readonly flags?: number;
    readonly data?: string;
  }): void;
  umount(target: SysPath, flags?: number): void;
  /** Gives a file descriptor of a new filesystem context. */
  fsopen(type: string): number;
  fsconfigString(fd: number, key: string, value: SysPath): void;
  fsconfigFlag(fd: number, key: string): void;
  fsconfigCreate(fd: number): void;
  /** Gives the descriptor of a detached mount; `attributes` are MOUNT_ATTR flags. */
  fsmount(fd: number, attributes?: number): number;
  /** Attaches a detached mount. */
  moveMount(fd: number, target: SysPath): void;
  /** Detached clone of a mount (`--bind`), with everything below where `recursive`. */
  cloneTree(path: SysPath, recursive: boolean): number;
  unshare(flags: number): void;
  setns(fd: number, flags: number): void;
  /** `type` is one of S_IFCHR, S_IFBLK, S_IFIFO; umask applies. */
  mknod(path: SysPath, node: { type: number; mode: number; major?: number; minor?: number }): void;
  /** The value's bytes; undefined where the attribute is not set or not supported. */
  lgetxattr(path: SysPath, name: string): Buffer | undefined;
  /** Names of all attributes, sorted; empty where the filesystem has none. */
  llistxattr(path: SysPath): readonly string[];
  lsetxattr(path: SysPath, name: string, value: Uint8Array): void;
  /** Sets both times without following a symlink. */
  lutimes(path: SysPath, time: { sec: number; nsec: number }): void;
  /** Gives a descriptor; `resolve` are RESOLVE flags. */
  openat2(dirFd: number, path: SysPath, how: { flags: number; mode?: number; resolve: number }): number;
  /** Hard link to the file behind a descriptor, for a caller that holds it open. */
  linkFd(fd: number, target: SysPath): void;
  /** Shares the extents of a whole file; false where the filesystem cannot. */
  ficlone(destFd: number, sourceFd: number): boolean;
  /** Copies inside the kernel; gives the bytes copied, 0 at the end, undefined where it is not supported. */
  copyFileRange(from: { fd: number; offset: number }, destFd: number, length: number): number | undefined;
  syncfs(fd: number): void;
  /** Unlocks the terminal of a /dev/ptmx descriptor and gives a descriptor of its other end. @see ioctl_tty(2) */
  ptyPeer(fd: number): number;
  /** Closes a descriptor that one of these calls gave: fs.closeSync warns about those inside a worker. */
  close(fd: number): void;
  prctl(option: number, value: number): void;
}

export type NativeCall = (...args: readonly unknown[]) => number;

/** A call that can also be made on another thread; errno is not to be had there. */
export interface KoffiCall extends NativeCall {
  async(...args: readonly [...unknown[], (error: Error | null, result: number) => void]): void;
}

export interface Koffi {
  load(path: null): { func(name: string, result: string, parameters: readonly string[]): KoffiCall };
  errno(): number;
}

const SYSCALL_NUMBERS = {
  openTree: 428,
  moveMount: 429,
  fsopen: 430,
  fsconfig: 431,
  fsmount: 432,
  openat2: 437,
};
const FICLONE = 0x40049409;
const TIOCSPTLCK = 0x40045431;
const TIOCGPTPEER = 0x5441;
const O_RDWR_NOCTTY_CLOEXEC = 0o2000402;
const XATTR_LIMIT = 65536;

/** The calls, loaded at first use (10 ms): nothing that may be answered from the cache should ask for them. */
export const sys: () => Sys = once(loadSys);

/** Name of an errno value, e.g. `EPERM`. */
function errnoName(errno: number): string {
  try {
    return getSystemErrorName(-errno);
  } catch {
    return `errno ${errno}`;
  }
}

function syscallError(call: string, errno: number, path: SysPath | undefined): OcibuildError {
  const name = errnoName(errno);
  const shown = path === undefined ? '' : ` "${path.toString()}"`;
  const details = { syscall: call, errno: name, ...(path === undefined ? {} : { path: path.toString() }) };
  if (name === 'ENOSPC' || name === 'EDQUOT') {
    return new OcibuildError('DISK_FULL', `Cannot ${call}${shown}: no space left on the device`, { details });
  }
  const reason = name.startsWith('errno') ? name : `${getSystemErrorMessage(-errno)} (${name})`;
  return new OcibuildError('SYSCALL_FAILED', `Cannot ${call}${shown}: ${reason}`, { details });
}

/** On any system. @throws where it is not installed */
export function koffiModule(): Koffi {
  return createRequire(import.meta.url)('koffi') as Koffi;
}

/** The module that calls libc, for calls of one use. @throws SYSCALL_FAILED where it is not installed */
export function loadKoffi(): Koffi {
  if (process.platform !== 'linux') {
    throw new OcibuildError(
      'SYSCALL_FAILED',
      `Cannot load system calls: "${process.platform}" is not Linux, and steps that run commands need Linux`,
    );
  }
  try {
    return koffiModule();
  } catch (cause) {
    throw new OcibuildError('SYSCALL_FAILED', 'Cannot load the native module "koffi"', {
      cause,
      hint: 'install ocibuild with its optional dependencies: npm install ocibuild',
    });
  }
}

function native(path: SysPath): string | Buffer {
  // A plain string goes through koffi's own UTF-8 conversion; bytes need their NUL added here.
  return typeof path === 'string' ? path : Buffer.concat([path, Buffer.of(0)]);
}

function loadSys(): Sys {
  const koffi = loadKoffi();
  // null gives the symbols of the running process, so glibc and musl need no name of their own.
  const libc = koffi.load(null);
  const str = 'const char *';
  const call = (name: string, ...parameters: string[]) => libc.func(name, 'int64_t', parameters);
  const syscall = (...parameters: string[]) => libc.func('syscall', 'int64_t', ['int64_t', ...parameters]);
  const check = (result: number, name: string, path?: SysPath): number => {
    if (result < 0) throw syscallError(name, koffi.errno(), path);
    return result;
  };
  return {
    ...mountCalls({ call, syscall, check, str }),
    ...xattrCalls({ call, check, str, errno: () => errnoName(koffi.errno()) }),
    ...fileCalls({ call, syscall, check, str, errno: () => errnoName(koffi.errno()) }),
  };
}

interface Binding {
  readonly call: (name: string, ...parameters: string[]) => NativeCall;
  readonly syscall: (...parameters: string[]) => NativeCall;
  readonly check: (result: number, name: string, path?: SysPath) => number;
  readonly str: string;
  readonly errno: () => string;
}

type MountCall =
  | 'mount'
  | 'umount'
  | 'fsopen'
  | 'fsconfigString'
  | 'fsconfigFlag'
  | 'fsconfigCreate'
  | 'fsmount'
  | 'moveMount'
  | 'cloneTree'
  | 'unshare'
  | 'setns'
  | 'prctl';
type XattrCall = 'lgetxattr' | 'llistxattr' | 'lsetxattr';

function mountCalls({ call, syscall, check, str }: Omit<Binding, 'errno'>): Pick<Sys, MountCall> {
  const mount = call('mount', str, str, str, 'uint64_t', str);
  const umount2 = call('umount2', str, 'int');
  const unshare = call('unshare', 'int');
  const setns = call('setns', 'int', 'int');
  const prctl = call('prctl', 'int', 'uint64_t', 'uint64_t', 'uint64_t', 'uint64_t');
  const fsopen = syscall(str, 'unsigned int');
  const fsconfig = syscall('int', 'unsigned int', str, str, 'int');
  const fsmount = syscall('int', 'unsigned int', 'unsigned int');
  const moveMount = syscall('int', str, 'int', str, 'unsigned int');
  const openTree = syscall('int', str, 'unsigned int');
  const number = SYSCALL_NUMBERS;
  const config = (fd: number, command: number, key: string | null, value: SysPath | null): void => {
    const text = value === null ? null : native(value);
    check(
      fsconfig(number.fsconfig, fd, command, key, text, 0),
      `configure mount option ${key ?? ''}`,
      value ?? '',
    );
  };
  return {
    mount({ source, target, type, flags = 0, data }) {
      check(mount(source, native(target), type ?? null, flags, data ?? null), 'mount', target);
    },
    umount(target, flags = 0) {
      check(umount2(native(target), flags), 'unmount', target);
    },
    fsopen: (type) => check(fsopen(number.fsopen, type, SYS.FSOPEN_CLOEXEC), 'open filesystem type', type),
    fsconfigString: (fd, key, value) => config(fd, SYS.FSCONFIG_SET_STRING, key, value),
    fsconfigFlag: (fd, key) => config(fd, SYS.FSCONFIG_SET_FLAG, key, null),
    fsconfigCreate: (fd) => config(fd, SYS.FSCONFIG_CMD_CREATE, null, null),
    fsmount: (fd, attributes = 0) =>
      check(fsmount(number.fsmount, fd, SYS.FSMOUNT_CLOEXEC, attributes), 'create a mount'),
    moveMount(fd, target) {
      const flags = SYS.MOVE_MOUNT_F_EMPTY_PATH;
      check(moveMount(number.moveMount, fd, '', SYS.AT_FDCWD, native(target), flags), 'mount', target);
    },
    cloneTree(path, recursive) {
      const flags = SYS.OPEN_TREE_CLONE | SYS.OPEN_TREE_CLOEXEC | (recursive ? SYS.AT_RECURSIVE : 0);
      return check(openTree(number.openTree, SYS.AT_FDCWD, native(path), flags), 'clone the mount', path);
    },
    unshare(flags) {
      check(unshare(flags), 'unshare namespaces');
    },
    setns(fd, flags) {
      check(setns(fd, flags), 'join a namespace');
    },
    prctl(option, value) {
      check(prctl(option, value, 0, 0, 0), `set process option ${option}`);
    },
  };
}

function xattrCalls({ call, check, str, errno }: Omit<Binding, 'syscall'>): Pick<Sys, XattrCall> {
  const lgetxattr = call('lgetxattr', str, str, 'void *', 'uint64_t');
  const llistxattr = call('llistxattr', str, 'void *', 'uint64_t');
  const lsetxattr = call('lsetxattr', str, str, 'const void *', 'uint64_t', 'int');
  // The kernel limits both a value and the list of names to 64 KiB (XATTR_SIZE_MAX, XATTR_LIST_MAX).
  const buffer = Buffer.alloc(XATTR_LIMIT);
  return {
    lgetxattr(path, name) {
      const length = lgetxattr(native(path), name, buffer, XATTR_LIMIT);
      if (length >= 0) return Buffer.from(buffer.subarray(0, length));
      if (['ENODATA', 'ENOTSUP', 'EOPNOTSUPP'].includes(errno())) return undefined;
      check(length, 'read an extended attribute of', path);
      return undefined;
    },
    llistxattr(path) {
      const length = llistxattr(native(path), buffer, XATTR_LIMIT);
      if (length === 0) return [];
      if (length > 0)
        return buffer
          .toString('utf8', 0, length - 1)
          .split('\0')
          .sort();
      if (['ENOTSUP', 'EOPNOTSUPP'].includes(errno())) return [];
      check(length, 'list extended attributes of', path);
      return [];
    },
    lsetxattr(path, name, value) {
      check(lsetxattr(native(path), name, value, value.length, 0), `set extended attribute ${name} of`, path);
    },
  };
}

function fileCalls({ call, syscall, check, str, errno }: Binding): Omit<Sys, MountCall | XattrCall> {
  const mknodatNumber = process.arch === 'arm64' ? 33 : 259;
  const mknodat = syscall('int', str, 'unsigned int', 'unsigned int');
  const utimensat = call('utimensat', 'int', str, 'const void *', 'int');
  const openat2 = syscall('int', str, 'const void *', 'uint64_t');
  const linkat = call('linkat', 'int', str, 'int', str, 'int');
  const ioctl = call('ioctl', 'int', 'uint64_t', 'int');
  const ioctlWith = call('ioctl', 'int', 'uint64_t', 'const void *');
  const copy = call('copy_file_range', 'int', 'void *', 'int', 'void *', 'uint64_t', 'unsigned int');
  const syncfs = call('syncfs', 'int');
  const close = call('close', 'int');
  const times = new BigInt64Array(4);
  const how = new BigUint64Array(3);
  const offset = new BigInt64Array(1);
  return {
    mknod(path, { type, mode, major = 0, minor = 0 }) {
      // The raw call: glibc before 2.33 exports no mknod, and the kernel takes its own 32-bit device form.
      const device = ((minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)) >>> 0;
      check(
        mknodat(mknodatNumber, SYS.AT_FDCWD, native(path), type | mode, device),
        'create device node',
        path,
      );
    },
    lutimes(path, { sec, nsec }) {
      times[0] = times[2] = BigInt(sec);
      times[1] = times[3] = BigInt(nsec);
      check(utimensat(SYS.AT_FDCWD, native(path), times, 0x100), 'set times of', path);
    },
    openat2(dirFd, path, { flags, mode = 0, resolve }) {
      how[0] = BigInt(flags | 0x80000);
      how[1] = BigInt(mode);
      how[2] = BigInt(resolve);
      return check(openat2(SYSCALL_NUMBERS.openat2, dirFd, native(path), how, 24), 'open', path);
    },
    linkFd(fd, target) {
      const followSymlink = 0x400;
      const from = `/proc/self/fd/${fd}`;
      check(
        linkat(SYS.AT_FDCWD, from, SYS.AT_FDCWD, native(target), followSymlink),
        'create hard link',
        target,
      );
    },
    ficlone: (destFd, sourceFd) => ioctl(destFd, FICLONE, sourceFd) >= 0,
    copyFileRange(from, destFd, length) {
      offset[0] = BigInt(from.offset);
      const copied = copy(from.fd, offset, destFd, null, length, 0);
      if (copied >= 0) return copied;
      if (['EXDEV', 'EINVAL', 'ENOSYS', 'EOPNOTSUPP', 'ENOTSUP'].includes(errno())) return undefined;
      return check(copied, 'copy a file range');
    },
    close(fd) {
      check(close(fd), 'close a descriptor');
    },
    ptyPeer(fd) {
      check(ioctlWith(fd, TIOCSPTLCK, Buffer.alloc(4)), 'unlock a terminal');
      return check(ioctl(fd, TIOCGPTPEER, O_RDWR_NOCTTY_CLOEXEC), 'open a terminal');
    },
    syncfs(fd) {
      check(syncfs(fd), 'flush the filesystem');
    },
  };
}
