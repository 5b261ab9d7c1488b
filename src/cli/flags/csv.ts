import { OcibuildError } from '../../errors/error.ts';
import { splitCsv } from '../../util/csv.ts';
import { splitAt } from './parse-args.ts';

/** Fields of one CSV record, quoted as RFC 4180 says: `a,"b,c"` has two. @throws USAGE_INVALID */
export function parseCsv(text: string): string[] {
  const fields = splitCsv(text);
  if (fields !== undefined) return fields;
  throw new OcibuildError('USAGE_INVALID', `Cannot read "${text}": its quotes do not match`);
}

/** `key=value,key=value` as a map; keys in lower case, a key without a value is empty.
 * @throws USAGE_INVALID for a repeated key */
export function parseAttributes(text: string): Map<string, string> {
  const attributes = new Map<string, string>();
  for (const field of parseCsv(text)) {
    const [rawKey, value] = splitAt(field, '=');
    // Annotation keys are part of the attribute's name and keep their case.
    const key = rawKey.trim().startsWith('annotation') ? rawKey.trim() : rawKey.trim().toLowerCase();
    if (attributes.has(key)) {
      throw new OcibuildError('USAGE_INVALID', `Cannot read "${text}": "${key}" stands twice`);
    }
    attributes.set(key, value ?? '');
  }
  return attributes;
}
