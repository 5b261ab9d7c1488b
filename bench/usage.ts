import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Usage {
  readonly code: number;
  readonly stderr: string;
  readonly wallMs: number;
  readonly userMs: number;
  readonly sysMs: number;
  readonly peakRssBytes: number;
}

/** Runs a command under GNU time: CPU of the process with its children, peak memory of the largest one. */
export function runMeasured(words: readonly string[]): Usage {
  const folder = mkdtempSync(join(tmpdir(), 'ocibuild-usage-'));
  const file = join(folder, 'time');
  try {
    const start = performance.now();
    const { status, stderr, error } = spawnSync('/usr/bin/time', ['-o', file, '-f', '%U %S %M', ...words], {
      encoding: 'utf8',
      maxBuffer: 256 << 20,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const wallMs = performance.now() - start;
    if (error) throw error;
    const [user = 0, sys = 0, peak = 0] =
      readFileSync(file, 'utf8').trim().split('\n').at(-1)?.split(' ').map(Number) ?? [];
    return {
      code: status ?? 255,
      stderr,
      wallMs,
      userMs: user * 1000,
      sysMs: sys * 1000,
      peakRssBytes: peak * 1024,
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
