import { join, resolve } from 'node:path';
import type { MountRequest } from '../../build/containers/types.ts';
import { OcibuildError } from '../../errors/error.ts';
import { goBool } from '../../util/go-bool.ts';
import { parseAttributes } from '../flags/csv.ts';

const VOLUME_NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]*$/;
/** What SELinux and macOS ask for changes nothing here. */
const IDLE_OPTIONS = ['rw', 'z', 'Z', 'cached', 'delegated', 'consistent'];

/** `SRC:DST[:ro]` or `DST`; a SRC that has a slash or begins with a dot is a directory, else the name of a volume. @throws USAGE_INVALID */
export function parseVolume(text: string, cwd: string): MountRequest {
  const parts = text.split(':');
  const [source, destination, options = ''] = parts.length === 1 ? [undefined, text] : parts;
  const words = options.split(',').filter((word) => word !== '');
  const unknown = words.find((word) => word !== 'ro' && !IDLE_OPTIONS.includes(word));
  if (parts.length > 3 || source === '' || unknown !== undefined) {
    const why = unknown === undefined ? 'expected SRC:DST or SRC:DST:ro' : `there is no option "${unknown}"`;
    throw invalid('-v', text, why);
  }
  const [target, readonly] = [targetOf('-v', text, destination), words.includes('ro')];
  if (source === undefined) return { type: 'volume', target, readonly };
  if (source.includes('/') || source.startsWith('.')) {
    return { type: 'bind', source: resolve(cwd, source), target, readonly, create: true };
  }
  return { type: 'volume', name: volumeName('-v', text, source), target, readonly };
}

const SOURCE = ['source', 'src'];
const TARGET = ['target', 'dst', 'destination'];
const READONLY = ['readonly', 'ro'];
const KNOWN: Readonly<Record<string, readonly string[]>> = {
  bind: [...SOURCE, ...TARGET, ...READONLY],
  volume: [...SOURCE, ...TARGET, ...READONLY],
  tmpfs: [...TARGET, ...READONLY, 'tmpfs-size', 'tmpfs-mode'],
};

/** `type=bind,src=…,dst=…,ro`. @throws USAGE_INVALID */
export function parseMount(text: string, cwd: string): MountRequest {
  const attributes = parseAttributes(text);
  const type = attributes.get('type') ?? 'volume';
  const known = Object.hasOwn(KNOWN, type) ? KNOWN[type] : undefined;
  if (known === undefined) throw invalid('--mount', text, `there is no type "${type}"`);
  const strange = [...attributes.keys()].find((key) => key !== 'type' && !known.includes(key));
  if (strange !== undefined) throw invalid('--mount', text, `"${type}" has no "${strange}"`);
  const value = (keys: readonly string[]): string | undefined =>
    keys.map((key) => attributes.get(key)).find((found) => found !== undefined);
  const target = targetOf('--mount', text, value(TARGET));
  const flag = value(READONLY);
  const readonly = flag === '' ? true : goBool(flag ?? 'false');
  if (readonly === undefined) throw invalid('--mount', text, `"${flag}" is neither true nor false`);
  const source = value(SOURCE);
  switch (type) {
    case 'bind':
      if (source === undefined || source === '') throw invalid('--mount', text, 'it needs a source');
      return { type, source: resolve(cwd, source), target, readonly, create: false };
    case 'tmpfs':
      return { type, target, readonly, options: tmpfsOptions(attributes) };
    default:
      return {
        type: 'volume',
        ...(source ? { name: volumeName('--mount', text, source) } : {}),
        ...{ target, readonly },
      };
  }
}

function tmpfsOptions(attributes: ReadonlyMap<string, string>): string[] {
  const [size, mode] = [attributes.get('tmpfs-size'), attributes.get('tmpfs-mode')];
  return [
    'nodev',
    ...(size === undefined ? [] : [`size=${size}`]),
    ...(mode === undefined ? [] : [`mode=${mode}`]),
  ];
}

/** `DST[:OPTIONS]`, options as of mount(8). @throws USAGE_INVALID */
export function parseTmpfs(text: string): MountRequest {
  const at = text.indexOf(':');
  const [destination, options] = at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
  const words = options.split(',').filter((word) => word !== '' && word !== 'rw');
  return {
    type: 'tmpfs',
    target: targetOf('--tmpfs', text, destination),
    readonly: words.includes('ro'),
    // As in Docker, unless it says otherwise.
    options: ['nodev', 'noexec', ...words.filter((word) => word !== 'ro')],
  };
}

function targetOf(flag: string, text: string, target: string | undefined): string {
  if (target === undefined || !target.startsWith('/')) {
    throw invalid(flag, text, 'the place in the container must be an absolute path');
  }
  const path = join(target, '.');
  if (path === '/') throw invalid(flag, text, 'nothing can be mounted on the root itself');
  return path.replace(/\/$/, '');
}

function volumeName(flag: string, text: string, name: string): string {
  if (VOLUME_NAME.test(name)) return name;
  throw invalid(flag, text, `"${name}" is no name of a volume; a directory begins with / or ./`);
}

function invalid(flag: string, text: string, why: string): OcibuildError {
  return new OcibuildError('USAGE_INVALID', `Cannot use ${flag} "${text}": ${why}`);
}
