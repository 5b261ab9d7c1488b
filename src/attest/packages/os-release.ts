import type { Distribution, ImageFiles } from '../types.ts';

/** What the image says it is; undefined where it says nothing. @see os-release(5) */
export function readDistribution({ read }: Pick<ImageFiles, 'read'>): Distribution | undefined {
  const text = read('etc/os-release') ?? read('usr/lib/os-release');
  return text === undefined ? undefined : parseOsRelease(text);
}

export function parseOsRelease(text: string): Distribution | undefined {
  const fields = new Map(
    text.split('\n').flatMap((line): [string, string][] => {
      const [, name, value] = /^([A-Z][A-Z0-9_]*)=(.*)$/.exec(line.trim()) ?? [];
      return name === undefined || value === undefined ? [] : [[name, unquote(value)]];
    }),
  );
  const id = fields.get('ID');
  if (id === undefined || !/^[a-z0-9._-]+$/.test(id)) return undefined;
  const version = fields.get('VERSION_ID');
  return {
    id,
    name: fields.get('PRETTY_NAME') || fields.get('NAME') || id,
    ...(version ? { version } : {}),
  };
}

/** As a shell would: quotes of either kind, a backslash before what is meant as it stands. */
function unquote(value: string): string {
  const [, quote, inside] = /^(["'])(.*)\1$/.exec(value) ?? [];
  if (inside === undefined) return value;
  return quote === "'" ? inside : inside.replace(/\\(["$`\\])/g, '$1');
}
