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

/** Proxy settings for RUN steps, in both cases as tools want them. They are part of no key and of no image.
 * A `--build-arg` beats what Docker's settings say, and these the environment; an empty one switches the proxy off. */
export function proxyEnvironment(
  env: Env,
  buildArgs: Readonly<Record<string, string>> = {},
): readonly string[] {
  const settings = dockerProxies(env);
  return Object.entries(NAMES).flatMap(([upper, key]) => {
    const lower = upper.toLowerCase();
    const value = buildArgs[upper] ?? buildArgs[lower] ?? settings[key] ?? env[upper] ?? env[lower];
    return value === undefined || value === '' ? [] : [`${upper}=${value}`, `${lower}=${value}`];
  });
}

/** What `~/.docker/config.json` has for containers and builds. */
function dockerProxies(env: Env): Readonly<Record<string, string | undefined>> {
  const { proxies } = dockerConfig(env) as { readonly proxies?: { readonly default?: object } | null };
  const found = Object.entries(proxies?.default ?? {}).filter(([, value]) => typeof value === 'string');
  return Object.fromEntries(found) as Readonly<Record<string, string>>;
}
