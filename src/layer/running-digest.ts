import { createHash, hash } from 'node:crypto';
import type { Digest } from '../image/types.ts';
import { type Sha256Calls, sha256Calls } from './sha256-calls.ts';

/** SHA-256 of a stream whose state can be taken out and put back where it was cut. Calls count in their order. */
export interface RunningDigest {
  /** False where `update` gives no states and `resume` takes none. */
  readonly hasStates: boolean;
  /** Gives the state behind `data` where it is at a multiple of 64 bytes. The data stays untouched until then. */
  update(data: Buffer): Promise<string | undefined>;
  /** Goes on from a state of `size` bytes. @throws RangeError for one that cannot be */
  resume(state: string, size: number): void;
  digest(): Promise<Digest>;
}

// SHA256_CTX: eight words, the bit count as two words, a block, the bytes in that block, the digest length.
const CONTEXT_SIZE = 112;
const STATE_SIZE = 32;
const BLOCK_SIZE = 64;

/**
 * With `states`, OpenSSL's own context is used through koffi, at the speed of createHash and on another thread: what
 * fills the next piece does not wait, and the next version of a layer need not read its unchanged beginning again.
 */
export function createRunningDigest(options: { readonly states: boolean }): RunningDigest {
  const calls = options.states ? checkedCalls() : undefined;
  return calls === undefined ? plainDigest() : nativeDigest(calls);
}

function plainDigest(): RunningDigest {
  const running = createHash('sha256');
  return {
    hasStates: false,
    async update(data) {
      running.update(data);
      return undefined;
    },
    resume() {
      throw new RangeError('Cannot go on from a state: there are none');
    },
    digest: async () => `sha256:${running.digest('hex')}`,
  };
}

function nativeDigest(calls: Sha256Calls): RunningDigest {
  const context = newContext(calls);
  let size = 0;
  let last: Promise<unknown> = Promise.resolve();
  const then = <T>(action: () => T | Promise<T>): Promise<T> => {
    const done = last.then(action);
    last = done;
    return done;
  };
  return {
    hasStates: true,
    update(data) {
      size += data.length;
      const isBlock = size % BLOCK_SIZE === 0;
      return then(async () => {
        await calls.updateAside(context, data, data.length);
        return isBlock ? stateOf(context) : undefined;
      });
    },
    resume(state, at) {
      if (at % BLOCK_SIZE !== 0 || !isDigestState(state)) {
        throw new RangeError(`Cannot go on from the state "${state}" at ${at} B`);
      }
      size = at;
      // Where an earlier piece failed, its own promise says so.
      then(() => setState(context, state, at)).catch(() => undefined);
    },
    digest: () => then(() => finish(calls, context)),
  };
}

export function isDigestState(state: string): boolean {
  return /^[0-9a-f]{64}$/.test(state);
}

function newContext(calls: Sha256Calls): Buffer {
  const context = Buffer.alloc(CONTEXT_SIZE);
  calls.init(context);
  return context;
}

function stateOf(context: Buffer): string {
  return context.toString('hex', 0, STATE_SIZE);
}

function setState(context: Buffer, state: string, size: number): void {
  context.write(state, 'hex');
  // The count's byte order is the machine's own; so is that of the state, which never leaves it.
  new Uint32Array(context.buffer, context.byteOffset + STATE_SIZE, 2).set([
    (size * 8) >>> 0,
    Math.floor(size / 0x20000000),
  ]);
}

function finish(calls: Sha256Calls, context: Buffer): Digest {
  const result = Buffer.alloc(32);
  calls.final(result, context);
  return `sha256:${result.toString('hex')}`;
}

/** The layout of the context is OpenSSL's own business, so it is tried before it is trusted. */
function checkedCalls(): Sha256Calls | undefined {
  const calls = sha256Calls();
  if (calls === undefined) return undefined;
  const block = Buffer.alloc(BLOCK_SIZE, 'x');
  const tail = Buffer.from('tail');
  const first = newContext(calls);
  calls.update(first, block, block.length);
  const second = newContext(calls);
  setState(second, stateOf(first), BLOCK_SIZE);
  calls.update(second, tail, tail.length);
  const expected = hash('sha256', `${block.toString()}tail`, 'hex');
  return finish(calls, second) === `sha256:${expected}` ? calls : undefined;
}
