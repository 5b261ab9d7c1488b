import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import type { WatchHooks } from '../../watch/watch-builds.ts';
import type { CliContext } from '../types.ts';

export interface SettingsUser {
  /** Takes what the file says by now. @throws where that cannot be built with */
  use(context: CliContext): Promise<void>;
  /** Tells why it was not taken. */
  refuse(error: unknown): void;
}

/** Follows the config file that a watch was started with. */
export function settingsOf(
  { config, reload }: CliContext,
  { use, refuse }: SettingsUser,
): WatchHooks['settings'] {
  const path = config?.path;
  if (path === undefined || reload === undefined) return undefined;
  let used = settingsIn(path);
  let seen = used;
  return {
    path,
    differs() {
      const now = settingsIn(path);
      return now !== undefined && now !== seen;
    },
    async apply() {
      const now = settingsIn(path);
      if (now === undefined || now === seen) return false;
      seen = now;
      if (now === used) return false;
      try {
        await use(await reload());
        used = now;
        return true;
      } catch (error) {
        refuse(error);
        return false;
      }
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
