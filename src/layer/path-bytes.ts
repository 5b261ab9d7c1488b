import { isUtf8 } from 'node:buffer';

// A byte that is no part of valid UTF-8 stands as the lone surrogate U+DC00 + byte (U+DC80 to U+DCFF). Decoding
// never makes a lone high surrogate, so a low one that belongs to a pair cannot be taken for an escaped byte.
const ESCAPE = 0xdc00;

/** Text of a name; every byte that is not UTF-8 becomes a lone surrogate, so that nothing is lost. */
export function decodeName(bytes: Buffer): string {
  const text = bytes.toString('utf8');
  return text.includes('\ufffd') && !isUtf8(bytes) ? decodeMixed(bytes) : text;
}

/** The bytes that `decodeName` was given. */
export function encodeName(name: string): Buffer {
  if (name.isWellFormed()) return Buffer.from(name, 'utf8');
  const parts: Buffer[] = [];
  let plain = 0;
  for (let i = 0; i < name.length; i++) {
    const code = name.charCodeAt(i);
    if (code >= 0xd800 && code < 0xdc00) {
      i++;
      continue;
    }
    if (code < ESCAPE || code > ESCAPE + 0xff) continue;
    parts.push(Buffer.from(name.slice(plain, i), 'utf8'), Buffer.of(code - ESCAPE));
    plain = i + 1;
  }
  parts.push(Buffer.from(name.slice(plain), 'utf8'));
  return Buffer.concat(parts);
}

/** What node:fs takes for a path: the string itself unless it holds bytes that are not UTF-8. */
export function fsPath(path: string): string | Buffer {
  return path.isWellFormed() ? path : encodeName(path);
}

function decodeMixed(bytes: Buffer): string {
  let text = '';
  for (let i = 0; i < bytes.length; ) {
    const length = sequenceLength(bytes[i] ?? 0);
    const part = bytes.subarray(i, i + length);
    if (part.length === length && isUtf8(part)) {
      text += part.toString('utf8');
      i += length;
    } else {
      text += String.fromCharCode(ESCAPE + (bytes[i] ?? 0));
      i++;
    }
  }
  return text;
}

function sequenceLength(first: number): number {
  if (first < 0xc0) return 1;
  if (first < 0xe0) return 2;
  return first < 0xf0 ? 3 : 4;
}
