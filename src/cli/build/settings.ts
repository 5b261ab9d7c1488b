import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import type { WatchHooks } from '../../watch/watch-builds.ts';
import type { CliContext } from '../types.ts';

/** Tells a watch when the config file that it was started with says something else. */
export function settingsOf({ config }: CliContext): WatchHooks['settings'] {
  const path = config?.path;
  if (path === undefined) return undefined;
  let known = settingsIn(path);
  return {
    path,
    differ() {
      const now = settingsIn(path);
      const isOther = now !== undefined && now !== known;
      known = now ?? known;
      return isOther;
    },
  };
}

/** Undefined where it is half written, or gone. */
function settingsIn(path: string): string | undefined {
  try {
    const text = readFileSync(path, 'utf8');
    if (basename(path) !== 'package.json') return text;
    // The rest of it is not ours.
    return JSON.stringify((JSON.parse(text) as { ocibuild?: unknown }).ocibuild) ?? '';
  } catch {
    return undefined;
  }
}
