import { once } from '../util/once.ts';
import { koffiModule } from './sys.ts';

/** OpenSSL's plain SHA-256 calls, whose state is bytes that can be kept. */
export interface Sha256Calls {
  init(context: Buffer): void;
  update(context: Buffer, data: Buffer, length: number): void;
  /** On a thread of libuv's pool; nobody else touches either meanwhile. */
  updateAside(context: Buffer, data: Buffer, length: number): Promise<void>;
  final(digest: Buffer, context: Buffer): void;
}

/** Undefined where Node hides its OpenSSL: it was built against a shared one that the loader keeps to itself. */
export const sha256Calls: () => Sha256Calls | undefined = once(() => {
  try {
    const symbols = koffiModule().load(null);
    const update = symbols.func('SHA256_Update', 'int', ['void *', 'const void *', 'uint64_t']);
    return {
      init: symbols.func('SHA256_Init', 'int', ['void *']),
      update,
      updateAside: (context, data, length) =>
        new Promise((resolve, reject) => {
          update.async(context, data, length, (error) => (error ? reject(error) : resolve()));
        }),
      final: symbols.func('SHA256_Final', 'int', ['void *', 'void *']),
    };
  } catch {
    return undefined;
  }
});
