import { join } from 'node:path';

/** Where the store is when nobody says so: /var/lib/ocibuild for root, the XDG data directory otherwise. */
export function defaultRoot(env: Readonly<Record<string, string | undefined>>): string {
  if (env.OCIBUILD_ROOT) return env.OCIBUILD_ROOT;
  if (process.getuid?.() === 0 && env.OCIBUILD_ROOTLESS === undefined) return '/var/lib/ocibuild';
  return join(env.XDG_DATA_HOME || join(env.HOME || '/', '.local', 'share'), 'ocibuild');
}
