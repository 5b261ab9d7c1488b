import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { COMMANDS } from '../../../src/cli/commands.ts';
import type { Flag } from '../../../src/cli/flags/types.ts';
import { helpText } from '../../../src/cli/help/help.ts';

const TESTS = resolve(import.meta.dirname, '../..');
const SCREEN_LINES = 48;

/** Tests that run the whole command; what `help` prints is shown by the unit tests of it. */
const texts = readdirSync(TESTS, { recursive: true, encoding: 'utf8' })
  .filter((file) => /^(?:e2e|unit\/cli\/run)\b.*\.test\.ts$/.test(file))
  .map((file) => readFileSync(join(TESTS, file), 'utf8'));

const isShown = ({ help, refused }: Flag): boolean => help !== undefined && refused === undefined;

/** The flag as a word of its own, or as a letter among others of the same word. */
function uses({ name, short }: Flag, text: string): boolean {
  if (new RegExp(`['"\`\\s]--${name}(?![\\w-])`).test(text)) return true;
  return short !== undefined && new RegExp(`['"\`\\s]-[a-zA-Z]*${short}[a-zA-Z]*['"\`\\s]`).test(text);
}

const commands = Object.entries(COMMANDS);

describe('flags', () => {
  it.each(commands)('of %s are each used by a test that runs the command', (command, { flags }) => {
    // `build` may be left out, so each test of the command line may be one of it.
    const isNamed = new RegExp(`['"\`\\s]${command}['"\`\\s]`);
    const own = texts.filter((text) => command === 'build' || isNamed.test(text));
    const untried = flags.filter(isShown).filter((flag) => !own.some((text) => uses(flag, text)));
    expect(untried.map(({ name }) => name)).toEqual([]);
  });

  it.each(commands)('of %s fit on a screen', (command) => {
    expect(helpText(command as keyof typeof COMMANDS).split('\n').length).toBeLessThanOrEqual(
      SCREEN_LINES + 1,
    );
  });

  it('have examples in every command that does something', () => {
    const without = commands.filter(([, { examples }]) => examples.length === 0).map(([name]) => name);
    expect(without).toEqual(['version', 'help']);
  });
});
