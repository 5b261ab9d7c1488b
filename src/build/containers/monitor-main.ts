import { closeSync, writeSync } from 'node:fs';
import { isOcibuildError } from '../../errors/error.ts';
import { signalContainer } from './control.ts';
import { readContainer } from './records.ts';
import { parseSignal } from './signals.ts';
import { supervise } from './supervise.ts';
import type { ContainerReach, MonitorWord } from './types.ts';

const WORD_FD = 3;
const [root = '', id = ''] = process.argv.slice(2);

/** The process of a detached container: holds what belongs to it until it ends, and stops it when told to end itself. */
async function main(): Promise<void> {
  const container = readContainer(root, id);
  if (container === undefined) throw new Error(`Cannot find the container "${id}" in "${root}"`);
  const { plan } = container;
  const killer = new AbortController();
  let reach: ContainerReach | undefined;
  let warnings: readonly string[] = [];
  for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
    process.on(name, () => {
      const kill = (): void => killer.abort();
      if (reach === undefined) return kill();
      signalContainer(reach, parseSignal(plan.stopSignal)).catch(kill);
      setTimeout(kill, plan.stopTimeoutSec * 1000).unref();
    });
  }
  await supervise(container, {
    root,
    env: process.env,
    terminal: plan.tty ? 'own' : undefined,
    stdin: plan.interactive ? 'open' : 'none',
    signal: killer.signal,
    onWarnings(all) {
      warnings = all;
    },
    onRunning(now) {
      reach = now;
      say({ kind: 'started', warnings });
    },
  });
  say({ kind: 'started', warnings });
}

let hasSpoken = false;

function say(word: MonitorWord): void {
  if (hasSpoken) return;
  hasSpoken = true;
  try {
    writeSync(WORD_FD, JSON.stringify(word));
    closeSync(WORD_FD);
  } catch {
    // Nobody waits for it any more.
  }
}

function failure(error: unknown): Record<string, unknown> {
  const known = isOcibuildError(error) ? error : undefined;
  return (
    known?.toJSON() ?? { message: error instanceof Error ? (error.stack ?? error.message) : String(error) }
  );
}

try {
  await main();
} catch (error) {
  say({ kind: 'failed', error: failure(error) });
}
process.exit(0);
