import { join } from 'node:path';
import { defineConfig, type ViteUserConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

// A thread of the builder runs from its TypeScript source here: 190 ms of CPU where that must be compiled, else 40.
process.env.NODE_COMPILE_CACHE ??= join(import.meta.dirname, 'node_modules/.cache/compiled');
// Each of those threads would leave a heap of the C library's behind, and every fork copies the page tables of all.
process.env.MALLOC_ARENA_MAX ??= '2';

const execArgv = ['--disable-warning=ExperimentalWarning'];

// A machine that has not run them yet knows no durations, and would begin the longest ones last.
const LONGEST = [
  ...['conformance/rootless', 'conformance/dockerfile', 'e2e/examples', 'e2e/real-world', 'e2e/build-killed'],
  ...['e2e/containers', 'e2e/run-mounts', 'e2e/package', 'e2e/build-reproducible', 'e2e/build-damage'],
].map((name) => `/test/${name}.test.ts`);

/** Begins with the longest files, so that none of them is left to run alone at the end. */
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification): number => {
      const index = LONGEST.findIndex((name) => moduleId.endsWith(name));
      return index < 0 ? LONGEST.length : index;
    };
    return (await super.sort(files)).sort((a, b) => rank(a) - rank(b));
  }
}

const config: ViteUserConfig = defineConfig({
  test: {
    // A good part of the e2e time is spent waiting for runc and disk, so two cores carry three files at a time.
    maxWorkers: 3,
    // What is waited for may take its time on a busy machine.
    expect: { poll: { timeout: 20_000 } },
    sequence: { sequencer: LongestFirst },
    projects: [
      {
        test: {
          execArgv,
          name: 'unit',
          include: ['test/**/*.test.ts', 'test/**/*.test.tsx'],
          exclude: ['test/e2e/**', 'test/conformance/**'],
          // Modules keep no state, so test files can share them: half the time goes.
          isolate: false,
          testTimeout: 20_000,
        },
      },
      {
        test: {
          execArgv,
          name: 'conformance',
          include: ['test/conformance/*.test.ts', 'test/conformance/*/*.test.ts'],
          testTimeout: 60_000,
          hookTimeout: 120_000,
        },
      },
      {
        test: {
          execArgv,
          name: 'e2e',
          include: ['test/e2e/**/*.test.ts'],
          testTimeout: 120_000,
          hookTimeout: 300_000,
        },
      },
    ],
  },
});
export default config;
