import { relative } from 'node:path';
import { OcibuildError } from '../../errors/error.ts';
import type { Position, SourceRef } from '../../errors/source.ts';

/** A fault of a config file, with the place in it. */
export function configError(
  what: string,
  where: { readonly path: string; readonly text: string; readonly at?: Position },
  facts: { readonly hint?: string; readonly cause?: unknown } = {},
): OcibuildError {
  const { path, text, at } = where;
  const source: SourceRef = {
    file: { name: shownName(path), text },
    ranges: at === undefined ? [] : [{ start: at, end: { line: at.line, column: at.column + 1 } }],
  };
  return new OcibuildError('CONFIG_INVALID', `Cannot use the config file "${shownName(path)}": ${what}`, {
    ...facts,
    details: { path },
    ...(at === undefined ? {} : { source }),
  });
}

function shownName(path: string): string {
  const near = relative(process.cwd(), path);
  return near === '' || near.startsWith('../') ? path : near;
}

/**
 * Where a key stands in the text of a config file, JSON or code: each key of the path is looked for behind the one
 * before it. Undefined where the text does not have it as it is, for a config may be computed.
 */
export function placeOfKey(text: string, keys: readonly string[]): Position | undefined {
  let at = 0;
  for (const key of keys) {
    const name = key.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
    const found = new RegExp(`(?<![\\w$])(["']?)${name}\\1\\s*[:,}]`, 'g');
    found.lastIndex = at;
    const match = found.exec(text);
    if (match === null) return undefined;
    at = match.index;
    if (key !== keys.at(-1)) at += match[0].length;
  }
  return positionAt(text, at);
}

export function positionAt(text: string, offset: number): Position {
  const before = text.slice(0, offset).split('\n');
  return { line: before.length, column: (before.at(-1) ?? '').length + 1 };
}
