import { OcibuildError } from '../../errors/error.ts';
import { loadKoffi } from '../../layer/sys.ts';

// netdevice(7), and the two calls of the old bridge interface that need no netlink.
const AF_INET = 2;
const SOCK_DGRAM_CLOEXEC = 0o2000002;
const SIOCGIFFLAGS = 0x8913;
const SIOCSIFFLAGS = 0x8914;
const SIOCBRDELBR = 0x89a1;
const IFF_UP = 1;
const IFREQ_SIZE = 40;
const FLAGS_OFFSET = 16;

/** Sets a network interface of the calling thread's namespace up or down. @throws SYSCALL_FAILED */
export function setLink(name: string, up: boolean): void {
  withSocket((ioctl) => {
    const request = Buffer.alloc(IFREQ_SIZE);
    request.write(name, 'latin1');
    ioctl(SIOCGIFFLAGS, request, name);
    const flags = request.readInt16LE(FLAGS_OFFSET);
    request.writeInt16LE(up ? flags | IFF_UP : flags & ~IFF_UP, FLAGS_OFFSET);
    ioctl(SIOCSIFFLAGS, request, name);
  });
}

/** Removes a bridge that has nothing attached. @throws SYSCALL_FAILED */
export function removeBridge(name: string): void {
  setLink(name, false);
  withSocket((ioctl) => ioctl(SIOCBRDELBR, Buffer.from(`${name}\0`), name));
}

type Ioctl = (request: number, data: Buffer, link: string) => void;

function withSocket(use: (ioctl: Ioctl) => void): void {
  const koffi = loadKoffi();
  const libc = koffi.load(null);
  const openSocket = libc.func('socket', 'int', ['int', 'int', 'int']);
  const call = libc.func('ioctl', 'int', ['int', 'uint64_t', 'void *']);
  const check = (result: number, link: string): number => {
    if (result >= 0) return result;
    throw new OcibuildError(
      'SYSCALL_FAILED',
      `Cannot change the network interface "${link}": error ${koffi.errno()}`,
      { details: { errno: koffi.errno() } },
    );
  };
  const fd = check(openSocket(AF_INET, SOCK_DGRAM_CLOEXEC, 0), 'lo');
  const close = libc.func('close', 'int', ['int']);
  try {
    use((request, data, link) => void check(call(fd, request, data), link));
  } finally {
    // Not fs.closeSync: inside a worker it warns about a descriptor that Node did not open.
    close(fd);
  }
}
