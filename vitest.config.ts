import { defineConfig } from 'vitest/config';

const common = { execArgv: ['--disable-warning=ExperimentalWarning'], environment: 'node' } as const;

export default defineConfig({
  test: {
    // Half of the e2e time is spent waiting for runc and disk, so two cores carry two files at a time.
    maxWorkers: 2,
    projects: [
      {
        test: {
          ...common,
          name: 'unit',
          include: ['test/**/*.test.ts', 'test/**/*.test.tsx'],
          exclude: ['test/e2e/**', 'test/conformance/dockerfile/**/context/**'],
          testTimeout: 20_000,
        },
      },
      {
        test: {
          ...common,
          name: 'e2e',
          include: ['test/e2e/**/*.test.ts'],
          testTimeout: 120_000,
          hookTimeout: 300_000,
        },
      },
    ],
  },
});
