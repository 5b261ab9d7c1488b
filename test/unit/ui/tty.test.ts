import { describe, expect, it } from 'vitest';
import { variablesOf } from '../../../src/build/fast-path.ts';
import { capabilitiesOf } from '../../../src/ui/capabilities.ts';
import { eventsFor } from './fixture.ts';
import { startScreen } from './screen-script.ts';

const a = eventsFor('a');
const SIZE = { columns: 60, rows: 10 };
const RUNNING = [a.vertex('[1/1] RUN make'), a.started(0), a.log(10, 'hello\n')];

describe('createTtyPrinter()', () => {
  it('opens no screen when the build ends at once', async () => {
    const script = startScreen([...RUNNING, a.done(100)], SIZE);
    expect(await script.at(240)).toBe('');
    await script.printer.finish();
    expect(await script.screen.text()).toContain('✓ 1/1 RUN make');
  });

  it('gives the terminal back when the process is stopped, and draws again when it goes on', async () => {
    const script = startScreen(RUNNING, SIZE);
    expect(await script.at(1000)).toContain('│ hello');
    script.suspension.suspend?.();
    expect(await script.screen.visible()).toBe('');
    expect(script.screen.cursor()).toMatchObject({ row: 0, isVisible: true });
    script.suspension.resume?.();
    expect(await script.screen.visible()).toContain('│ hello');
    expect(script.screen.cursor().isVisible).toBe(false);
    await script.printer.finish();
    expect(script.screen.cursor().isVisible).toBe(true);
  });

  it('writes nothing after its end', async () => {
    const script = startScreen(RUNNING, SIZE);
    await script.at(1000);
    await script.printer.finish();
    const end = await script.screen.text();
    script.printer.event(a.done(2000));
    await script.printer.finish();
    script.screen.resize(80, 10);
    await script.at(9000);
    expect(await script.screen.text()).toBe(end);
  });

  it('goes on when the terminal is closed', async () => {
    const script = startScreen([...RUNNING, a.done(2000)], SIZE);
    await script.at(1000);
    script.screen.stream.on('error', () => {});
    script.screen.stream.destroy();
    await script.at(3000);
    await expect(script.printer.finish()).resolves.toBeUndefined();
  });
});

describe('capabilitiesOf()', () => {
  it.each([
    [{}, { canDraw: true, likesDrawing: true, color: true, unicode: true }],
    [{}, { refusesColor: false }],
    [{ NO_COLOR: '1' }, { refusesColor: true }],
    [{ TERM: 'dumb', FORCE_COLOR: '1' }, { refusesColor: false }],
    [{ TERM: 'dumb' }, { canDraw: false, likesDrawing: false, color: false, refusesColor: true }],
    [{ TERM: 'linux' }, { canDraw: true, unicode: false }],
    [{ CI: 'true' }, { canDraw: true, likesDrawing: false }],
    [{ CI: 'false' }, { likesDrawing: true }],
    [{ INK_SCREEN_READER: 'true' }, { canDraw: true, likesDrawing: false }],
    [{ NO_COLOR: '1', FORCE_COLOR: '1' }, { color: false }],
    [{ NO_COLOR: '' }, { color: true }],
    [{ CLICOLOR: '0' }, { color: false }],
    [{ CLICOLOR: '0', CLICOLOR_FORCE: '1' }, { color: true }],
    [{ FORCE_COLOR: '0' }, { color: false }],
    [{ LC_ALL: 'C', LANG: 'en_GB.UTF-8' }, { unicode: false }],
    [{ LANG: 'de_DE.utf8' }, { unicode: true }],
  ])('capabilitiesOf() reads the usual variables when they are %j', (env, expected) => {
    expect(capabilitiesOf(env, true)).toMatchObject(expected);
  });

  it('capabilitiesOf() draws nothing when there is no terminal', () => {
    expect(capabilitiesOf({ FORCE_COLOR: '1' }, false)).toMatchObject({ canDraw: false, color: true });
    expect(capabilitiesOf({ TERM: 'dumb' }, false)).toMatchObject({ color: false, refusesColor: false });
  });

  it('capabilitiesOf() reads only variables that a remembered build is known by', () => {
    const read = new Set<string>();
    const env = new Proxy<Record<string, string>>(
      {},
      {
        get(_target, name) {
          read.add(String(name));
          return undefined;
        },
      },
    );
    capabilitiesOf(env, true);
    expect(read.size).toBeGreaterThan(8);
    expect(Object.keys(variablesOf([], {}))).toEqual(expect.arrayContaining([...read]));
  });
});
