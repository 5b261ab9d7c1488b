/** JSON with one line for each list element, so that a changed path is a changed line. */
export function toRecord(value: object): string {
  const members = Object.entries(value).map(
    ([key, member]) => `  ${JSON.stringify(key)}: ${block(member, '  ')}`,
  );
  return `{\n${members.join(',\n')}\n}\n`;
}

function block(value: unknown, indent: string): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const [open, close] = Array.isArray(value) ? ['[', ']'] : ['{', '}'];
  const lines = Array.isArray(value)
    ? value.map((item) => `${indent}  ${JSON.stringify(item)}`)
    : Object.entries(value).map(
        ([key, item]) => `${indent}  ${JSON.stringify(key)}: ${JSON.stringify(item)}`,
      );
  return lines.length === 0 ? open + close : `${open}\n${lines.join(',\n')}\n${indent}${close}`;
}
