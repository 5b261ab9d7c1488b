import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { SCENARIOS, type Scenario } from './screen-scenarios.ts';
import { startScreen } from './screen-script.ts';

const ROOT = resolve(import.meta.dirname, '../../..');
const GOLDEN = join(ROOT, 'test/golden/screens');
const DOCS = join(ROOT, 'docs/terminal.md');
const UPDATE = process.env.UPDATE_GOLDEN === '1';

/** All that is seen in a scenario, as the golden files have it. */
async function play(scenario: Scenario): Promise<string> {
  const script = startScreen(scenario.events, scenario);
  const frames: string[] = [];
  let { columns, rows } = scenario;
  const keep = (text: string, when: string): void => {
    frames.push(`--- ${when}, ${columns} columns, ${rows} rows\n${text}\n`);
  };
  for (const look of scenario.looks) {
    if (typeof look === 'object') {
      ({ columns, rows } = look);
      script.screen.resize(columns, rows);
    }
    const at = typeof look === 'object' ? look.at : look;
    keep(await script.at(at), `${(at / 1000).toFixed(1)}s`);
  }
  await script.printer.finish(scenario.result);
  const end = await script.screen.text();
  keep(end.split('\n').length > 60 ? await script.screen.visible() : end, 'at the end');
  expect(script.screen.cursor().isVisible).toBe(true);
  return frames.join('');
}

describe('the terminal', () => {
  it.each(Object.entries(SCENARIOS))('shows what %s.txt has', async (name, scenario) => {
    const file = join(GOLDEN, `${name}.txt`);
    const seen = await play(scenario);
    if (UPDATE) {
      mkdirSync(GOLDEN, { recursive: true });
      writeFileSync(file, seen);
    }
    expect(seen).toBe(existsSync(file) ? readFileSync(file, 'utf8') : '');
  });

  it('looks as docs/terminal.md says', () => {
    const text = readFileSync(DOCS, 'utf8');
    const shown = text.replace(
      /<!-- screen (\S+) (\d+) -->\n```text\n[\s\S]*?```/g,
      (_whole, name: string, frame: string) =>
        `<!-- screen ${name} ${frame} -->\n\`\`\`text\n${frameOf(name, Number(frame))}\`\`\``,
    );
    if (UPDATE) writeFileSync(DOCS, shown);
    else expect(text).toBe(shown);
    expect(text.match(/<!-- screen /g)?.length).toBeGreaterThan(5);
  });
});

function frameOf(name: string, frame: number): string {
  const frames = readFileSync(join(GOLDEN, `${name}.txt`), 'utf8').split(/^--- .*\n/m);
  return frames[frame] ?? `no frame ${frame}`;
}
