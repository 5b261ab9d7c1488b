import { createHash, hash } from 'node:crypto';
import type { Digest } from '../image/types.ts';
import { type Sha256Calls, sha256Calls } from './sys.ts';

/** SHA-256 of a stream whose state can be taken out and put back where it was cut. */
export interface RunningDigest {
  update(data: Buffer): void;
  /** Only at multiples of 64 bytes; undefined where states are not available. */
  state(): string | undefined;
  /** Goes on from a state of `size` bytes; false where that is not possible. */
  resume(state: string, size: number): boolean;
  digest(): Digest;
}

// SHA256_CTX: eight words, the bit count as two words, a block, the bytes in that block, the digest length.
const CONTEXT_SIZE = 112;
const STATE_SIZE = 32;
const BLOCK_SIZE = 64;

/**
 * With `states`, OpenSSL's own context is used through koffi, at the speed of createHash: the next version of a layer
 * then need not read its unchanged beginning again.
 */
export function createRunningDigest(options: { readonly states: boolean }): RunningDigest {
  const calls = options.states ? checkedCalls() : undefined;
  return calls === undefined ? plainDigest() : nativeDigest(calls);
}

function plainDigest(): RunningDigest {
  const running = createHash('sha256');
  return {
    update: (data) => void running.update(data),
    state: () => undefined,
    resume: () => false,
    digest: () => `sha256:${running.digest('hex')}`,
  };
}

function nativeDigest(calls: Sha256Calls): RunningDigest {
  const context = Buffer.alloc(CONTEXT_SIZE);
  calls.init(context);
  let size = 0;
  return {
    update(data) {
      calls.update(context, data, data.length);
      size += data.length;
    },
    state: () => (size % BLOCK_SIZE === 0 ? context.toString('hex', 0, STATE_SIZE) : undefined),
    resume(state, at) {
      if (at % BLOCK_SIZE !== 0 || !/^[0-9a-f]{64}$/.test(state)) return false;
      calls.init(context);
      context.write(state, 'hex');
      // The count's byte order is the machine's own; so is that of the state, which never leaves it.
      new Uint32Array(context.buffer, context.byteOffset + STATE_SIZE, 2).set([
        (at * 8) >>> 0,
        Math.floor(at / 0x20000000),
      ]);
      size = at;
      return true;
    },
    digest() {
      const result = Buffer.alloc(32);
      calls.final(result, context);
      return `sha256:${result.toString('hex')}`;
    },
  };
}

/** The layout of the context is OpenSSL's own business, so it is tried before it is trusted. */
function checkedCalls(): Sha256Calls | undefined {
  const { calls } = sha256Calls();
  if (calls === undefined) return undefined;
  const block = Buffer.alloc(BLOCK_SIZE, 'x');
  const first = nativeDigest(calls);
  first.update(block);
  const second = nativeDigest(calls);
  if (!second.resume(first.state() ?? '', BLOCK_SIZE)) return undefined;
  second.update(Buffer.from('tail'));
  const expected = hash('sha256', `${block.toString()}tail`, 'hex');
  return second.digest() === `sha256:${expected}` ? calls : undefined;
}
