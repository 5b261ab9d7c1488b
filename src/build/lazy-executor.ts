import { OcibuildError } from '../errors/error.ts';
import type { Executor } from '../executor/types.ts';
import type { Engine } from './engine.ts';
import type { NormalOptions } from './normalise.ts';

/** The worker thread of RUN steps, started when the first of them is really needed. */
export interface LazyExecutor {
  get(): Promise<Executor>;
  close(): Promise<void>;
}

export function createLazyExecutor(
  engine: Engine,
  options: Pick<NormalOptions, 'runtime' | 'env'>,
): LazyExecutor {
  let executor: Promise<Executor> | undefined;
  const start = async (): Promise<Executor> => {
    if (process.getuid?.() !== 0) {
      throw new OcibuildError(
        'ROOTLESS_UNAVAILABLE',
        'Cannot run a RUN step: this process is neither root nor in a user namespace',
        { hint: '`ocibuild doctor` says what a user namespace lacks here' },
      );
    }
    const { createRuncExecutor } = await import('../executor/runc.ts');
    const made = createRuncExecutor({
      ...(options.runtime === undefined ? {} : { runtime: options.runtime }),
      runDir: engine.root.runDir,
      rootless: engine.rootless,
      ...(options.env.PATH === undefined ? {} : { searchPath: options.env.PATH }),
    });
    // The thread starts while the layers below the step are unpacked.
    made.prepare();
    return made;
  };
  return {
    get() {
      executor ??= start();
      return executor;
    },
    async close() {
      await (await executor?.catch(() => undefined))?.close();
    },
  };
}
