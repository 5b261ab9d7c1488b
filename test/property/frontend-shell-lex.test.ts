import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { expandText, LexError } from '../../src/frontend/parse/shell-lex.ts';
import { runs } from '../support/runs.ts';

/** A text as a tree, so that the expected result is computed from the tree and never by reading the text. */
type Node =
  | { kind: 'text'; text: string }
  | { kind: 'escaped'; ch: string }
  | { kind: 'single'; text: string }
  | { kind: 'double'; nodes: Node[] }
  | { kind: 'name'; name: string; braces: boolean }
  | { kind: 'operator'; name: string; op: string; word: Node[] }
  | { kind: 'trim'; name: string; op: string; pattern: string }
  | { kind: 'replace'; name: string; all: boolean; pattern: string; by: string };

const NAMES = ['a', 'b', 'empty', 'unset'];
const VALUES: Readonly<Record<string, string>> = { a: 'one two', b: 'ab*?xbab', empty: '' };

const text = fc.string({ unit: fc.constantFrom(...'xyz019.:,=-/'), minLength: 1, maxLength: 5 });
const pattern = fc.string({ unit: fc.constantFrom('a', 'b', 'x', '*', '?'), minLength: 1, maxLength: 4 });
const name = fc.constantFrom(...NAMES);

const leaf: fc.Arbitrary<Node> = fc.oneof(
  text.map((value): Node => ({ kind: 'text', text: value })),
  fc.constantFrom('$', '\\', '"').map((ch): Node => ({ kind: 'escaped', ch })),
  fc.record({ kind: fc.constant('name' as const), name, braces: fc.constant(true) }),
  fc.record({
    kind: fc.constant('trim' as const),
    name,
    op: fc.constantFrom('#', '##', '%', '%%'),
    pattern,
  }),
  fc.record({
    kind: fc.constant('replace' as const),
    name,
    all: fc.boolean(),
    pattern,
    by: fc.constantFrom('', 'x', 'yy'),
  }),
);
const tree = fc.letrec<{ nodes: Node[]; node: Node }>((tie) => ({
  nodes: fc.array(tie('node'), { maxLength: 4 }),
  node: fc.oneof(
    { maxDepth: 3 },
    leaf,
    text.map((value): Node => ({ kind: 'single', text: `$${value}"` })),
    fc.record({ kind: fc.constant('double' as const), nodes: fc.array(leaf, { maxLength: 3 }) }),
    fc.record({
      kind: fc.constant('operator' as const),
      name,
      op: fc.constantFrom(':-', '-', ':+', '+'),
      word: tie('nodes'),
    }),
  ),
}));

function print(nodes: readonly Node[]): string {
  return nodes.map(printNode).join('');
}

function printNode(node: Node): string {
  switch (node.kind) {
    case 'text':
      return node.text;
    case 'escaped':
      return `\\${node.ch}`;
    case 'single':
      return `'${node.text}'`;
    case 'double':
      return `"${print(node.nodes)}"`;
    case 'name':
      return `\${${node.name}}`;
    case 'operator':
      return `\${${node.name}${node.op}${print(node.word)}}`;
    case 'trim':
      return `\${${node.name}${node.op}${node.pattern}}`;
    case 'replace':
      return `\${${node.name}/${node.all ? '/' : ''}${node.pattern}/${node.by}}`;
  }
}

function evaluate(nodes: readonly Node[]): string {
  return nodes.map(evaluateNode).join('');
}

function evaluateNode(node: Node): string {
  switch (node.kind) {
    case 'text':
    case 'single':
      return node.text;
    case 'escaped':
      return node.ch;
    case 'double':
      return evaluate(node.nodes);
    case 'name':
      return VALUES[node.name] ?? '';
    case 'operator': {
      const value = VALUES[node.name];
      const there = node.op.startsWith(':') ? value !== undefined && value !== '' : value !== undefined;
      if (node.op.endsWith('-')) return there ? (value ?? '') : evaluate(node.word);
      return there ? evaluate(node.word) : '';
    }
    case 'trim':
      return trim(VALUES[node.name] ?? '', node.op, node.pattern);
    case 'replace':
      return replace(VALUES[node.name] ?? '', node);
  }
}

/** The slow and plain matcher: by recursion over both texts. */
function matches(value: string, glob: string): boolean {
  if (glob === '') return value === '';
  if (glob.startsWith('*')) {
    return matches(value, glob.slice(1)) || (value !== '' && matches(value.slice(1), glob));
  }
  return value !== '' && (glob[0] === '?' || glob[0] === value[0]) && matches(value.slice(1), glob.slice(1));
}

function trim(value: string, op: string, glob: string): string {
  const lengths = Array.from({ length: value.length + 1 }, (_, index) => index);
  if (op.length === 2) lengths.reverse();
  for (const length of lengths) {
    if (op.startsWith('#') && matches(value.slice(0, length), glob)) return value.slice(length);
    const rest = value.length - length;
    if (op.startsWith('%') && matches(value.slice(rest), glob)) return value.slice(0, rest);
  }
  return value;
}

function replace(value: string, how: { all: boolean; pattern: string; by: string }): string {
  let result = '';
  let at = 0;
  while (at < value.length) {
    const end = longestMatch(value, at, how.pattern);
    if (end === undefined) {
      result += value[at++];
      continue;
    }
    result += how.by;
    at = end;
    if (!how.all) break;
  }
  return result + value.slice(at);
}

function longestMatch(value: string, start: number, glob: string): number | undefined {
  for (let end = value.length; end >= start; end--) if (matches(value.slice(start, end), glob)) return end;
  return undefined;
}

const lookup = (wanted: string) => VALUES[wanted];

describe('expandText() on generated texts', () => {
  it('gives what the tree of the text says when it is printed and read', () => {
    // Patterns of stars alone match the empty text, which the plain replacement below does not handle.
    const usual = tree.nodes.filter((nodes) => !/\/\*+\//.test(print(nodes)));
    fc.assert(
      fc.property(usual, (nodes) => {
        expect(expandText(print(nodes), lookup, { escapeChar: '\\' }).text).toBe(evaluate(nodes));
      }),
      runs(300),
    );
  });

  it('throws nothing but LexError when the text is arbitrary', () => {
    const soup = fc.string({ unit: fc.constantFrom(...'ab ${}:-+?#%/\\"\'*[]=`'), maxLength: 20 });
    fc.assert(
      fc.property(fc.oneof(soup, fc.string()), fc.constantFrom('\\', '`'), (source, escapeChar) => {
        try {
          expandText(source, lookup, { escapeChar });
        } catch (error) {
          expect(error).toBeInstanceOf(LexError);
        }
      }),
      runs(500),
    );
  });
});
