/** Records anew what Docker gives: `node test/conformance/update.ts [--peers PATH] [NAME...]`. */
import { loadCases, writeBaseExpected, writeExpected } from './cases.ts';
import { createOracle, oracleArguments } from './oracle.ts';
import { outcomeOfBase } from './outcome.ts';

const IN_FLIGHT = 3;
const { peers, names } = oracleArguments(process.argv.slice(2));
if (peers === undefined) throw new Error('Name the command that runs Docker with --peers PATH or PEERS');
const cases = await loadCases(names);
await using oracle = await createOracle({ peers, busybox: process.env.BUSYBOX ?? '/bin/busybox' });
await writeBaseExpected(outcomeOfBase(oracle.base));
const queue = cases.values();
await Promise.all(
  Array.from({ length: IN_FLIGHT }, async () => {
    for (const one of queue) {
      const outcome = await oracle.build(one);
      await writeExpected(one, outcome);
      const result =
        'error' in outcome
          ? `error: ${outcome.error.message}`
          : 'fs' in outcome
            ? `${outcome.fs.length} paths`
            : 'images' in outcome
              ? `${outcome.images.length} images`
              : JSON.stringify(outcome.described);
      process.stdout.write(`${one.name}: ${result}\n`);
    }
  }),
);
