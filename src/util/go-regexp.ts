/** POSIX classes, which Go has inside of `[…]`. */
const CLASSES: Readonly<Record<string, string>> = {
  alnum: 'A-Za-z0-9',
  alpha: 'A-Za-z',
  digit: '0-9',
  lower: 'a-z',
  punct: '!-\\/:-@\\[-`{-~',
  space: '\\t-\\r ',
  upper: 'A-Z',
  word: 'A-Za-z0-9_',
  xdigit: '0-9A-Fa-f',
};

/**
 * A regular expression of Go (RE2) as one of JavaScript.
 * @throws SyntaxError for what is none, or has no like: negated POSIX classes, `\Q`, flags in the middle
 * @see https://pkg.go.dev/regexp/syntax
 */
export function goRegExp(text: string): RegExp {
  const [whole = '', flags = ''] = /^\(\?([ims]+)\)/.exec(text) ?? [];
  const source = text
    .slice(whole.length)
    .replace(/\\([\s\S])|\(\?P<|\[:(\^?\w+):\]/g, (all, escaped?: string, name?: string) => {
      if (name !== undefined) return classOf(name);
      if (escaped === undefined) return '(?<';
      if (escaped === 'A') return '^';
      if (escaped === 'z') return '$';
      // Go lets any punctuation be escaped anywhere, the "u" flag only what means something there.
      if (escaped === '-') return '\\x2d';
      return /[\p{P}\p{S}]/u.test(escaped) && !/[\^$\\.*+?()[\]{}|/]/.test(escaped) ? escaped : all;
    });
  return new RegExp(source, `${flags}u`);
}

/** What Go's `Expand` makes of a template: `$1`, `${1}`, `${name}`, `$$`; a group that is not there is empty. */
export function expandTemplate(template: string, match: RegExpExecArray): string {
  return template.replace(/\$(?:\$|(\w+)|\{(\w+)\})/g, (_, bare?: string, braced?: string) => {
    const name = bare ?? braced;
    if (name === undefined) return '$';
    return (/^\d+$/.test(name) ? match[Number(name)] : match.groups?.[name]) ?? '';
  });
}

function classOf(name: string): string {
  const found = Object.hasOwn(CLASSES, name) ? CLASSES[name] : undefined;
  if (found === undefined) throw new SyntaxError(`the class "[:${name}:]" is unknown`);
  return found;
}
