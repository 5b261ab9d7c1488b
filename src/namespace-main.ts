import { serveInside } from './build/namespace/serve.ts';

serveInside({
  build: async (options) => (await import('./build/build.ts')).build(options),
  async watch(options, onCycle) {
    const { watch } = await import('./watch/watch.ts');
    for await (const cycle of watch(options)) onCycle(cycle);
  },
  lock: async (options) => (await import('./build/lock/lock.ts')).lock(options),
  prune: async (options) => (await import('./build/prune/prune.ts')).prune(options),
  diskUsage: async (options) => (await import('./build/prune/prune.ts')).diskUsage(options),
});
