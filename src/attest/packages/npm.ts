import type { ImageFiles, Package } from '../types.ts';

/** The manifest of a package that something installed, and of nothing that lies deeper in it. */
const MANIFEST = /(?:^|\/)node_modules\/((?:@[^/]+\/)?[^/@][^/]*)\/package\.json$/;

/** Files of images are anybody's: the expression below looks at each bracket to the end of the text. */
const MAX_AUTHOR = 500;

/** Packages below any `node_modules`; what npm noted at the install adds checksums. */
export function readNpm(files: ImageFiles): Package[] {
  const locks = new Map<string, Checksums>();
  return files.paths.flatMap((path) => {
    const match = MANIFEST.exec(path);
    if (match === null) return [];
    const text = files.read(path);
    const pack = text === undefined ? undefined : parseNpm(text, path);
    if (pack === undefined) return [];
    const top = path.slice(0, path.indexOf('node_modules/'));
    const lock = locks.get(top) ?? readLock(files.read(`${top}node_modules/.package-lock.json`));
    locks.set(top, lock);
    const checksums = lock.get(path.slice(top.length, -'/package.json'.length));
    return [checksums === undefined ? pack : { ...pack, checksums }];
  });
}

/** Reads a package.json; undefined where it names no package. */
export function parseNpm(text: string, foundIn: string): Package | undefined {
  const json = parseObject(text);
  const { name, version } = json;
  if (typeof name !== 'string' || typeof version !== 'string' || name === '' || version === '')
    return undefined;
  const [homepage, description] = [textOf(json.homepage), textOf(json.description)];
  const supplier = authorOf(json.author);
  return {
    ...{ type: 'npm', name, version, foundIn, licenses: licencesOf(json) },
    ...(supplier === undefined ? {} : { supplier }),
    ...(homepage === undefined ? {} : { homepage }),
    ...(description === undefined ? {} : { description }),
  };
}

/** `license: "MIT"`, and the older `{ type }` and lists of these. */
function licencesOf({ license, licenses }: Readonly<Record<string, unknown>>): string[] {
  const all = [license, licenses].flat();
  return all.flatMap(
    (one) => textOf(one) ?? textOf((one as { type?: unknown } | null | undefined)?.type) ?? [],
  );
}

function authorOf(author: unknown): string | undefined {
  const text = textOf(author) ?? textOf((author as { name?: unknown } | null | undefined)?.name);
  if (text === undefined || text.length > MAX_AUTHOR) return undefined;
  // `Name <mail> (url)`
  return text.replace(/\s*\([^)]*\)\s*$/, '') || undefined;
}

type Checksums = ReadonlyMap<string, Readonly<Record<string, string>>>;

/** The lock file that npm keeps beside what it installed: path → checksum of the archive. */
function readLock(text: string | undefined): Checksums {
  const packages = text === undefined ? undefined : parseObject(text).packages;
  if (typeof packages !== 'object' || packages === null) return new Map();
  return new Map(
    Object.entries(packages).flatMap(([path, about]) => {
      const [, base64] =
        /^sha512-([\w+/]+=*)$/.exec(textOf((about as { integrity?: unknown } | null)?.integrity) ?? '') ?? [];
      return base64 === undefined ? [] : [[path, { SHA512: Buffer.from(base64, 'base64').toString('hex') }]];
    }),
  );
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

/** Files of an image may be broken; one that is tells of nothing. */
function parseObject(text: string): Readonly<Record<string, unknown>> {
  try {
    const json: unknown = JSON.parse(text.replace(/^\uFEFF/, ''));
    return typeof json === 'object' && json !== null ? (json as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
