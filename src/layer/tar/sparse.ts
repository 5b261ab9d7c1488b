import { BLOCK } from './tar-header.ts';
import { invalidLayer, parseDecimal, parseNumber } from './tar-numbers.ts';

/** Where the stored bytes of a sparse member belong; in order, what lies between reads as zeros. */
export interface SparseMap {
  /** Bytes of the whole file. */
  readonly size: number;
  readonly parts: readonly SparsePart[];
}

export interface SparsePart {
  readonly offset: number;
  readonly length: number;
}

/** What a header says of a sparse member. `map` undefined: the map stands at the beginning of the content. */
export interface SparseHeader {
  readonly size: number;
  readonly name?: Buffer;
  readonly map?: SparseMap;
  /** Old GNU format: blocks with more parts follow the header. */
  readonly extended?: boolean;
}

/** A map is text or blocks in front of the data; this many parts are some megabytes of it. */
const MAX_PARTS = 1 << 18;
const ZEROS = 1 << 16;

type Records = (key: string) => Buffer | undefined;

/** @see GNU tar manual, "Storing Sparse Files" @throws LAYER_INVALID */
export function sparseHeader(flag: string, block: Buffer, record: Records): SparseHeader | undefined {
  if (flag === 'S') {
    const size = parseNumber(block, 483, 12);
    return { size, map: { size, parts: oldParts(block, 386, 4) }, extended: block[482] === 1 };
  }
  const name = record('GNU.sparse.name');
  const named = name === undefined ? {} : { name };
  if (record('GNU.sparse.major')?.toString('latin1') === '1') {
    return { size: numberOf(record, 'GNU.sparse.realsize'), ...named };
  }
  const listed = record('GNU.sparse.map')?.toString('latin1').split(',');
  const offsets = record('GNU.sparse.offset')?.toString('latin1').split(',');
  if (listed === undefined && offsets === undefined) return undefined;
  const lengths = record('GNU.sparse.numbytes')?.toString('latin1').split(',') ?? [];
  const numbers = listed ?? offsets?.flatMap((offset, i) => [offset, lengths[i] ?? '']) ?? [];
  const size = numberOf(record, 'GNU.sparse.size');
  return { size, ...named, map: { size, parts: partsOf(numbers) } };
}

/** A further block of parts in the old GNU format; `more`: another one follows. */
export function sparseBlock(map: SparseMap, block: Buffer): { map: SparseMap; more: boolean } {
  const parts = [...map.parts, ...oldParts(block, 0, 21)];
  if (parts.length > MAX_PARTS) throw invalidLayer('a sparse file has too many parts');
  return { map: { ...map, parts }, more: block[504] === 1 };
}

/** Turns the stored bytes of a sparse member into the content of the file. */
export interface SparseExpander {
  push(bytes: Buffer): void;
  /** The zeros at the end. @throws LAYER_INVALID where stored bytes are missing */
  end(): void;
}

/** @param emit gets the content in order; the buffer is valid during the call only */
export function createSparseExpander(header: SparseHeader, emit: (bytes: Buffer) => void): SparseExpander {
  let text: MapText | undefined = header.map === undefined ? createMapText(header.size) : undefined;
  let map = header.map === undefined ? undefined : checkMap(header.map);
  const zeros = Buffer.alloc(ZEROS);
  let written = 0;
  let index = 0;
  let left = 0;

  function fill(until: number): void {
    while (written < until) {
      const count = Math.min(ZEROS, until - written);
      emit(zeros.subarray(0, count));
      written += count;
    }
  }

  function data(bytes: Buffer, parts: readonly SparsePart[]): void {
    for (let at = 0; at < bytes.length; ) {
      while (left === 0) {
        const part = parts[index++];
        if (part === undefined) throw invalidLayer('a sparse file has more content than its map tells');
        fill(part.offset);
        left = part.length;
      }
      const count = Math.min(left, bytes.length - at);
      emit(bytes.subarray(at, at + count));
      at += count;
      left -= count;
      written += count;
    }
  }

  return {
    push(bytes) {
      let rest = bytes;
      if (text !== undefined) {
        const done = text.push(bytes);
        if (done === undefined) return;
        map = checkMap(done.map);
        rest = done.rest;
        text = undefined;
      }
      data(rest, map?.parts ?? []);
    },
    end() {
      if (map === undefined) throw invalidLayer('a sparse file ends inside its map');
      if (left > 0 || map.parts.slice(index).some(({ length }) => length > 0)) {
        throw invalidLayer('a sparse file has less content than its map tells');
      }
      fill(map.size);
    },
  };
}

interface MapText {
  push(bytes: Buffer): { readonly map: SparseMap; readonly rest: Buffer } | undefined;
}

/** PAX format 1.0: decimal lines (a count, then offset and length of each part), padded to a block. */
function createMapText(size: number): MapText {
  let held: Buffer = Buffer.alloc(0);
  return {
    push(bytes) {
      held = Buffer.concat([held, bytes]);
      const numbers: string[] = [];
      let at = 0;
      for (let wanted = 1; numbers.length < wanted; ) {
        const end = held.indexOf(0x0a, at);
        if (end === -1) {
          if (held.length > MAX_PARTS * 48) throw invalidLayer('a sparse file has too many parts');
          return undefined;
        }
        numbers.push(held.toString('latin1', at, end));
        at = end + 1;
        if (numbers.length === 1) wanted += 2 * countOf(numbers[0]);
      }
      const start = Math.ceil(at / BLOCK) * BLOCK;
      if (held.length < start) return undefined;
      return { map: { size, parts: partsOf(numbers.slice(1)) }, rest: held.subarray(start) };
    },
  };
}

function countOf(text: string | undefined): number {
  const count = /^\d{1,9}$/.test(text ?? '') ? Number(text) : MAX_PARTS + 1;
  if (count > MAX_PARTS) throw invalidLayer('the map of a sparse file has no usable number of parts');
  return count;
}

function partsOf(numbers: readonly string[]): SparsePart[] {
  if (numbers.length > 2 * MAX_PARTS) throw invalidLayer('a sparse file has too many parts');
  const parts: SparsePart[] = [];
  for (let i = 0; i + 1 < numbers.length; i += 2) {
    const [offset, length] = [numbers[i], numbers[i + 1]].map((text) => {
      if (!/^\d{1,16}$/.test(text ?? '')) throw invalidLayer('the map of a sparse file holds no number');
      return Number(text);
    });
    parts.push({ offset: offset ?? 0, length: length ?? 0 });
  }
  return parts;
}

function oldParts(block: Buffer, start: number, count: number): SparsePart[] {
  const parts: SparsePart[] = [];
  for (let i = 0; i < count; i++) {
    const at = start + i * 24;
    if (block[at] === 0 && block[at + 12] === 0) break;
    parts.push({ offset: parseNumber(block, at, 12), length: parseNumber(block, at + 12, 12) });
  }
  return parts;
}

function checkMap(map: SparseMap): SparseMap {
  let end = 0;
  for (const { offset, length } of map.parts) {
    if (offset < end || length < 0 || offset + length > map.size) {
      throw invalidLayer('the map of a sparse file is out of order or leads past its end');
    }
    end = offset + length;
  }
  return map;
}

function numberOf(record: Records, key: string): number {
  const value = record(key);
  const number = value === undefined ? -1 : parseDecimal(value, key);
  if (number < 0) throw invalidLayer(`a sparse file has no usable "${key}"`);
  return number;
}
