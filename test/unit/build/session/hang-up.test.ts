import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { hangUpCheck } from '../../../../src/build/session/hang-up.ts';

describe('hangUpCheck()', () => {
  it('tells a pipe whose reader is gone from one that is read, and from a file', () => {
    const top = mkdtempSync(join(tmpdir(), 'ocibuild-hang-up-'));
    onTestFinished(() => rmSync(top, { recursive: true }));
    const path = join(top, 'pipe');
    execFileSync('mkfifo', [path]);
    // Both ends: an open of one alone would wait.
    const reader = openSync(path, 'r+');
    const writer = openSync(path, 'w');
    const isHungUp = hangUpCheck();
    expect(isHungUp(writer)).toBe(false);
    closeSync(reader);
    expect(isHungUp(writer)).toBe(true);
    closeSync(writer);
    const file = openSync('/dev/null', 'w');
    expect(isHungUp(file)).toBe(false);
    closeSync(file);
  });
});
