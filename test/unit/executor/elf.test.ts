import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { handles, parseHandler } from '../../../src/executor/binfmt.ts';
import {
  architectureOf,
  foreignArchitectures,
  isDynamic,
  isNative,
  readHead,
  registerLine,
} from '../../../src/executor/elf.ts';
import { tempDir } from '../exporter/fixture.ts';

/** The first 64 bytes of a program. */
function program(bits: 1 | 2, order: 1 | 2, machine: number, type = 2): Buffer {
  const head = Buffer.alloc(64);
  Buffer.from([0x7f, 0x45, 0x4c, 0x46, bits, order, 1]).copy(head);
  const write = (value: number, at: number) =>
    order === 1 ? head.writeUInt16LE(value, at) : head.writeUInt16BE(value, at);
  write(type, 16);
  write(machine, 18);
  return head;
}

/** What the kernel makes of a line for `register`. */
function entryOf(line: string): string {
  const [, name, , offset, magic = '', mask = '', interpreter, flags] = line.split(':');
  const hex = (text: string) => text.replaceAll('\\x', '');
  expect(name).toMatch(/^ocibuild-/);
  return `enabled\ninterpreter ${interpreter}\nflags: ${flags}\noffset ${offset || 0}\nmagic ${hex(magic)}\nmask ${hex(mask)}\n`;
}

const ARM64 = program(2, 1, 0xb7);

describe('architectureOf()', () => {
  it('tells programs apart by size, byte order and machine', () => {
    expect(architectureOf(ARM64)).toBe('arm64');
    expect(architectureOf(program(2, 1, 0x3e))).toBe('amd64');
    expect(architectureOf(program(1, 1, 0x03))).toBe('386');
    expect(architectureOf(program(2, 2, 0x16))).toBe('s390x');
    expect(architectureOf(program(2, 1, 0x15))).toBe('ppc64le');
    expect(architectureOf(program(2, 2, 0x15))).toBe('ppc64');
    expect(architectureOf(program(1, 1, 0x3e))).toBeUndefined();
    expect(architectureOf(Buffer.from('#!/bin/sh\n'))).toBeUndefined();
    expect(architectureOf(ARM64.subarray(0, 19))).toBeUndefined();
  });
});

describe('foreignArchitectures()', () => {
  it('leaves out what the processor runs by itself', () => {
    const foreign = foreignArchitectures('amd64').map(({ architecture }) => architecture);
    expect(foreign).toContain('arm64');
    expect(foreign).not.toContain('386');
    expect(foreign).not.toContain('amd64');
    expect(isNative('386', 'amd64')).toBe(true);
    expect(isNative('amd64', '386')).toBe(false);
  });
});

describe('registerLine()', () => {
  it.each([
    ['arm64', 'aarch64', ARM64],
    ['s390x', 's390x', program(2, 2, 0x16)],
    ['loong64', 'loongarch64', program(2, 1, 0x102, 3)],
  ])('hands programs for %s to the emulator, and no others', (architecture, qemu, head) => {
    const line = registerLine({ architecture, qemu }, '/usr/bin/emulator');
    const handler = parseHandler('x', entryOf(line));
    if (handler === undefined) throw new Error('The line makes no entry');
    expect(handler).toMatchObject({ interpreter: '/usr/bin/emulator', isFixed: true });
    expect(handles(handler, head)).toBe(true);
    expect(handles(handler, program(1, 1, 0x28))).toBe(false);
    const abi = Buffer.from(head);
    abi[7] = 3;
    expect(handles(handler, abi)).toBe(true);
  });
});

describe('parseHandler()', () => {
  it('skips entries that are off or that go by file names', () => {
    expect(parseHandler('x', 'disabled\ninterpreter /x\nflags: \noffset 0\nmagic 7f45\n')).toBeUndefined();
    expect(parseHandler('x', 'enabled\ninterpreter /x\nflags: \nextension .py\n')).toBeUndefined();
  });

  it('takes the whole magic where there is no mask, at its offset', () => {
    const handler = parseHandler('x', 'enabled\ninterpreter /x\nflags: \noffset 2\nmagic 4c46\n');
    if (handler === undefined) throw new Error('The entry was not read');
    expect(handler.isFixed).toBe(false);
    expect(handles(handler, ARM64)).toBe(true);
    expect(handles(handler, Buffer.from('4c46', 'hex'))).toBe(false);
  });
});

describe('isDynamic()', () => {
  it('knows this Node from a program without a loader', () => {
    expect(isDynamic(readHead(process.execPath))).toBe(true);
    expect(isDynamic(ARM64)).toBe(false);
    for (const bytes of [20, 40, 55, 63]) expect(isDynamic(ARM64.subarray(0, bytes))).toBe(true);
    const file = join(tempDir(), 'text');
    writeFileSync(file, 'no program');
    expect(readHead(file).toString()).toBe('no program');
    expect(isDynamic(readHead(file))).toBe(true);
  });
});
