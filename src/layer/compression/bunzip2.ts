import { invalidLayer } from '../tar/tar-numbers.ts';
import { type BitReader, createBitReader, OutOfBits } from './bit-reader.ts';

const STREAM_MAGIC = 0x425a68;
const BLOCK_MAGIC = [0x314159, 0x265359] as const;
const END_MAGIC = [0x177245, 0x385090] as const;
/** A block of level 9 seldom takes more than this once compressed, so it is mostly decoded in one go. */
const FIRST_NEED = 1 << 20;
/** More than any block can take: 900,000 symbols of 20 bits, and its tables. */
const MAX_NEED = 4 << 20;
const OUTPUT_CHUNK = 1 << 18;
const GROUP_SIZE = 50;
const MAX_CODE_LENGTH = 20;

/**
 * Decompresses bzip2 streams, one after the other as `bzip2 -d` does. Memory does not grow with the data: a block is
 * decoded when the reader of the output asks for it.
 * @throws LAYER_INVALID
 */
export async function* bunzip2(source: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  const input = createBitReader();
  const state: StreamState = { level: 0, running: 0, begun: false };
  let need = FIRST_NEED;
  const decode = function* (ended: boolean): Generator<Buffer> {
    while (ended || input.available() >= need) {
      const mark = input.mark();
      try {
        const part = nextPart(input, state);
        need = FIRST_NEED;
        if (part === 'end') return;
        if (part !== 'header') yield* expandRuns(part);
      } catch (error) {
        if (!(error instanceof OutOfBits)) throw error;
        if (ended || need >= MAX_NEED) throw invalidLayer('its bzip2 data ends too early');
        input.reset(mark);
        need *= 2;
      }
    }
  };
  for await (const chunk of source) {
    input.push(chunk);
    yield* decode(false);
  }
  yield* decode(true);
}

interface StreamState {
  /** Hundreds of thousands of bytes in a block; 0 between streams. */
  level: number;
  /** CRC over the CRCs of the blocks. */
  running: number;
  /** A stream was seen: what follows that is none is ignored, as bzip2 itself does. */
  begun: boolean;
}

interface Block {
  /** The Burrows-Wheeler transform undone: the next index in the upper 24 bits, a byte in the lower 8. */
  readonly table: Uint32Array;
  readonly length: number;
  readonly origin: number;
  readonly randomised: boolean;
  readonly crc: number;
}

function nextPart(input: BitReader, state: StreamState): Block | 'header' | 'end' {
  if (state.level === 0) {
    input.align();
    if (state.begun && input.available() < 4) return 'end';
    if (input.bits(24) !== STREAM_MAGIC) {
      if (state.begun) return 'end';
      throw invalidLayer('it is no bzip2 data');
    }
    const level = input.bits(8) - 0x30;
    if (level < 1 || level > 9) throw invalidLayer('its bzip2 header names no block size');
    Object.assign(state, { level, running: 0, begun: true });
    return 'header';
  }
  const magic = [input.bits(24), input.bits(24)];
  const crc = input.word();
  if (magic[0] === END_MAGIC[0] && magic[1] === END_MAGIC[1]) {
    if (crc !== state.running) throw invalidLayer('its bzip2 checksum is wrong');
    state.level = 0;
    return 'header';
  }
  if (magic[0] !== BLOCK_MAGIC[0] || magic[1] !== BLOCK_MAGIC[1]) {
    throw invalidLayer('a bzip2 block has no header');
  }
  const block = readBlock(input, state.level * 100_000, crc);
  state.running = (((state.running << 1) | (state.running >>> 31)) ^ crc) >>> 0;
  return block;
}

function readBlock(input: BitReader, capacity: number, crc: number): Block {
  const randomised = input.bits(1) === 1;
  const origin = input.bits(24);
  const bytes = readUsedBytes(input);
  const groups = input.bits(3);
  const selectorCount = input.bits(15);
  if (groups < 2 || groups > 6 || selectorCount === 0) throw invalidLayer('a bzip2 block has no code tables');
  const selectors = readSelectors(input, groups, selectorCount);
  const codes = Array.from({ length: groups }, () => readCode(input, bytes.length + 2));
  const { table, length } = readSymbols(input, { capacity, bytes, selectors, codes });
  if (origin >= length) throw invalidLayer('a bzip2 block begins outside of itself');
  return { table, length, origin, randomised, crc };
}

function readUsedBytes(input: BitReader): number[] {
  const ranges = input.bits(16);
  const bytes: number[] = [];
  for (let i = 0; i < 16; i++) {
    if ((ranges & (0x8000 >> i)) === 0) continue;
    const used = input.bits(16);
    for (let j = 0; j < 16; j++) if (used & (0x8000 >> j)) bytes.push(i * 16 + j);
  }
  if (bytes.length === 0) throw invalidLayer('a bzip2 block uses no bytes');
  return bytes;
}

function readSelectors(input: BitReader, groups: number, count: number): Uint8Array {
  const order = [0, 1, 2, 3, 4, 5].slice(0, groups);
  const selectors = new Uint8Array(count);
  for (let i = 0; i < count; i++) {
    let at = 0;
    while (input.bits(1) === 1) if (++at >= groups) throw invalidLayer('a bzip2 block selects no code table');
    const [selected = 0] = order.splice(at, 1);
    order.unshift(selected);
    selectors[i] = selected;
  }
  return selectors;
}

/** A canonical Huffman code, to be read bit by bit from the shortest length on. */
interface Code {
  readonly shortest: number;
  /** By length: the highest code, or -1. */
  readonly limit: Int32Array;
  /** By length: what to take from a code to get its place in `symbols`. */
  readonly base: Int32Array;
  readonly symbols: Uint16Array;
}

function readCode(input: BitReader, count: number): Code {
  const lengths = new Uint8Array(count);
  let length = input.bits(5);
  for (let i = 0; i < count; i++) {
    for (;;) {
      if (length < 1 || length > MAX_CODE_LENGTH) throw invalidLayer('a bzip2 code is too long');
      if (input.bits(1) === 0) break;
      length += input.bits(1) === 0 ? 1 : -1;
    }
    lengths[i] = length;
  }
  const limit = new Int32Array(MAX_CODE_LENGTH + 1).fill(-1);
  const base = new Int32Array(MAX_CODE_LENGTH + 1);
  const symbols = new Uint16Array(count);
  let shortest = 0;
  let next = 0;
  let placed = 0;
  for (let bits = 1; bits <= MAX_CODE_LENGTH; bits++, next <<= 1) {
    base[bits] = next - placed;
    for (let symbol = 0; symbol < count; symbol++) {
      if (lengths[symbol] !== bits) continue;
      symbols[placed++] = symbol;
      limit[bits] = next++;
      if (shortest === 0) shortest = bits;
    }
  }
  return { shortest, limit, base, symbols };
}

function readSymbol(input: BitReader, { shortest, limit, base, symbols }: Code): number {
  let code = input.bits(shortest);
  for (let bits = shortest; bits <= MAX_CODE_LENGTH; bits++) {
    if (code <= (limit[bits] as number)) return symbols[code - (base[bits] as number)] ?? 0;
    code = (code << 1) | input.bits(1);
  }
  throw invalidLayer('a bzip2 block holds no such code');
}

interface SymbolTables {
  readonly capacity: number;
  readonly bytes: readonly number[];
  readonly selectors: Uint8Array;
  readonly codes: readonly Code[];
}

/** Huffman codes, runs of the front byte and moves to the front; then the transform's links. */
function readSymbols(
  input: BitReader,
  { capacity, bytes, selectors, codes }: SymbolTables,
): { table: Uint32Array; length: number } {
  const table = new Uint32Array(capacity);
  const counts = new Uint32Array(256);
  const front = Uint8Array.from(bytes);
  const end = bytes.length + 1;
  let length = 0;
  let run = 0;
  let weight = 1;
  let selector = 0;
  let left = 0;
  let code = codes[0] as Code;
  for (;;) {
    if (left === 0) {
      if (selector >= selectors.length) throw invalidLayer('a bzip2 block has too few code tables');
      code = codes[selectors[selector++] as number] as Code;
      left = GROUP_SIZE;
    }
    left--;
    const symbol = readSymbol(input, code);
    if (symbol <= 1) {
      run += weight << symbol;
      weight <<= 1;
      if (run > capacity) throw invalidLayer('a bzip2 block is longer than its stream allows');
      continue;
    }
    if (run > 0) {
      if (length + run > capacity) throw invalidLayer('a bzip2 block is longer than its stream allows');
      const byte = front[0] as number;
      table.fill(byte, length, length + run);
      counts[byte] = (counts[byte] as number) + run;
      length += run;
      run = 0;
      weight = 1;
    }
    if (symbol === end) break;
    if (length >= capacity) throw invalidLayer('a bzip2 block is longer than its stream allows');
    const byte = front[symbol - 1] as number;
    front.copyWithin(1, 0, symbol - 1);
    front[0] = byte;
    table[length++] = byte;
    counts[byte] = (counts[byte] as number) + 1;
  }
  linkRows(table, length, counts);
  return { table, length };
}

function linkRows(table: Uint32Array, length: number, counts: Uint32Array): void {
  const starts = new Uint32Array(256);
  for (let byte = 0, sum = 0; byte < 256; byte++) {
    starts[byte] = sum;
    sum += counts[byte] as number;
  }
  for (let i = 0; i < length; i++) {
    const byte = (table[i] as number) & 0xff;
    const at = starts[byte] as number;
    starts[byte] = at + 1;
    table[at] = ((table[at] as number) | (i << 8)) >>> 0;
  }
}

/** Walks the transform's links and undoes the first step of the encoder: four equal bytes are followed by a count. */
function* expandRuns({ table, length, origin, randomised, crc }: Block): Generator<Buffer> {
  // Encoders since 1.0 (2000) never set it.
  if (randomised) throw invalidLayer('its bzip2 blocks are randomised, as only bzip2 before 1.0 wrote them');
  let output = Buffer.allocUnsafe(OUTPUT_CHUNK);
  let at = 0;
  let sum = 0xffffffff;
  let next = (table[origin] as number) >>> 8;
  let last = -1;
  let equal = 0;
  for (let i = 0; i < length; i++) {
    const entry = table[next] as number;
    const byte = entry & 0xff;
    next = entry >>> 8;
    let repeat = 1;
    let value = byte;
    if (equal === 4) {
      repeat = byte;
      value = last;
      equal = 0;
    } else {
      equal = byte === last ? equal + 1 : 1;
      last = byte;
    }
    for (; repeat > 0; repeat--) {
      if (at === OUTPUT_CHUNK) {
        yield output;
        output = Buffer.allocUnsafe(OUTPUT_CHUNK);
        at = 0;
      }
      output[at++] = value;
      sum = ((sum << 8) ^ (CRC_TABLE[((sum >>> 24) ^ value) & 0xff] as number)) >>> 0;
    }
  }
  if (~sum >>> 0 !== crc) throw invalidLayer('a bzip2 block has the wrong checksum');
  if (at > 0) yield output.subarray(0, at);
}

/** CRC-32 with the most significant bit first, unlike gzip's. */
const CRC_TABLE: Uint32Array = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 24;
  for (let bit = 0; bit < 8; bit++) crc = crc & 0x80000000 ? (crc << 1) ^ 0x04c11db7 : crc << 1;
  return crc >>> 0;
});
