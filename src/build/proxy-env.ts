import type { ProxyEnv } from '../solver/ops/types.ts';
import { dockerConfig } from '../transfer/docker-context.ts';

/** Names of variables, and of the keys that Docker's settings have for them. */
const NAMES = {
  HTTP_PROXY: 'httpProxy',
  HTTPS_PROXY: 'httpsProxy',
  FTP_PROXY: 'ftpProxy',
  NO_PROXY: 'noProxy',
  ALL_PROXY: 'allProxy',
} as const;

type Env = Readonly<Record<string, string | undefined>>;
type Args = Readonly<Record<string, string>>;

/** Proxies for RUN steps, in both cases as tools want them. They are part of no key, and of an image only where an ARG
 * says so. A build argument beats the environment; an empty one switches the proxy off. */
export function proxyEnvironment(env: Env, buildArgs: Args = {}): ProxyEnv {
  const host: string[] = [];
  const given: string[] = [];
  for (const upper of Object.keys(NAMES)) {
    const lower = upper.toLowerCase();
    const asked = buildArgs[upper] ?? buildArgs[lower];
    const value = asked ?? env[upper] ?? env[lower];
    if (value) (asked === undefined ? host : given).push(`${upper}=${value}`, `${lower}=${value}`);
  }
  return { host, given };
}

/** Build arguments with the proxies that `~/.docker/config.json` has for builds, where none is given. */
export function withProxySettings(buildArgs: Args, env: Env): Args {
  const { proxies } = dockerConfig(env) as { readonly proxies?: { readonly default?: object } | null };
  const settings = (proxies?.default ?? {}) as Readonly<Record<string, unknown>>;
  const args: Record<string, string> = {};
  for (const [upper, key] of Object.entries(NAMES)) {
    const value = settings[key];
    const isGiven = buildArgs[upper] !== undefined || buildArgs[upper.toLowerCase()] !== undefined;
    if (typeof value === 'string' && value !== '' && !isGiven) args[upper] = value;
  }
  return { ...args, ...buildArgs };
}
