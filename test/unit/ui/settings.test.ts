import { expect, it } from 'vitest';
import { createPrinter } from '../../../src/ui/create-printer.ts';
import { settingsOf } from '../../../src/ui/settings.ts';
import { createTheme } from '../../../src/ui/theme.ts';
import { eventsFor } from './fixture.ts';
import { startScreen } from './screen-script.ts';

const a = eventsFor('a');
const NAME = `[1/1] RUN ${'echo '.repeat(20)}end`;

async function printed(mode: 'plain' | 'tty', env: Readonly<Record<string, string>>, color = false) {
  let text = '';
  const write = (part: string): boolean => {
    text += part;
    return true;
  };
  const stream = { columns: 60, rows: 10, destroyed: false, write };
  const printer = await createPrinter(mode, { stream, color, title: 'title', env });
  for (const event of [a.vertex(NAME), a.started(0), a.done(100)]) printer.event(event);
  await printer.finish();
  return text;
}

it.each([
  [{}, { colors: {}, warnings: [] }],
  [
    { BUILDKIT_TTY_LOG_LINES: '3', PROGRESS_NO_TRUNC: '1' },
    { logLines: 3, cutsNames: false },
  ],
  [{ PROGRESS_NO_TRUNC: '0' }, { cutsNames: true }],
  [
    { BUILDKIT_COLORS: 'run=green:Warning=light-blue:error=255,0,10:cancel=default' },
    {
      colors: {
        ...{ mark: '32', done: '32', cached: '32', bar: '32' },
        ...{ warning: '94', failed: '38;2;255;0;10', cancelled: '39' },
      },
      warnings: [],
    },
  ],
])('settingsOf(%j) reads the variables', (env, expected) => {
  expect(settingsOf(env)).toMatchObject(expected);
});

it.each(['run', 'run=nope', 'step=red', 'run=1,2', 'run=1,2,256', 'run=red=blue'])(
  'settingsOf() warns once of BUILDKIT_COLORS=%s and of lines that are no number',
  (colors) => {
    const settings = settingsOf({ BUILDKIT_COLORS: `${colors}:error=blue`, BUILDKIT_TTY_LOG_LINES: '-1' });
    expect(settings).toEqual({
      colors: { failed: '34' },
      warnings: [expect.stringContaining(`"${colors}"`)],
    });
    expect(settings.warnings[0]).toContain('BUILDKIT_TTY_LOG_LINES "-1"');
  },
);

it('createPrinter() cuts names of steps on a terminal unless PROGRESS_NO_TRUNC=1, in plain only with 0', async () => {
  expect(await printed('tty', {})).not.toContain('echo end');
  expect(await printed('tty', { PROGRESS_NO_TRUNC: '1' })).toContain('echo end 0.1s\n');
  expect(await printed('plain', {})).toContain('echo end\n');
  expect(await printed('plain', { PROGRESS_NO_TRUNC: '0' })).toContain(`#1 ${NAME.slice(0, 72)}...\n`);
});

it('createPrinter() tells on a terminal what it cannot use, and paints as asked where colours are shown', async () => {
  const env = { BUILDKIT_COLORS: 'run=red:step=red' };
  expect(await printed('tty', env)).toMatch(/1 warning found:\n - Cannot use "step=red" of BUILDKIT_COLORS/);
  expect(await printed('tty', env)).not.toContain('\u001b');
  expect(await printed('tty', env, true)).toContain('\u001b[31m✓\u001b[0m');
  expect(await printed('plain', env)).not.toContain('warning');
});

it('createTheme() paints cancelled steps as failed ones until another colour is asked for', () => {
  const mark = (colors: object) => createTheme({ color: true, unicode: true, colors }).mark('cancelled');
  expect(mark({})).toBe('\u001b[31m-\u001b[0m');
  expect(mark({ cancelled: '33' })).toBe('\u001b[33m-\u001b[0m');
});

it('createTtyPrinter() shows as many lines of output as asked for below a running step', async () => {
  const lines = Array.from({ length: 20 }, (_, i) => a.log(10 + i, `line ${i}\n`));
  const events = [a.vertex('[1/1] RUN make'), a.started(0), ...lines];
  const script = startScreen(events, { columns: 60, rows: 30, logLines: 2 });
  const text = await script.at(1000);
  expect(text.match(/│ line \d+/g)).toEqual(['│ line 18', '│ line 19']);
  await script.printer.finish();
});
