import { resolve } from 'node:path';
import { readContextInput } from '../../build/inputs/context-input.ts';
import { splitCsv } from '../../util/csv.ts';
import { splitAt } from '../flags/parse-args.ts';
import { csvLine, type FlagValues } from './config-values.ts';

/** Attributes of these flags that are paths. */
const PATH_ATTRIBUTES: Readonly<Record<string, readonly string[]>> = {
  secret: ['src', 'source'],
  output: ['dest'],
  'cache-from': ['src'],
  'cache-to': ['dest'],
};

/** Paths of a config file are relative to it, those of a command line to the directory of whoever calls. */
export function relocate(flags: FlagValues, dir: string): FlagValues {
  return new Map(
    [...flags].map(([name, value]): [string, boolean | string | readonly string[]] => {
      if (typeof value === 'boolean') return [name, value];
      return [
        name,
        typeof value === 'string' ? moved(name, value, dir) : value.map((each) => moved(name, each, dir)),
      ];
    }),
  );
}

/** A context of a config file: a directory as an absolute path, anything else as it is. */
export function relocateContext(text: string, dir: string): string {
  if (/^(oci-layout|docker-image):\/\//.test(text))
    return text.replace(/^oci-layout:\/\/(?!\/)/, `oci-layout://${dir}/`);
  const input = readContextInput(text, { cwd: dir, named: true });
  return input.type === 'directory' ? input.dir : text;
}

function moved(name: string, value: string, dir: string): string {
  switch (name) {
    case 'file':
      return value === '-' ? value : resolve(dir, value);
    case 'iidfile':
    case 'metadata-file':
      return resolve(dir, value);
    case 'build-context': {
      const [key, text] = splitAt(value, '=');
      return text ? `${key}=${relocateContext(text, dir)}` : value;
    }
    case 'export-on-failure': {
      const at = value.lastIndexOf('=');
      return at < 0 ? value : `${value.slice(0, at + 1)}${withEnd(value.slice(at + 1), dir)}`;
    }
    case 'ssh': {
      const [id, paths] = splitAt(value, '=');
      return paths
        ? `${id}=${paths
            .split(',')
            .map((path) => resolve(dir, path))
            .join(',')}`
        : value;
    }
    default:
      return movedAttributes(name, value, dir);
  }
}

/** `DIR/` stays one. */
function withEnd(path: string, dir: string): string {
  return `${resolve(dir, path)}${path.endsWith('/') ? '/' : ''}`;
}

function movedAttributes(name: string, value: string, dir: string): string {
  const paths = PATH_ATTRIBUTES[name];
  if (paths === undefined) return value;
  // A bare output is a directory.
  if (name === 'output' && !value.includes('=')) return value === '-' ? value : resolve(dir, value);
  const fields = splitCsv(value);
  // What cannot be read is told of by whoever reads it.
  if (fields === undefined) return value;
  return csvLine(
    fields.map((field) => {
      const [key, path] = splitAt(field, '=');
      return paths.includes(key) && path && path !== '-' ? `${key}=${resolve(dir, path)}` : field;
    }),
  );
}
