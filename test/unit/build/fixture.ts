import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { onTestFinished } from 'vitest';
import type { BuildOptions } from '../../../src/build/options.ts';
import type { ProgressEvent } from '../../../src/solver/types.ts';

/** A directory that is gone after the test, with these files in it. */
export function tempDir(files: Readonly<Record<string, string>> = {}): string {
  const dir = mkdtempSync(join(tmpdir(), 'ocibuild-build-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  for (const [name, text] of Object.entries(files)) {
    const path = join(dir, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
    utimesSync(path, 1_000_000, 1_000_000);
  }
  return dir;
}

/** Options of a build that sees nothing of this machine: a store of its own, no environment. */
export function optionsFor(
  files: Readonly<Record<string, string>>,
  more: Partial<BuildOptions> = {},
): BuildOptions & { readonly context: string; readonly root: string } {
  return { context: tempDir(files), env: {}, ...more, root: join(tempDir(), 'store') };
}

/** What progress says of steps: `kind name`. */
export function told(events: readonly ProgressEvent[]): string[] {
  const names = new Map(
    events.flatMap((event) => (event.kind === 'vertex' ? [[event.vertex, event.name] as const] : [])),
  );
  return events.flatMap((event) =>
    event.kind === 'started' || event.kind === 'cached' || event.kind === 'completed'
      ? [`${event.kind} ${names.get(event.vertex)}`]
      : [],
  );
}
