import { fixupSpdxId } from '@cyclonedx/cyclonedx-library/SPDX';
import parse from 'spdx-expression-parse';

/** Debian's short names that SPDX has others for. @see DEP-5 §License specification */
const DEBIAN: Readonly<Record<string, string>> = {
  expat: 'MIT',
  'apache-2': 'Apache-2.0',
  'bsd-2': 'BSD-2-Clause',
  'bsd-3': 'BSD-3-Clause',
  'bsd-4': 'BSD-4-Clause',
  'bsd-2-clause': 'BSD-2-Clause',
  'bsd-3-clause': 'BSD-3-Clause',
  'bsd-4-clause': 'BSD-4-Clause',
  artistic: 'Artistic-1.0-Perl',
  zlib: 'Zlib',
  isc: 'ISC',
};
/** Longer texts are the licence itself, or somebody's idea of a joke. */
const MAX_LENGTH = 2000;
const GNU = /^(l?gpl|gfdl|agpl|fdl)-(\d)(\.\d)?(\+|-only|-or-later)?$/i;

/** A licence as SPDX writes it, or a name that stands for one. */
export interface LicenceWord {
  /** A valid SPDX expression; names without an id are `LicenseRef-…` in it. */
  readonly expression: string;
  /** Id → name, for each `LicenseRef-…`. */
  readonly names: Readonly<Record<string, string>>;
}

/** All licences of a package at once; undefined where it names none. */
export function licenceExpression(texts: readonly string[]): LicenceWord | undefined {
  const words = texts.map(oneLicence).filter((word) => word.expression !== '');
  if (words.length === 0) return undefined;
  const expressions = [...new Set(words.map(({ expression }) => expression))];
  const bracketed = expressions.map((one) =>
    expressions.length > 1 && one.includes(' ') ? `(${one})` : one,
  );
  return {
    expression: bracketed.join(' AND '),
    names: Object.assign({}, ...words.map(({ names }) => names)) as Record<string, string>,
  };
}

function oneLicence(text: string): LicenceWord {
  const trimmed = text.trim();
  if (trimmed === '') return { expression: '', names: {} };
  if (trimmed.length > MAX_LENGTH)
    return { expression: referenceTo(''), names: { [referenceTo('')]: trimmed.slice(0, MAX_LENGTH) } };
  const known = spdxName(trimmed);
  if (isExpression(known)) return { expression: known, names: {} };
  // A comma binds in its own way, and is no part of an expression.
  const joined = trimmed.includes(',') ? undefined : translate(trimmed);
  if (joined !== undefined && isExpression(joined.expression)) return joined;
  const id = referenceTo(trimmed);
  return { expression: id, names: { [id]: trimmed } };
}

/** Word by word, with references for names that SPDX has not. */
function translate(text: string): LicenceWord {
  const names: Record<string, string> = {};
  const words = text.split(/(\s+|[()])/).map((word) => {
    if (isOperator(word)) return word.toUpperCase();
    if (/^(?:\s*|[()])$/.test(word)) return word;
    const name = spdxName(word);
    if (isExpression(name) || isException(word)) return name;
    names[referenceTo(word)] = word;
    return referenceTo(word);
  });
  return { expression: words.join(''), names };
}

function referenceTo(name: string): string {
  return `LicenseRef-${name.replace(/[^A-Za-z0-9.-]+/g, '-').replace(/^-+|-+$/g, '') || 'unknown'}`;
}

/** What may stand behind `WITH`. */
function isException(word: string): boolean {
  return isExpression(`GPL-2.0-only WITH ${word}`);
}

function isOperator(word: string): boolean {
  return /^(?:and|or|with)$/i.test(word);
}

function spdxName(word: string): string {
  const [, family, major, minor = '.0', suffix = ''] = GNU.exec(word) ?? [];
  if (family !== undefined) {
    const name = family.toUpperCase() === 'FDL' ? 'GFDL' : family.toUpperCase();
    const version = `${major}${name === 'GFDL' && minor === '.0' ? '.1' : minor}`;
    return `${name}-${version}${suffix === '+' || suffix === '-or-later' ? '-or-later' : '-only'}`;
  }
  return DEBIAN[word.toLowerCase()] ?? fixupSpdxId(word) ?? word;
}

function isExpression(text: string): boolean {
  try {
    parse(text);
    return true;
  } catch {
    return false;
  }
}
