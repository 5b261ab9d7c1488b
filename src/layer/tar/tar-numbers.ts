import { OcibuildError } from '../../errors/error.ts';
import { BLOCK } from './tar-header.ts';

/** @see image-spec layer.md; every fault of an archive from outside comes as this. */
export function invalidLayer(what: string, details: Readonly<Record<string, unknown>> = {}): OcibuildError {
  return new OcibuildError('LAYER_INVALID', `Cannot read the layer archive: ${what}`, { details });
}

/** A numeric field: octal text, or GNU's base-256 where the first bit is set. */
export function parseNumber(block: Buffer, at: number, length: number): number {
  const first = block[at] as number;
  return first & 0x80 ? parseBase256(block, at, length) : parseOctal(block, at, length);
}

/** True when the sum of the header's bytes is what it says; old tars summed signed bytes. */
export function checksumMatches(block: Buffer): boolean {
  let unsigned = 8 * 0x20;
  let signed = unsigned;
  for (let i = 0; i < BLOCK; i++) {
    if (i >= 148 && i < 156) continue;
    const byte = block[i] as number;
    unsigned += byte;
    signed += byte < 0x80 ? byte : byte - 0x100;
  }
  const stored = parseOctal(block, 148, 8);
  return stored === unsigned || stored === signed;
}

export function isZeroBlock(block: Buffer): boolean {
  for (let i = 0; i < BLOCK; i++) if (block[i] !== 0) return false;
  return true;
}

/** Text field up to its first NUL. */
export function fieldBytes(block: Buffer, at: number, length: number): Buffer {
  const end = block.indexOf(0, at);
  return block.subarray(at, end === -1 || end > at + length ? at + length : end);
}

/** GNU tar's first sparse format in PAX repeats these for each part; joined by commas here. */
const SPARSE_LISTS: readonly string[] = ['GNU.sparse.offset', 'GNU.sparse.numbytes'];
const COMMA = Buffer.from(',');

/** Records of a PAX header; a value may hold any bytes. @see POSIX pax §pax Header Block */
export function parseRecords(data: Buffer): Map<string, Buffer> {
  const records = new Map<string, Buffer>();
  const lists = new Map<string, Buffer[]>();
  for (let at = 0; at < data.length; ) {
    const space = data.indexOf(0x20, at);
    const digits = space === -1 ? '' : data.toString('latin1', at, Math.min(space, at + 20));
    const end = at + Number(digits);
    if (!/^[1-9][0-9]{0,9}$/.test(digits) || end > data.length || end < space + 3 || data[end - 1] !== 0x0a) {
      throw invalidLayer(`a PAX header holds a damaged record at byte ${at}`);
    }
    const equals = data.indexOf(0x3d, space);
    if (equals === -1 || equals >= end - 1) throw invalidLayer(`a PAX record at byte ${at} has no "="`);
    const key = data.toString('utf8', space + 1, equals);
    const value = data.subarray(equals + 1, end - 1);
    records.set(key, value);
    if (SPARSE_LISTS.includes(key)) {
      const list = lists.get(key);
      if (list === undefined) lists.set(key, [value]);
      else list.push(COMMA, value);
    }
    at = end;
  }
  // Joined once: a megabyte of records has tens of thousands of them.
  for (const [key, list] of lists) records.set(key, Buffer.concat(list));
  return records;
}

/** A decimal value of a PAX record, which may carry a fraction. */
export function parseDecimal(value: Buffer, key: string): number {
  const text = value.toString('latin1');
  const number = /^-?[0-9]{1,20}(\.[0-9]*)?$/.test(text) ? Math.floor(Number(text)) : Number.NaN;
  if (!Number.isSafeInteger(number)) throw invalidLayer(`the PAX record "${key}" holds no usable number`);
  return number;
}

function parseOctal(block: Buffer, at: number, length: number): number {
  let value = 0;
  let digits = 0;
  for (let i = at; i < at + length; i++) {
    const byte = block[i] as number;
    if (byte === 0x20 && digits === 0) continue;
    if (byte === 0 || byte === 0x20) break;
    if (byte < 0x30 || byte > 0x37) throw invalidLayer('a header holds a number that is not octal');
    value = value * 8 + byte - 0x30;
    digits++;
  }
  return value;
}

function parseBase256(block: Buffer, at: number, length: number): number {
  const negative = ((block[at] as number) & 0x40) !== 0;
  let value = negative ? ((block[at] as number) | 0x80) - 0x100 : (block[at] as number) & 0x7f;
  for (let i = at + 1; i < at + length; i++) value = value * 256 + (block[i] as number);
  if (!Number.isSafeInteger(value)) throw invalidLayer('a header holds a number beyond 2^53');
  return value;
}
