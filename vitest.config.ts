import { defineConfig, type ViteUserConfig } from 'vitest/config';

const execArgv = ['--disable-warning=ExperimentalWarning'];

const config: ViteUserConfig = defineConfig({
  test: {
    // Half of the e2e time is spent waiting for runc and disk, so two cores carry two files at a time.
    maxWorkers: 2,
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
