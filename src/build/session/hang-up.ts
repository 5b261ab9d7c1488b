import { loadKoffi } from '../../layer/sys.ts';

const POLLERR_OR_HUP = 0x18;

/** Tells whether the other end of a descriptor is gone. @see poll(2) */
export function hangUpCheck(): (fd: number) => boolean {
  try {
    const poll = loadKoffi().load(null).func('poll', 'int', ['void *', 'unsigned long', 'int']);
    const request = Buffer.alloc(8);
    return (fd) => {
      request.writeInt32LE(fd, 0);
      request.writeUInt32LE(0, 4);
      return poll(request, 1, 0) > 0 && (request.readUInt16LE(6) & POLLERR_OR_HUP) !== 0;
    };
  } catch {
    // Another system: the next line that is written tells.
    return () => false;
  }
}
