import type { ImageFiles, Package } from '../types.ts';

/** Names of sections and the module list of the largest programs are far below. */
const MAX_BYTES = 1 << 20;
const MAX_SECTIONS = 1000;
const SECTION = '.go.buildinfo\0';
const MAGIC = '\xff Go buildinf:';
const HEADER_BYTES = 32;
const INLINE_STRINGS = 2;
/** What the linker puts on both sides of the module list. */
const SENTINEL_BYTES = 16;

/** Modules that Go programs say they were built from. */
export function readGo(files: ImageFiles): Package[] {
  return files.executables.flatMap((path) => {
    const read: ReadPart = (offset, length) => files.readPart(path, offset, length);
    const section = buildInfoSection(read);
    return section === undefined ? [] : parseBuildInfo(section, path);
  });
}

type ReadPart = (offset: number, length: number) => Buffer | undefined;

/** The section `.go.buildinfo` of an ELF file. @see elf(5) */
function buildInfoSection(read: ReadPart): Buffer | undefined {
  const head = read(0, 64);
  if (head === undefined || head.toString('latin1', 0, 4) !== '\x7fELF') return undefined;
  const [wide, little] = [head[4] === 2, head[5] === 1];
  const u16 = (at: number): number => (little ? head.readUInt16LE(at) : head.readUInt16BE(at));
  const word = (from: Buffer, at: number): number => (little ? from.readUInt32LE(at) : from.readUInt32BE(at));
  const address = (from: Buffer, at: number): number => {
    if (!wide) return word(from, at);
    return Number(little ? from.readBigUInt64LE(at) : from.readBigUInt64BE(at));
  };
  const [size, count, names] = wide ? [u16(58), u16(60), u16(62)] : [u16(46), u16(48), u16(50)];
  if (count === 0 || count > MAX_SECTIONS || names >= count || size < (wide ? 64 : 40)) return undefined;
  const table = read(address(head, wide ? 40 : 32), size * count);
  if (table === undefined) return undefined;
  const contentOf = (index: number): Buffer | undefined => {
    const at = index * size;
    const length = address(table, at + (wide ? 32 : 20));
    return length > MAX_BYTES ? undefined : read(address(table, at + (wide ? 24 : 16)), length);
  };
  const texts = contentOf(names);
  if (texts === undefined) return undefined;
  for (let index = 0; index < count; index++) {
    const start = word(table, index * size);
    if (texts.toString('latin1', start, start + SECTION.length) === SECTION) return contentOf(index);
  }
  return undefined;
}

/** Reads what Go 1.18 and later write. @see debug/buildinfo of Go */
export function parseBuildInfo(data: Buffer, foundIn: string): Package[] {
  if (data.length < HEADER_BYTES || data.toString('latin1', 0, MAGIC.length) !== MAGIC) return [];
  if (((data[15] ?? 0) & INLINE_STRINGS) === 0) return [];
  const version = readString(data, HEADER_BYTES);
  const list = version === undefined ? undefined : readString(data, version.end);
  const toolchain = /^go(\d[^\s]*)/.exec(version?.text.toString('latin1') ?? '')?.[1];
  const packages = list === undefined ? [] : parseModules(list.text);
  if (toolchain !== undefined) packages.push({ name: 'stdlib', version: toolchain });
  return packages.map((one): Package => ({ type: 'golang', ...one, licenses: [], foundIn }));
}

interface Module {
  readonly name: string;
  readonly version: string;
}

/** Lines of `dep`, name, version and hash; `=>` says what stands in for the line before. */
function parseModules(text: Buffer): Module[] {
  const modules: Module[] = [];
  for (const line of text.subarray(SENTINEL_BYTES, -SENTINEL_BYTES).toString('utf8').split('\n')) {
    const [kind, name = '', version = ''] = line.split('\t');
    if (kind === '=>') modules.pop();
    if (kind !== '=>' && kind !== 'dep' && kind !== 'mod') continue;
    modules.push({ name, version });
  }
  // What was built from a work tree has no version.
  return modules.filter(({ name, version }) => name !== '' && version !== '' && version !== '(devel)');
}

/** A length in groups of seven bits, lowest first, and so many bytes. */
function readString(data: Buffer, from: number): { text: Buffer; end: number } | undefined {
  let length = 0;
  let at = from;
  for (let shift = 0; shift <= 28; shift += 7) {
    const byte = data[at++];
    if (byte === undefined) return undefined;
    length += (byte & 0x7f) * 2 ** shift;
    if (byte < 0x80) {
      return at + length > data.length
        ? undefined
        : { text: data.subarray(at, at + length), end: at + length };
    }
  }
  return undefined;
}
