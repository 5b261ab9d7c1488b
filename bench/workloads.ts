import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createRandom, createText, writeTree } from './data.ts';
import { BASE_REF } from './tools.ts';

export interface Workload {
  readonly id: string;
  readonly title: string;
  /** cold: the cache is emptied before each run; warm: one build goes ahead, `touch` changes the context; shared: one
   * build goes ahead and exports its cache to a registry, then each run has an empty store. */
  readonly mode: 'cold' | 'warm' | 'shared';
  readonly archive: boolean;
  prepare(context: string): void;
  touch?(context: string, run: number): void;
}

function writeDockerfile(context: string, lines: readonly string[]): void {
  mkdirSync(context, { recursive: true });
  writeFileSync(join(context, 'Dockerfile'), `${[`FROM ${BASE_REF}`, ...lines].join('\n')}\n`);
}

function prepareLargeCopy(context: string): void {
  writeDockerfile(context, ['COPY node_modules /app/node_modules', 'COPY main.js /app/main.js']);
  writeTree(join(context, 'node_modules'), { files: 20_000, totalBytes: 300e6, seed: 2 });
  writeFileSync(join(context, 'main.js'), '// start\n');
}

/** Rounds of an awk loop that keep one core busy for about `seconds`. */
function calibrateRounds(seconds: number): number {
  const rounds = 2_000_000;
  const start = performance.now();
  execFileSync('busybox', ['awk', awkLoop(rounds)]);
  return Math.round((rounds * seconds * 1000) / (performance.now() - start));
}

function awkLoop(rounds: number): string {
  return `BEGIN { for (i = 0; i < ${rounds}; i++) x += i % 7; print x }`;
}

export const WORKLOADS: readonly Workload[] = [
  {
    id: 'W1',
    title: 'all cached: 12 steps, 2,000 files',
    mode: 'warm',
    archive: false,
    prepare(context) {
      writeDockerfile(context, [
        'ARG VERSION=1',
        'ENV NODE_ENV=production',
        'WORKDIR /app',
        'COPY package.json ./',
        'RUN echo install > install.log',
        'COPY src src',
        'RUN echo compile > compile.log',
        'RUN echo test > test.log',
        'COPY package.json public/',
        'RUN echo pack > pack.log',
        'RUN mkdir -p /var/app',
        'LABEL bench=W1',
        'CMD ["cat", "pack.log"]',
      ]);
      writeFileSync(join(context, 'package.json'), '{"name":"w1"}\n');
      writeTree(join(context, 'src'), { files: 2000, totalBytes: 20e6, seed: 1 });
    },
  },
  {
    id: 'W2',
    title: 'COPY of 20,000 files, 300 MB, to an OCI archive',
    mode: 'cold',
    archive: true,
    prepare: prepareLargeCopy,
  },
  {
    id: 'W3',
    title: 'W2 again, one file changed',
    mode: 'warm',
    archive: true,
    prepare: prepareLargeCopy,
    touch(context, run) {
      appendFileSync(join(context, 'node_modules/pkg-50/lib-0/file-10000.js'), `// change ${run}\n`);
    },
  },
  {
    id: 'W4',
    title: '30 small RUN steps',
    mode: 'cold',
    archive: false,
    prepare(context) {
      writeDockerfile(
        context,
        Array.from({ length: 30 }, (_, step) => `RUN echo step ${step} > /step-${step}`),
      );
    },
  },
  {
    id: 'W5',
    title: 'four independent stages of 1.2 s CPU each',
    mode: 'cold',
    archive: false,
    prepare(context) {
      const loop = awkLoop(calibrateRounds(1.2));
      const names = ['a', 'b', 'c', 'd'];
      const stages = names.flatMap((name) => [
        `FROM ${BASE_REF} AS ${name}`,
        `RUN echo ${name} > /name && awk '${loop}' > /${name}.txt`,
      ]);
      mkdirSync(context, { recursive: true });
      const join4 = [`FROM ${BASE_REF}`, ...names.map((name) => `COPY --from=${name} /${name}.txt /`)];
      writeFileSync(join(context, 'Dockerfile'), `${[...stages, ...join4].join('\n')}\n`);
    },
  },
  {
    id: 'W6',
    title: 'RUN writing 5,000 files, 100 MB, then a small RUN, to an OCI archive',
    mode: 'cold',
    archive: true,
    prepare(context) {
      // One process writes all files: what is measured is the step's layer, not the shell.
      const write = `f = "/data/f" i; printf "%s", substr(s, 1 + i * 397 % 1980000, 20000) > f; close(f)`;
      writeDockerfile(context, [
        'COPY seed.txt /',
        `RUN mkdir /data && awk 'BEGIN { RS = "\\001"; getline s < "/seed.txt"; for (i = 0; i < 5000; i++) { ${write} } }'`,
        'RUN ls /data > /list.txt',
      ]);
      writeFileSync(join(context, 'seed.txt'), createText(createRandom(6), 2_000_000));
    },
  },
  {
    id: 'W7',
    title: '20 steps from a registry cache to an empty store, pushed to the same registry',
    mode: 'shared',
    archive: false,
    prepare(context) {
      const steps = Array.from({ length: 10 }, (_, step) => [
        `COPY part-${step} /app/part-${step}`,
        `RUN du -a /app/part-${step} > /app/size-${step}`,
      ]);
      writeDockerfile(context, steps.flat());
      for (let step = 0; step < 10; step += 1)
        writeTree(join(context, `part-${step}`), { files: 50, totalBytes: 1e6, seed: 70 + step });
    },
  },
  {
    id: 'W8',
    title: 'COPY of 20,000 files, 200 MB, and a RUN on them, one file changed, to an OCI archive',
    mode: 'warm',
    archive: true,
    prepare: (context) => prepareSource(context, ['COPY src /src', 'RUN find /src -type f | wc -l > /count']),
    touch: saveOne,
  },
  {
    id: 'W9',
    title: 'RUN with a bind mount of 20,000 files, 200 MB, one file changed',
    mode: 'warm',
    archive: false,
    prepare: (context) =>
      prepareSource(context, [
        'RUN --mount=type=bind,source=src,target=/src find /src -type f | wc -l > /count',
      ]),
    touch: saveOne,
  },
  {
    id: 'W10',
    title: 'COPY of 300 MB that do not shrink, and a RUN, to an OCI archive',
    mode: 'cold',
    archive: true,
    prepare(context) {
      writeDockerfile(context, ['COPY media.bin /', 'RUN wc -c /media.bin > /size']);
      writeFileSync(join(context, 'media.bin'), randomBytes(300e6));
    },
  },
];

function prepareSource(context: string, lines: readonly string[]): void {
  writeDockerfile(context, lines);
  writeTree(join(context, 'src'), { files: 20_000, totalBytes: 200e6, seed: 8 });
}

function saveOne(context: string, run: number): void {
  appendFileSync(join(context, 'src/pkg-50/lib-0/file-10000.js'), `// change ${run}\n`);
}
