import { createPrivateKey, createPublicKey, type KeyObject, sign } from 'node:crypto';
import { OcibuildError } from '../../errors/error.ts';

/** A private key that an agent signs with. */
export interface SshKey {
  /** The public key as SSH sends it. @see RFC 4253 §6.6 */
  readonly blob: Buffer;
  readonly comment: string;
  /** A signature in SSH's own form; `flags` are those of the agent protocol. Undefined for a kind it cannot make. */
  sign(data: Uint8Array, flags: number): Buffer;
}

const MAGIC = 'openssh-key-v1\0';
const CURVES: Readonly<Record<string, { readonly jwk: string; readonly hash: string }>> = {
  nistp256: { jwk: 'P-256', hash: 'sha256' },
  nistp384: { jwk: 'P-384', hash: 'sha384' },
  nistp521: { jwk: 'P-521', hash: 'sha512' },
};
/** @see draft-ietf-sshm-ssh-agent "Signature flags" */
const RSA_SHA2_256 = 2;
const RSA_SHA2_512 = 4;

/**
 * Reads an unencrypted private key: OpenSSH's own format, PKCS#8, PKCS#1 or SEC1 in PEM; RSA, ECDSA or Ed25519.
 * @throws SSH_KEY_INVALID
 */
export function parseSshKey(text: string, file: string): SshKey {
  try {
    const base64 = /-----BEGIN OPENSSH PRIVATE KEY-----([\s\S]*?)-----END/.exec(text)?.[1];
    if (base64 !== undefined) return readOpenssh(Buffer.from(base64, 'base64'));
    if (/ENCRYPTED/.test(text)) throw new TypeError(ENCRYPTED);
    return toSshKey(createPrivateKey(text), file);
  } catch (cause) {
    const encrypted = cause instanceof TypeError && cause.message === ENCRYPTED;
    // Messages of the parser say nothing of the key itself, yet nothing of them is needed.
    const why = encrypted ? ENCRYPTED : 'it is no private key of a known form (RSA, ECDSA, Ed25519)';
    throw new OcibuildError('SSH_KEY_INVALID', `Cannot use the SSH key "${file}": ${why}`, {
      details: { path: file },
      hint: encrypted
        ? 'add it to an agent (ssh-add) and forward that: --ssh default'
        : 'name a private key file',
    });
  }
}

const ENCRYPTED = 'it is encrypted';

/** @see openssh-portable PROTOCOL.key */
function readOpenssh(data: Buffer): SshKey {
  if (data.toString('latin1', 0, MAGIC.length) !== MAGIC) throw new RangeError('no OpenSSH key');
  const outer = createReader(data.subarray(MAGIC.length));
  const [cipher] = [outer.text(), outer.text(), outer.bytes()];
  if (cipher !== 'none') throw new TypeError(ENCRYPTED);
  outer.number();
  outer.bytes();
  const inner = createReader(outer.bytes());
  inner.number();
  inner.number();
  const kind = inner.text();
  const jwk = readJwk(kind, inner);
  return toSshKey(createPrivateKey({ key: jwk, format: 'jwk' }), inner.text());
}

function readJwk(kind: string, reader: Reader): Record<string, string> {
  if (kind === 'ssh-ed25519') {
    const x = url(reader.bytes());
    return { kty: 'OKP', crv: 'Ed25519', x, d: url(reader.bytes().subarray(0, 32)) };
  }
  if (kind === 'ssh-rsa') {
    const [n, e, d, qi, p, q] = [0, 1, 2, 3, 4, 5].map(() => unsigned(reader.bytes()));
    if (!n || !e || !d || !qi || !p || !q) throw new RangeError('a part is missing');
    const big = (bytes: Buffer): bigint => BigInt(`0x${bytes.toString('hex')}`);
    const mod = (prime: Buffer): string => {
      const hex = (big(d) % (big(prime) - 1n)).toString(16);
      return url(Buffer.from(hex.padStart(hex.length + (hex.length % 2), '0'), 'hex'));
    };
    return {
      ...{ kty: 'RSA', n: url(n), e: url(e), d: url(d), p: url(p), q: url(q) },
      ...{ dp: mod(p), dq: mod(q), qi: url(qi) },
    };
  }
  const name = reader.text();
  const curve = CURVES[name];
  if (curve === undefined || kind !== `ecdsa-sha2-${name}`) throw new RangeError('another kind of key');
  const point = reader.bytes();
  const size = (point.length - 1) / 2;
  const d = unsigned(reader.bytes());
  return {
    ...{ kty: 'EC', crv: curve.jwk, x: url(point.subarray(1, 1 + size)), y: url(point.subarray(1 + size)) },
    d: url(Buffer.concat([Buffer.alloc(Math.max(0, size - d.length)), d])),
  };
}

function toSshKey(key: KeyObject, comment: string): SshKey {
  const jwk = createPublicKey(key).export({ format: 'jwk' });
  const part = (name: 'x' | 'y' | 'n' | 'e'): Buffer => Buffer.from(String(jwk[name]), 'base64url');
  switch (key.asymmetricKeyType) {
    case 'ed25519':
      return {
        comment,
        blob: strings('ssh-ed25519', part('x')),
        sign: (data) => strings('ssh-ed25519', sign(null, data, key)),
      };
    case 'rsa':
      return {
        comment,
        blob: strings('ssh-rsa', signed(part('e')), signed(part('n'))),
        sign(data, flags) {
          if ((flags & RSA_SHA2_512) !== 0) return strings('rsa-sha2-512', sign('sha512', data, key));
          if ((flags & RSA_SHA2_256) !== 0) return strings('rsa-sha2-256', sign('sha256', data, key));
          return strings('ssh-rsa', sign('sha1', data, key));
        },
      };
    case 'ec': {
      const [name, curve] = Object.entries(CURVES).find(([, each]) => each.jwk === jwk.crv) ?? [];
      if (name === undefined || curve === undefined) throw new RangeError('another curve');
      const kind = `ecdsa-sha2-${name}`;
      return {
        comment,
        blob: strings(kind, name, Buffer.concat([Buffer.of(4), part('x'), part('y')])),
        sign(data) {
          const both = sign(curve.hash, data, { key, dsaEncoding: 'ieee-p1363' });
          const half = both.length / 2;
          return strings(kind, strings(signed(both.subarray(0, half)), signed(both.subarray(half))));
        },
      };
    }
    default:
      throw new RangeError('another kind of key');
  }
}

/** Each with its length before it. @see RFC 4251 §5 "string" */
export function strings(...parts: readonly (string | Uint8Array)[]): Buffer {
  return Buffer.concat(
    parts.flatMap((part) => {
      const bytes = Buffer.from(part);
      const length = Buffer.alloc(4);
      length.writeUInt32BE(bytes.length);
      return [length, bytes];
    }),
  );
}

interface Reader {
  number(): number;
  bytes(): Buffer;
  text(): string;
}

/** Reads the fields that `strings` writes; a field beyond the end is a RangeError. */
export function createReader(data: Buffer): Reader {
  let at = 0;
  const number = (): number => {
    const value = data.readUInt32BE(at);
    at += 4;
    return value;
  };
  const bytes = (): Buffer => {
    const length = number();
    if (at + length > data.length) throw new RangeError('cut short');
    at += length;
    return data.subarray(at - length, at);
  };
  return { number, bytes, text: () => bytes().toString('utf8') };
}

function unsigned(bytes: Buffer): Buffer {
  let start = 0;
  while (start < bytes.length - 1 && bytes[start] === 0) start++;
  return bytes.subarray(start);
}

/** A positive mpint: no leading zeros but one before a set top bit. @see RFC 4251 §5 "mpint" */
function signed(bytes: Buffer): Buffer {
  const plain = unsigned(bytes);
  return (plain[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.of(0), plain]) : plain;
}

function url(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64url');
}
