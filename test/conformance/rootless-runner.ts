/**
 * Builds the corpus as whoever started it, inside a user namespace, and leaves the outcomes in DIR/outcomes.json.
 * Usage: node rootless-runner.ts DIR BUSYBOX [NAME...]
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { enterOwnNamespace } from '../support/own-namespace.ts';
import { createCaseBuilder } from './build-case.ts';
import { loadCases } from './cases.ts';
import { outcomeOfBase } from './outcome.ts';
import type { Outcome, RootlessOutcomes } from './types.ts';

const IN_FLIGHT = 5;

const [dir = '', busybox = '', ...names] = process.argv.slice(2);
enterOwnNamespace();
const queue = (await loadCases(names)).values();
await using builder = await createCaseBuilder({ root: join(dir, 'store'), busybox });
const cases: Record<string, Outcome> = {};
await Promise.all(
  Array.from({ length: IN_FLIGHT }, async () => {
    for (const one of queue) {
      cases[one.name] = await builder
        .build(one)
        .catch((error: unknown) => ({ error: { message: `no expected error: ${String(error)}` } }));
    }
  }),
);
const outcomes: RootlessOutcomes = { base: outcomeOfBase(builder.base), cases };
await writeFile(join(dir, 'outcomes.json'), JSON.stringify(outcomes));
