import type { BuildResult } from '../../../src/build/options.ts';
import type { ProgressEvent } from '../../../src/solver/types.ts';
import { eventsFor } from './fixture.ts';
import { resultOf, type ScriptOptions } from './screen-script.ts';

/** What happens on a screen: at some times it is looked at, or changes its size. The build ends after the last. */
export interface Scenario extends ScriptOptions {
  readonly events: readonly ProgressEvent[];
  readonly looks: readonly (
    | number
    | { readonly at: number; readonly columns: number; readonly rows: number }
  )[];
  readonly result?: BuildResult;
}

const APP = 'docker.io/library/app:v1';
const lines = (text: string, count: number): string =>
  Array.from({ length: count }, (_, i) => `${text} ${i + 1}\n`).join('');
const digest = (character: string): string => `sha256:${character.repeat(64)}`;

const ran = (name: string, from: number, to: number): ProgressEvent[] => {
  const step = eventsFor(name);
  return [step.vertex(name, from), step.started(from), step.done(to)];
};
const cached = (name: string, at: number): ProgressEvent[] => {
  const step = eventsFor(name);
  return [step.vertex(name, at), step.cached(at)];
};
/** All steps that the numbers of those in the events promise, told of before the first that begins. */
const withPlan = (events: readonly ProgressEvent[]): ProgressEvent[] => {
  const ids = new Map<string, string>();
  for (const event of events) {
    const [, place = '', step, count] =
      (event.kind === 'vertex' && /^\[(.*?)(\d+)\/(\d+)\]/.exec(event.name)) || [];
    if (event.kind !== 'vertex' || step === undefined) continue;
    for (let i = 1; i <= Number(count); i++) {
      const key = `${place}${i}`;
      if (i === Number(step) || !ids.has(key)) ids.set(key, i === Number(step) ? event.vertex : key);
    }
  }
  return [...events, { kind: 'planned', time: 1_000_255, vertices: [...ids.values()] }];
};
const PREPARED = [
  ...ran('[internal] load build definition from Dockerfile', 0, 10),
  ...ran('[internal] load metadata for docker.io/library/node:22', 10, 240),
  ...ran('[internal] load .dockerignore', 250, 251),
];

const make = eventsFor('make');
const SINGLE = withPlan([
  ...PREPARED,
  ...cached('[1/5] FROM docker.io/library/node:22', 260),
  ...cached('[2/5] WORKDIR /app', 260),
  ...ran('[3/5] COPY package.json package-lock.json ./', 270, 290),
  make.vertex('[4/5] RUN npm ci', 300),
  make.started(300),
  make.log(900, 'npm warn deprecated glob@7.2.3: no longer supported\n'),
  make.log(1500, lines('added package', 12)),
  make.log(2100, 'half a li'),
  make.done(4200),
  ...ran('[5/5] COPY . .', 4210, 4350),
  ...ran('exporting to image', 4360, 4500),
]);

const [deps, build, test] = ['deps', 'build', 'test'].map(eventsFor) as [Step, Step, Step];
type Step = ReturnType<typeof eventsFor>;
const STAGES = withPlan([
  ...PREPARED,
  ...cached('[base 1/2] FROM docker.io/library/node:22', 260),
  ...cached('[base 2/2] WORKDIR /app', 260),
  ...ran('[deps 1/2] COPY package.json package-lock.json ./', 270, 300),
  ...ran('[build 1/3] COPY src ./src', 270, 310),
  deps.vertex('[deps 2/2] RUN npm ci --omit=dev', 320),
  deps.started(320),
  deps.log(400, lines('added package', 3)),
  build.vertex('[build 2/3] RUN npm run build', 330),
  build.started(330),
  build.log(700, '> app@1.0.0 build\n> tsc -p .\nsrc/app.ts: 214 modules\n'),
  test.vertex('[test 2/2] RUN npm test', 330),
  test.started(330),
  test.log(800, lines('ok', 9)),
  deps.done(2300),
  test.done(2800),
  build.done(3100),
  ...ran('exporting to image', 3110, 3300),
]);

const [base, install] = ['base', 'install'].map(eventsFor) as [Step, Step];
const PULL = withPlan([
  ...PREPARED,
  ...ran('[1/2] FROM docker.io/library/node:22', 256, 258),
  install.vertex('[2/2] RUN npm ci', 259),
  install.started(259),
  base.vertex('fetching docker.io/library/node:22', 260),
  base.started(260),
  ...[0, 500, 1000, 1500, 2000].flatMap((ms, i) => [
    base.status(260 + ms, digest('a'), 7_000_000 * i, { total: 28_000_000, done: i === 4 }),
    base.status(260 + ms, digest('b'), 3_100_000 * i, { total: 62_000_000 }),
    base.status(260 + ms, digest('c'), 400_000, { total: 400_000, done: true }),
  ]),
  base.done(6000),
]);

const [amd, arm] = [eventsFor('amd'), eventsFor('arm')];
const PLATFORMS = withPlan([
  ...PREPARED,
  amd.vertex('[linux/amd64 build 2/4] RUN make', 300),
  amd.started(300),
  amd.log(500, lines('cc -O2 -c part', 4)),
  arm.vertex('[linux/arm64 build 2/4] RUN make', 300),
  arm.started(300),
  arm.log(1500, lines('cc -O2 -c part', 2)),
  amd.done(2000),
  arm.done(5000),
]);

const MANY = withPlan([
  ...PREPARED,
  ...Array.from({ length: 190 }, (_, i) =>
    ran(`[${i + 1}/200] RUN step ${i + 1}`, 300 + i * 10, 305 + i * 10),
  ).flat(),
  ...Array.from({ length: 10 }, (_, i) => {
    const step = eventsFor(`late ${i}`);
    const log = step.log(2400, lines(`output of ${i}`, 3));
    return [
      step.vertex(`[${191 + i}/200] RUN late ${191 + i}`, 2300),
      step.started(2300),
      ...(i < 2 ? [log] : [step.done(2350)]),
    ];
  }).flat(),
]);

const wide = eventsFor('wide');
const WIDE = withPlan([
  wide.vertex('[2/2] RUN echo 漢字かな交じり文', 0),
  wide.started(0),
  wide.log(100, 'tab\tstops\there\n'),
  wide.log(200, '漢字かな交じり文の長い行はどこかで切れなければならない。そうでしょう\n'),
  wide.log(300, '\u001b[32mgreen\u001b[0m and \u001b[1;31mred that goes on and on beyond the border of it\n'),
  wide.log(400, ' 10%\r 50%\r100% downloaded\n'),
  wide.log(500, 'a\u0301 combined, \u001b[2Jcursor \u001b[10;10Hmoved\n'),
]);

const failing = eventsFor('failing');
const FAILED = withPlan([
  ...PREPARED,
  ...cached('[1/3] FROM docker.io/library/node:22', 260),
  failing.vertex('[2/3] RUN npm run build', 300),
  failing.started(300),
  failing.log(900, 'src/app.ts(3,1): error TS2304: Cannot find name "foo".\n'),
  failing.failed(1900, 'Cannot finish RUN npm run build: exit code 2'),
]);

/** By the name of the golden file. */
export const SCENARIOS: Readonly<Record<string, Scenario>> = {
  'one-stage': {
    ...{ columns: 80, rows: 24, events: SINGLE, looks: [1600, 2200, 4500] },
    result: resultOf([APP], { 'linux/amd64': [-29_000_000, -120, 15_300, 8_400_000, 230_000] }),
  },
  'stages-side-by-side': {
    ...{ columns: 160, rows: 20, events: STAGES, looks: [1000, 2400, 3300] },
    result: resultOf([APP, 'ghcr.io/me/app:v1'], { 'linux/amd64': [-29_000_000, -120, 8_400_000, 230_000] }),
  },
  'stages-below-each-other': { columns: 80, rows: 24, events: STAGES, looks: [1000, 2400] },
  pull: { columns: 80, rows: 24, events: PULL, looks: [800, 1900] },
  platforms: {
    ...{ columns: 120, rows: 20, events: PLATFORMS, looks: [1800, 5000] },
    result: resultOf([APP], {
      'linux/amd64': [-29_000_000, 8_400_000],
      'linux/arm64': [-28_000_000, 8_100_000],
    }),
  },
  'all-cached': {
    ...{ columns: 80, rows: 24, looks: [20] },
    events: [
      '[1/4] FROM docker.io/library/node:22',
      '[2/4] WORKDIR /app',
      '[3/4] COPY . .',
      '[4/4] RUN make',
    ].flatMap((name) => cached(name, 5)),
    result: resultOf([APP], { 'linux/amd64': [-29_000_000, -120, -8_400_000] }),
  },
  'two-hundred-steps': { columns: 60, rows: 16, events: MANY, looks: [2200, 2500] },
  'twenty-columns': {
    ...{ columns: 20, rows: 10, events: STAGES, looks: [1000, 3300] },
    result: resultOf(['app:v1'], { 'linux/amd64': [-29_000_000, 8_400_000] }),
  },
  'four-rows': { columns: 40, rows: 4, events: STAGES, looks: [1000] },
  'wide-characters': { columns: 50, rows: 16, events: WIDE, looks: [600] },
  'failed-step': { columns: 80, rows: 24, events: FAILED, looks: [1000, 1900] },
  interrupted: {
    ...{ columns: 80, rows: 24, looks: [1000, 1200] },
    events: [
      ...STAGES.filter(({ time }) => time < 1_001_000),
      ...[deps, build, test].map((step) => step.cancelled(1100)),
    ],
  },
  'ascii-only': { columns: 80, rows: 24, unicode: false, events: PULL, looks: [1900] },
  'watch-cycle': {
    ...{ columns: 80, rows: 24, brief: true, events: SINGLE, looks: [1600] },
    result: resultOf(['app:dev'], { 'linux/amd64': [-29_000_000, 15_300, 230_000] }),
  },
  resized: {
    ...{ columns: 120, rows: 20, events: STAGES },
    looks: [
      1000,
      { at: 1010, columns: 60, rows: 20 },
      { at: 1020, columns: 30, rows: 12 },
      { at: 1030, columns: 100, rows: 8 },
      1200,
    ],
  },
};
