import { describe, expect, it } from 'vitest';
import { MultiError, OcibuildError } from '../../../src/errors/error.ts';
import type { ProgressEvent } from '../../../src/solver/types.ts';
import { githubGroups, gitlabGroups, plainGroups } from '../../../src/ui/group-styles.ts';
import { createGroupedPrinter, type GroupStyle } from '../../../src/ui/grouped.ts';
import { eventsFor, fakeTerminal } from './fixture.ts';

async function play(
  events: readonly ProgressEvent[],
  style: GroupStyle = plainGroups(),
  error?: unknown,
): Promise<string> {
  const terminal = fakeTerminal(['hunter2']);
  const printer = createGroupedPrinter(terminal, style, 'building');
  for (const event of events) printer.event(event);
  await printer.finish(undefined, error);
  return terminal.output().replace(/^#0 building\n/, '');
}

const [a, b, c] = [eventsFor('a'), eventsFor('b'), eventsFor('c')];
const SIDE_BY_SIDE: readonly ProgressEvent[] = [
  a.vertex('RUN slow'),
  b.vertex('RUN quick'),
  a.started(0),
  b.started(0),
  a.log(100, 'slow 1\n'),
  b.log(200, 'quick 1\n'),
  a.log(300, 'slow 2\n'),
  b.done(400),
  a.done(1000),
];

describe('createGroupedPrinter()', () => {
  it('grouped keeps the output of a step together when another one runs beside it', async () => {
    expect(await play(SIDE_BY_SIDE)).toBe(`
#1 RUN slow
#1 0.100 slow 1
#1 0.300 slow 2
#1 DONE 1.0s

#2 RUN quick
#2 0.200 quick 1
#2 DONE 0.4s
`);
  });

  it('grouped shows a step as it goes when it is the first that runs', () => {
    const terminal = fakeTerminal();
    const printer = createGroupedPrinter(terminal, plainGroups(), 'building');
    for (const event of [a.vertex('RUN slow'), a.started(0), a.log(10, 'one\n')]) printer.event(event);
    expect(terminal.output()).toContain('#1 0.010 one\n');
  });

  it('grouped shows a step in parts when too much of it waits', async () => {
    const line = `${'x'.repeat(1 << 20)}\n`;
    const many = [b.log(10, line), b.log(20, line), b.log(30, line), b.log(40, line), b.log(50, line)];
    const text = await play([
      ...[a.vertex('A'), b.vertex('B'), a.started(0), b.started(0), a.log(5, 'a\n'), ...many],
      ...[a.log(60, 'z\n'), b.done(70), a.done(80)],
    ]);
    expect(text.match(/x{1048576}/g)).toHaveLength(5);
    expect(text.replace(/x+/g, 'x').split('\n').filter(Boolean)).toEqual([
      '#1 A',
      '#1 0.005 a',
      '#1 ...',
      '#2 B',
      ...many.map((_, i) => `#2 0.0${i + 1}0 x`),
      '#2 DONE 0.1s',
      '#1 A (goes on)',
      '#1 0.060 z',
      '#1 DONE 0.1s',
    ]);
  });

  it('grouped shows what was held back when the build is cut off', async () => {
    const text = await play(SIDE_BY_SIDE.slice(0, 6));
    expect(text).toContain('#2 0.200 quick 1');
    expect(text).toContain('#2 ...');
  });
});

describe('githubGroups()', () => {
  it('github folds steps and switches commands off when a step prints one', async () => {
    const text = await play(
      [a.vertex('RUN 50%'), a.started(0), a.log(1, '::set-output name=x::1\n'), a.done(2)],
      githubGroups(),
    );
    const token = /::stop-commands::([0-9a-f]{32})\n/.exec(text)?.[1];
    expect(text).toBe(
      `::group::#1 RUN 50%25\n::stop-commands::${token}\n#1 0.001 ::set-output name=x::1\n#1 DONE 0.0s\n::${token}::\n::endgroup::\n`,
    );
  });

  it('github annotates and hides secrets when a step fails or warns', async () => {
    const text = await play(
      [
        c.vertex('RUN x'),
        c.started(0),
        c.failed(5, 'Cannot log in with hunter2\nat all'),
        warning('careful'),
      ],
      githubGroups(),
    );
    expect(text).toMatch(/::endgroup::\n::error::Cannot log in with \S+ at all\n::warning::careful\n$/);
    expect(text).not.toContain('hunter2');
  });
});

describe('createGroupedPrinter().finish()', () => {
  const file = { name: 'Dockerfile', text: 'FROM scratch\nCOPI a /\nRUNN b\n' };
  const fault = (message: string, line: number): OcibuildError => {
    const at = { line, column: 1 };
    return new OcibuildError('DOCKERFILE_INSTRUCTION_UNKNOWN', message, {
      source: { file, ranges: [{ start: at, end: at }] },
    });
  };
  const endOf = (events: readonly ProgressEvent[], error: unknown): Promise<string> =>
    play(events, githubGroups(), error);

  it('finish() annotates each fault when the build ends before a step failed', async () => {
    const faults = new MultiError([
      fault('Cannot understand "COPI"', 2),
      fault('Cannot understand "RUNN"', 3),
    ]);
    expect(await endOf([], faults)).toBe(
      '::error file=Dockerfile,line=2::Cannot understand "COPI"\n::error file=Dockerfile,line=3::Cannot understand "RUNN"\n',
    );
  });

  it('finish() tells a failure once when its step has told it', async () => {
    const text = await endOf(
      [c.vertex('RUN x'), c.started(0), c.failed(5, 'it failed')],
      fault('it failed', 1),
    );
    expect(text.match(/::error/g)).toHaveLength(1);
  });

  it('finish() tells nothing when the build was cancelled', async () => {
    expect(await endOf([], new OcibuildError('CANCELLED', 'Cannot finish: interrupted by SIGINT'))).toBe('');
  });

  it('finish() names the line when a lint rule warns', async () => {
    const finding = { file, range: { start: 2, end: 2 } };
    const text = await endOf([{ kind: 'warning', time: 0, message: 'careful', finding }], undefined);
    expect(text).toBe('::warning file=Dockerfile,line=2::careful\n');
  });
});

it('githubGroups() names the file from the repository', () => {
  const file = { name: 'Dockerfile', text: 'RUN false' };
  const ranges = [{ start: { line: 3, column: 1 }, end: { line: 3, column: 9 } }];
  const { failure } = githubGroups((name) => `app/${name}`);
  expect(failure('it failed', { file, ranges })).toBe('::error file=app/Dockerfile,line=3::it failed\n');
});

describe('gitlabGroups()', () => {
  it('gitlab opens and closes a section when a step is shown', async () => {
    const text = await play([a.vertex('RUN x'), a.cached(0)], gitlabGroups());
    expect(text).toBe(
      '\u001b[0Ksection_start:1000:ocibuild_step_1[collapsed=false]\r\u001b[0K#1 RUN x\n#1 CACHED\n\u001b[0Ksection_end:1000:ocibuild_step_1\r\u001b[0K\n',
    );
  });
});

function warning(message: string): ProgressEvent {
  return { kind: 'warning', time: 0, message };
}
