import type { ImageFiles, Package } from '../types.ts';
import { parseStanzas } from './stanzas.ts';

const METADATA = /(?:^|\/)[^/]+\.(?:dist-info\/METADATA|egg-info\/PKG-INFO)$/;
/** `License:` may hold the whole text. */
const MAX_LICENCE = 100;

/** Python packages that an installer left its notes of. */
export function readPython(files: ImageFiles): Package[] {
  return files.paths.flatMap((path) => {
    const text = METADATA.test(path) ? files.read(path) : undefined;
    const pack = text === undefined ? undefined : parsePython(text, path);
    return pack ?? [];
  });
}

/** Reads the metadata of a package; undefined where it names none. @see Python core metadata 2.4 */
export function parsePython(text: string, foundIn: string): Package | undefined {
  const [fields] = parseStanzas(text);
  const first = (field: string): string | undefined => {
    const value = fields?.get(field)?.[0];
    return value === '' || value === 'UNKNOWN' ? undefined : value;
  };
  const [name, version] = [first('name'), first('version')];
  if (name === undefined || version === undefined) return undefined;
  const licence = first('license-expression') ?? first('license');
  const [supplier, homepage, description] = [first('author'), first('home-page'), first('summary')];
  return {
    // PEP 503: these are one name.
    ...{ type: 'pypi', name: name.toLowerCase().replace(/[-_.]+/g, '-'), version, foundIn },
    licenses:
      licence === undefined || licence.length > MAX_LICENCE || licence.includes('\n') ? [] : [licence],
    ...(supplier === undefined ? {} : { supplier }),
    ...(homepage === undefined ? {} : { homepage }),
    ...(description === undefined ? {} : { description }),
  };
}
