/** Thrown where a reader has fewer bits than were asked for; what was read since the last mark can be read again. */
export class OutOfBits extends Error {
  constructor() {
    super('Cannot read on: more input is needed');
    this.name = 'OutOfBits';
  }
}

/** Bits of a stream of bytes, most significant first. */
export interface BitReader {
  push(bytes: Uint8Array): void;
  /** @param count 1–24 @throws OutOfBits */
  bits(count: number): number;
  /** 32 bits, unsigned. @throws OutOfBits */
  word(): number;
  /** Skips to the next byte. */
  align(): void;
  /** Whole bytes that can be read. */
  available(): number;
  /** A place to come back to, until the next push. */
  mark(): BitMark;
  reset(mark: BitMark): void;
}

export interface BitMark {
  readonly at: number;
  readonly held: number;
  readonly count: number;
}

export function createBitReader(): BitReader {
  let buffer: Buffer = Buffer.alloc(0);
  /** The next byte to take. */
  let at = 0;
  /** Bits taken and not given yet, the lowest `count` of these. */
  let held = 0;
  let count = 0;

  function bits(wanted: number): number {
    while (count < wanted) {
      if (at >= buffer.length) throw new OutOfBits();
      held = (held << 8) | (buffer[at++] as number);
      count += 8;
    }
    count -= wanted;
    return (held >>> count) & ((1 << wanted) - 1);
  }

  return {
    push(bytes) {
      buffer = Buffer.concat([buffer.subarray(at), bytes]);
      at = 0;
    },
    bits,
    word: () => bits(16) * 0x10000 + bits(16),
    align() {
      count -= count & 7;
    },
    available: () => buffer.length - at + (count >>> 3),
    mark: () => ({ at, held, count }),
    reset(mark) {
      ({ at, held, count } = mark);
    },
  };
}
