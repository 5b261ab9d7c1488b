import { isUtf8 } from 'node:buffer';
import { redactCredentials } from '../../errors/redact.ts';

/** Masks secrets and credentials in output, which need not be UTF-8; all else stays as it is, byte for byte. */
export function maskBytes(data: Uint8Array, secrets: readonly string[] = []): Uint8Array {
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  const encoding = isUtf8(bytes) ? 'utf8' : 'latin1';
  const text = bytes.toString(encoding);
  const masked = redactCredentials(text, secrets);
  return masked === text ? bytes : Buffer.from(masked, encoding);
}
