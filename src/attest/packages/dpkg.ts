import type { ImageFiles, Package } from '../types.ts';
import { parseStanzas } from './stanzas.ts';

const STATUS = 'var/lib/dpkg/status';
/** One file for each package, where an image is put together without dpkg. */
const STATUS_DIR = /^var\/lib\/dpkg\/status\.d\/[^/]+$/;

/** Packages that dpkg knows as installed; licences from their copyright files. */
export function readDpkg(files: ImageFiles): Package[] {
  const places = [
    STATUS,
    ...files.paths.filter((path) => STATUS_DIR.test(path) && !path.endsWith('.md5sums')),
  ];
  return places.flatMap((path) => {
    const text = files.read(path);
    return text === undefined ? [] : parseDpkg(text, path, (name) => licencesOf(name, files));
  });
}

/** Reads a dpkg status file. A package that was removed keeps its block as long as its settings are there. */
export function parseDpkg(
  text: string,
  foundIn: string,
  licences: (name: string) => readonly string[] = () => [],
): Package[] {
  return parseStanzas(text).flatMap((fields): Package[] => {
    const first = (name: string): string | undefined => fields.get(name)?.[0] || undefined;
    const [name, version, status] = [first('package'), first('version'), first('status')];
    if (name === undefined || version === undefined) return [];
    if (status !== undefined && !/ installed$/.test(status)) return [];
    const [architecture, source] = [first('architecture'), readSource(first('source'))];
    const [supplier, homepage] = [first('maintainer'), first('homepage')];
    const description = first('description')?.split('\n')[0];
    return [
      {
        ...{ type: 'deb', name, version, foundIn, licenses: licences(name) },
        ...(architecture === undefined ? {} : { architecture }),
        ...(source === undefined ? {} : { source }),
        ...(supplier === undefined ? {} : { supplier }),
        ...(homepage === undefined ? {} : { homepage }),
        ...(description === undefined ? {} : { description }),
      },
    ];
  });
}

/** `glibc (2.36-9)` */
function readSource(text: string | undefined): Package['source'] {
  const [, name, version] = /^(\S+)(?:\s+\(([^)]+)\))?$/.exec(text ?? '') ?? [];
  if (name === undefined) return undefined;
  return version === undefined ? { name } : { name, version };
}

function licencesOf(name: string, files: ImageFiles): string[] {
  const text = files.read(`usr/share/doc/${name}/copyright`);
  return text === undefined ? [] : parseCopyright(text);
}

/**
 * Short names of the licences in a machine-readable copyright file, each once; other files are prose.
 * @see Debian DEP-5
 */
export function parseCopyright(text: string): string[] {
  if (!/^format(?:-specification)?:/i.test(text.trimStart())) return [];
  const names = parseStanzas(text).flatMap((fields) =>
    (fields.get('license') ?? []).map((value) => value.split('\n')[0]?.trim() ?? ''),
  );
  return [...new Set(names.filter((name) => name !== ''))].sort();
}
