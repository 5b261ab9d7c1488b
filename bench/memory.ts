// Peak memory with a layer of 2 GB, once through COPY and once written by RUN; more than 256 MB fails.
// Usage: npm run bench:memory -- [--megabytes N]
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { createRandom, createText } from './data.ts';
import { formatMs, markdownTable } from './stats.ts';
import { BASE_REF, createStoreTemplate, ocibuildWords } from './tools.ts';
import { runMeasured } from './usage.ts';

const LIMIT_BYTES = 256e6;

const { values } = parseArgs({ options: { megabytes: { type: 'string', default: '2000' } } });
const megabytes = Number(values.megabytes);

/** Files of 100 MB of text that repeats only after 16 MB, far beyond gzip's window. */
function writeLargeFiles(folder: string): void {
  mkdirSync(folder, { recursive: true });
  const text = createText(createRandom(9), 16 << 20);
  for (let written = 0, index = 0; written < megabytes * 1e6; index += 1) {
    const file = openSync(join(folder, `part-${index}.txt`), 'w');
    for (let size = 0; size < 100e6 && written < megabytes * 1e6; ) {
      const count = writeSync(file, text, 0, Math.min(text.length, 100e6 - size, megabytes * 1e6 - written));
      size += count;
      written += count;
    }
    closeSync(file);
  }
}

const CASES = [
  {
    name: `COPY of ${megabytes} MB`,
    prepare(context: string): void {
      writeLargeFiles(join(context, 'data'));
      writeFileSync(join(context, 'Dockerfile'), `FROM ${BASE_REF}\nCOPY data /data\n`);
    },
  },
  {
    name: `RUN writing ${megabytes} MB`,
    prepare(context: string): void {
      mkdirSync(context, { recursive: true });
      writeFileSync(join(context, 'seed.txt'), createText(createRandom(10), 10_000_000));
      const loop = `i=0; while [ $i -lt ${Math.ceil(megabytes / 10)} ]; do cat /seed.txt > /data/part-$i; i=$((i+1)); done`;
      writeFileSync(
        join(context, 'Dockerfile'),
        `FROM ${BASE_REF}\nCOPY seed.txt /\nRUN mkdir /data; ${loop}\n`,
      );
    },
  },
];

const work = mkdtempSync(join(tmpdir(), 'ocibuild-memory-'));
try {
  const store = createStoreTemplate(work);
  const rows: string[][] = [];
  for (const [index, { name, prepare }] of CASES.entries()) {
    const context = join(work, `context-${index}`);
    prepare(context);
    const archive = join(work, `image-${index}.tar`);
    const usage = runMeasured(
      ocibuildWords(store, { context, archive, tag: 'ocibuild-bench:memory' }, 'plain'),
    );
    if (usage.code !== 0)
      throw new Error(`Cannot build ${name}: exit code ${usage.code}\n${usage.stderr.slice(-2000)}`);
    const fits = usage.peakRssBytes <= LIMIT_BYTES;
    if (!fits) process.exitCode = 1;
    rows.push([
      name,
      formatMs(usage.wallMs),
      `${Math.round(usage.peakRssBytes / 1e6)} MB`,
      fits ? 'ok' : 'too much',
    ]);
  }
  process.stdout.write(
    `${markdownTable(['layer', 'time', 'peak memory', `limit ${LIMIT_BYTES / 1e6} MB`], rows)}\n`,
  );
} finally {
  rmSync(work, { recursive: true, force: true });
}
