/**
 * Blocks of `Name: value` lines with an empty line between them, as dpkg and Python write them. A line that begins with a
 * blank goes on with the field above. Names are in lower case; of a field that stands twice all values are kept.
 * @see Debian Policy §5.1
 */
export function parseStanzas(text: string): ReadonlyMap<string, readonly string[]>[] {
  const blocks: Map<string, string[]>[] = [];
  let fields = new Map<string, string[]>();
  let last: string[] | undefined;
  const end = (): void => {
    if (fields.size > 0) blocks.push(fields);
    fields = new Map();
    last = undefined;
  };
  for (const line of text.split(/\r?\n/)) {
    if (line.trim() === '') {
      end();
    } else if (/^[ \t]/.test(line)) {
      if (last !== undefined) last.push(`${last.pop() ?? ''}\n${line.trim()}`);
    } else {
      const [, name = '', value = ''] = /^([^\s:]+):[ \t]*(.*)$/.exec(line) ?? [];
      if (name === '') continue;
      last = fields.get(name.toLowerCase()) ?? [];
      last.push(value.trim());
      fields.set(name.toLowerCase(), last);
    }
  }
  end();
  return blocks;
}
