import type { ImageFiles, Package } from '../types.ts';

/** Alpine has moved the file; both places are read. */
const DATABASES = ['lib/apk/db/installed', 'usr/lib/apk/db/installed'];

/** Packages that apk has installed. */
export function readApk(files: ImageFiles): Package[] {
  for (const path of DATABASES) {
    const text = files.read(path);
    // One may be a link to the other.
    if (text !== undefined) return parseApk(text, path);
  }
  return [];
}

/** Reads apk's database: one letter, a colon and the value on each line, an empty line after each package. */
export function parseApk(text: string, foundIn: string): Package[] {
  return text.split(/\n\s*\n/).flatMap((block): Package[] => {
    const fields = new Map<string, string>();
    for (const line of block.split('\n')) {
      const [, letter, value] = /^([A-Za-z]):(.*)$/.exec(line) ?? [];
      // The same letters mean something else below the first directory (`F:`).
      if (letter === 'F') break;
      if (letter !== undefined && value !== undefined) fields.set(letter, value.trim());
    }
    const first = (letter: string): string | undefined => fields.get(letter) || undefined;
    const [name, version, licence, origin] = [first('P'), first('V'), first('L'), first('o')];
    if (name === undefined || version === undefined) return [];
    const [architecture, supplier, homepage, description] = [first('A'), first('m'), first('U'), first('T')];
    return [
      {
        ...{ type: 'apk', name, version, foundIn, licenses: licence === undefined ? [] : [licence] },
        ...(architecture === undefined ? {} : { architecture }),
        ...(origin === undefined ? {} : { source: { name: origin } }),
        ...(supplier === undefined ? {} : { supplier }),
        ...(homepage === undefined ? {} : { homepage }),
        ...(description === undefined ? {} : { description }),
      },
    ];
  });
}
