import { closeSync, openSync, readSync } from 'node:fs';

/** How the programs of an architecture begin. @see elf(5), `e_ident` and `e_machine` */
interface ElfKind {
  /** As image configs name it. */
  readonly architecture: string;
  readonly bits: 32 | 64;
  readonly bigEndian?: boolean;
  readonly machine: number;
  /** In the name of its emulator: `qemu-aarch64`. */
  readonly qemu: string;
}

const KINDS: readonly ElfKind[] = [
  { architecture: 'amd64', bits: 64, machine: 0x3e, qemu: 'x86_64' },
  { architecture: '386', bits: 32, machine: 0x03, qemu: 'i386' },
  { architecture: 'arm64', bits: 64, machine: 0xb7, qemu: 'aarch64' },
  { architecture: 'arm', bits: 32, machine: 0x28, qemu: 'arm' },
  { architecture: 'riscv64', bits: 64, machine: 0xf3, qemu: 'riscv64' },
  { architecture: 'ppc64le', bits: 64, machine: 0x15, qemu: 'ppc64le' },
  { architecture: 'ppc64', bits: 64, bigEndian: true, machine: 0x15, qemu: 'ppc64' },
  { architecture: 's390x', bits: 64, bigEndian: true, machine: 0x16, qemu: 's390x' },
  { architecture: 'loong64', bits: 64, machine: 0x102, qemu: 'loongarch64' },
  { architecture: 'mips64le', bits: 64, machine: 0x08, qemu: 'mips64el' },
  { architecture: 'mips64', bits: 64, bigEndian: true, machine: 0x08, qemu: 'mips64' },
  { architecture: 'mipsle', bits: 32, machine: 0x08, qemu: 'mipsel' },
  { architecture: 'mips', bits: 32, bigEndian: true, machine: 0x08, qemu: 'mips' },
];

/** What processors of one architecture also execute by themselves. */
const ALSO_NATIVE: Readonly<Record<string, string>> = { amd64: '386', arm64: 'arm', ppc64: 'ppc64le' };

/** How the names of our handlers begin: those of the machine are called otherwise. */
export const OWN_PREFIX = 'ocibuild-';

const MAGIC = [0x7f, 0x45, 0x4c, 0x46];
const HEADER_BYTES = 20;
/** A whole header of a 64-bit program. */
const WHOLE_HEADER_BYTES = 64;
const PROGRAM_INTERPRETER = 3;

/** An architecture that programs may be for, and the emulator that runs them. */
export interface Emulated {
  readonly architecture: string;
  readonly qemu: string;
}

/** Every architecture that this machine may need an emulator for. `native` as image configs name it. */
export function foreignArchitectures(native: string): readonly Emulated[] {
  return KINDS.filter(({ architecture }) => !isNative(architecture, native));
}

export function isNative(architecture: string, native: string): boolean {
  return architecture === native || ALSO_NATIVE[native] === architecture;
}

/** The architecture that a program is for; undefined for what is no ELF program or of an unknown machine. */
export function architectureOf(header: Buffer): string | undefined {
  if (header.length < HEADER_BYTES || MAGIC.some((byte, i) => header[i] !== byte)) return undefined;
  const bits = header[4] === 2 ? 64 : 32;
  const bigEndian = header[5] === 2;
  const machine = bigEndian ? header.readUInt16BE(18) : header.readUInt16LE(18);
  return KINDS.find(
    (kind) => kind.machine === machine && kind.bits === bits && (kind.bigEndian === true) === bigEndian,
  )?.architecture;
}

/**
 * A line for binfmt_misc's `register`: programs of the architecture go to `interpreter`, which is opened now (F), so
 * that it is found in every root; argv[0] and setuid bits are kept (P, O, C).
 * @see Documentation/admin-guide/binfmt-misc.rst
 */
export function registerLine({ architecture, qemu }: Emulated, interpreter: string): string {
  const kind = KINDS.find((each) => each.architecture === architecture);
  if (kind === undefined) throw new RangeError(`Cannot emulate "${architecture}"`);
  const { bits, bigEndian = false, machine } = kind;
  const short = (value: number): number[] =>
    bigEndian ? [value >> 8, value & 0xff] : [value & 0xff, value >> 8];
  const ident = [...MAGIC, bits === 64 ? 2 : 1, bigEndian ? 2 : 1, 1, 0, ...Array<number>(8).fill(0)];
  // Any ABI; executables and position-independent ones.
  const mask = [
    ...Array<number>(7).fill(0xff),
    0,
    ...Array<number>(8).fill(0xff),
    ...short(0xfffe),
    0xff,
    0xff,
  ];
  const hex = (bytes: readonly number[]): string =>
    bytes.map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('');
  return `:${OWN_PREFIX}${qemu}:M::${hex([...ident, ...short(2), ...short(machine)])}:${hex(mask)}:${interpreter}:POCF`;
}

/** The first bytes of a file; fewer where it is shorter. */
export function readHead(path: string, bytes = 4096): Buffer {
  const fd = openSync(path, 'r');
  try {
    const buffer = Buffer.alloc(bytes);
    return buffer.subarray(0, readSync(fd, buffer, 0, bytes, 0));
  } finally {
    closeSync(fd);
  }
}

/** Whether a 64-bit program of this machine needs a loader and libraries, which a container does not have. */
export function isDynamic(head: Buffer): boolean {
  if (head.length < WHOLE_HEADER_BYTES || architectureOf(head) === undefined) return true;
  if (head[4] !== 2 || head[5] !== 1) return true;
  const offset = Number(head.readBigUInt64LE(32));
  const [size, count] = [head.readUInt16LE(54), head.readUInt16LE(56)];
  for (let i = 0, at = offset; i < count && at + 4 <= head.length; i++, at += size) {
    if (head.readUInt32LE(at) === PROGRAM_INTERPRETER) return true;
  }
  return false;
}
