import { mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { isOcibuildError, OcibuildError } from '../errors/error.ts';
import { SYS, sys } from '../layer/sys.ts';
import { errnoOf } from '../util/atomic-fs.ts';

/** An overlay to mount; `lower` is given base first. Without `upper` it is read-only and needs two lowers. */
export interface OverlayMount {
  readonly target: string;
  readonly lower: readonly string[];
  readonly upper?: string;
  readonly work?: string;
  readonly rootless: boolean;
  /** Made when paths are too long for the kernel's options: short links to them. */
  readonly linkDir: string;
}

/** A value of fsconfig(2) ends at 255 bytes, all options of mount(2) together at 4,095. */
const MAX_VALUE_BYTES = 255;
const MAX_OPTIONS_BYTES = 4095;
/** What keeps an upper a plain list of changes; kernels that do not know one of them have it off anyway. */
function plainUpper(rootless: boolean): string[] {
  // `off` means "follow what is there", which `userxattr` refuses; that option turns redirects off by itself.
  return rootless ? ['index', 'metacopy'] : ['index', 'metacopy', 'redirect_dir'];
}

/**
 * Mounts an overlay in the calling thread's mount namespace.
 * @throws OVERLAY_UNAVAILABLE
 */
export function mountOverlay(asked: OverlayMount): void {
  const mount = { ...asked, lower: topmost(asked.lower) };
  try {
    // `volatile`: no syncfs at unmount (8–10 times quicker), fsync costs nothing inside the step.
    for (const attempt of [
      () => mountByContext(mount, true),
      () => mountByContext(mount, false),
      () => mountByOptions(mount, true),
      () => mountByOptions(mount, false),
    ]) {
      if (attempt()) return;
    }
  } catch (cause) {
    throw unavailable(cause);
  }
  mountPlain(mount);
}

/** overlayfs refuses a layer that is there twice (ELOOP); what a lower one of two does, the higher does as well. */
function topmost(lower: readonly string[]): string[] {
  return lower.filter((dir, i) => lower.lastIndexOf(dir) === i);
}

/** The mount API of Linux 5.2 with one `lowerdir+` a layer (6.7): no limit on the number of layers. */
function mountByContext(mount: OverlayMount, isVolatile: boolean): boolean {
  const calls = sys();
  const short = linkMaker(mount.linkDir, MAX_VALUE_BYTES);
  let context: number | undefined;
  let detached: number | undefined;
  try {
    context = calls.fsopen('overlay');
    calls.fsconfigString(context, 'source', 'overlay');
    for (const dir of mount.lower.toReversed()) calls.fsconfigString(context, 'lowerdir+', short(dir));
    if (mount.upper !== undefined && mount.work !== undefined) {
      calls.fsconfigString(context, 'upperdir', escapeBackslash(short(mount.upper)));
      calls.fsconfigString(context, 'workdir', escapeBackslash(short(mount.work)));
      for (const option of plainUpper(mount.rootless))
        ignoreUnknown(() => calls.fsconfigString(context ?? -1, option, 'off'));
      if (isVolatile) calls.fsconfigFlag(context, 'volatile');
    }
    if (mount.rootless) calls.fsconfigFlag(context, 'userxattr');
    calls.fsconfigCreate(context);
    detached = calls.fsmount(context);
    calls.moveMount(detached, mount.target);
    return true;
  } catch (error) {
    if (isRefused(error)) return false;
    throw error;
  } finally {
    if (detached !== undefined) calls.close(detached);
    if (context !== undefined) calls.close(context);
  }
}

/** mount(2), for kernels before 6.7. */
function mountByOptions(mount: OverlayMount, isVolatile: boolean): boolean {
  try {
    mountWith(mount, [
      ...plainUpper(mount.rootless).map((option) => `${option}=off`),
      ...(isVolatile ? ['volatile'] : []),
    ]);
    return true;
  } catch (error) {
    if (isRefused(error)) return false;
    throw error;
  }
}

/** Without any option that an old kernel may not know. */
function mountPlain(mount: OverlayMount): void {
  try {
    mountWith(mount, []);
  } catch (cause) {
    throw unavailable(cause);
  }
}

function mountWith(mount: OverlayMount, upperOptions: readonly string[]): void {
  const build = (short: (path: string) => string): string => {
    const lower = mount.lower.toReversed().map((dir) => escapeOption(short(dir)));
    const options = [`lowerdir=${lower.join(':')}`];
    if (mount.upper !== undefined && mount.work !== undefined) {
      options.push(
        `upperdir=${escapeOption(short(mount.upper))}`,
        `workdir=${escapeOption(short(mount.work))}`,
      );
      options.push(...upperOptions);
    }
    if (mount.rootless) options.push('userxattr');
    return options.join(',');
  };
  const plain = build((path) => path);
  const data = Buffer.byteLength(plain) > MAX_OPTIONS_BYTES ? build(linkMaker(mount.linkDir, 0)) : plain;
  sys().mount({ source: 'overlay', target: mount.target, type: 'overlay', data });
}

/** Unmounts; what is still in use goes as soon as its last user does. */
export function unmount(target: string): void {
  try {
    sys().umount(target);
  } catch (error) {
    if (syscallErrno(error) !== 'EBUSY') throw error;
    sys().umount(target, SYS.MNT_DETACH);
  }
}

/** Where something is mounted at or below a directory, what was mounted last first. @see proc_pid_mountinfo(5) */
export function mountsBelow(dir: string, mountinfo: string): readonly string[] {
  const points = mountinfo.split('\n').map((line) => {
    const [, , , , point = ''] = line.split(' ');
    return point.replace(/\\(\d{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
  });
  return points.filter((point) => point === dir || point.startsWith(`${dir}/`)).toReversed();
}

/** Binds a directory in the calling thread's mount namespace. */
export function bindMount(source: string, target: string): void {
  sys().mount({ source, target, flags: SYS.MS_BIND | SYS.MS_REC });
}

/** Name of the errno of a failed system call, `''` for any other error. */
export function syscallErrno(error: unknown): string {
  if (isOcibuildError(error)) return String(error.details.errno ?? '');
  return errnoOf(error) ?? '';
}

function linkMaker(dir: string, limit: number): (path: string) => string {
  let count = 0;
  return (path) => {
    if (Buffer.byteLength(path) <= limit) return path;
    mkdirSync(dir, { recursive: true });
    for (;;) {
      const link = join(dir, String(count++));
      try {
        symlinkSync(path, link);
        return link;
      } catch (error) {
        // A link of an earlier attempt.
        if (syscallErrno(error) !== 'EEXIST') throw error;
      }
    }
  };
}

function isRefused(error: unknown): boolean {
  return ['EINVAL', 'ENOSYS', 'EOPNOTSUPP', 'ENOTSUP'].includes(syscallErrno(error));
}

function ignoreUnknown(set: () => void): void {
  try {
    set();
  } catch (error) {
    if (!isRefused(error)) throw error;
  }
}

function escapeBackslash(path: string): string {
  return path.replaceAll('\\', '\\\\');
}

function escapeOption(path: string): string {
  return path.replace(/[\\,:]/g, '\\$&');
}

function unavailable(cause: unknown): OcibuildError {
  if (isOcibuildError(cause) && cause.code === 'DISK_FULL') return cause;
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new OcibuildError('OVERLAY_UNAVAILABLE', `Cannot mount the root of a step: ${reason}`, {
    cause,
    hint: 'put the store on ext4, XFS or btrfs with --root, on a kernel with overlayfs (5.11 or later without root)',
  });
}
