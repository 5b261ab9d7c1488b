import { Writable } from 'node:stream';
import { describe, expect, it, vi } from 'vitest';
import { openScreen } from '../../../src/ui/app.tsx';

// Ink draws only the last state where it believes to be in CI, and looks when it is loaded.
vi.hoisted(() => {
  for (const name of Object.keys(process.env)) {
    if (/^(CI$|CI_|CONTINUOUS_INTEGRATION$)/.test(name)) delete process.env[name];
  }
});

const LINES = [
  { text: '[+] Building 1.0s (1/2)', style: 'header' },
  { text: ' => [2/2] RUN make      0.9s', style: 'running' },
  { text: ' => => # compiling', style: 'output' },
] as const;

/** A terminal of 40 columns that records what is written. */
function fakeStream(): { stream: NodeJS.WriteStream; text: () => string } {
  let text = '';
  const stream = new Writable({
    write(chunk, _encoding, done) {
      text += String(chunk);
      done();
    },
  });
  Object.assign(stream, { isTTY: true, columns: 40, rows: 20 });
  return { stream: stream as unknown as NodeJS.WriteStream, text: () => text };
}

const drawn = (): Promise<void> => new Promise((done) => setTimeout(done, 80));

describe('openScreen()', () => {
  it('openScreen() draws the lines and replaces them when they change', async () => {
    const { stream, text } = fakeStream();
    const screen = openScreen(stream, { lines: LINES, color: false });
    await drawn();
    for (const line of LINES) expect(text()).toContain(line.text.trimEnd());
    screen.update([{ text: '[+] Building 2.0s (2/2)', style: 'header' }]);
    await drawn();
    expect(text()).toContain('Building 2.0s');
    screen.close();
    expect(text()).not.toContain('\u001b[31m');
  });

  it('openScreen() gives the cursor back when it is closed', async () => {
    const { stream, text } = fakeStream();
    const screen = openScreen(stream, { lines: LINES, color: false });
    await drawn();
    screen.close();
    const shown = text().lastIndexOf('\u001b[?25h');
    expect(shown).toBeGreaterThan(text().lastIndexOf('\u001b[?25l'));
  });
});
