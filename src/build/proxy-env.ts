const NAMES = ['HTTP_PROXY', 'HTTPS_PROXY', 'FTP_PROXY', 'NO_PROXY', 'ALL_PROXY'];

/** Proxy settings for RUN steps, in both cases as tools want them. They are part of no key and of no image.
 * A `--build-arg` beats the environment; an empty one switches the proxy off. */
export function proxyEnvironment(
  env: Readonly<Record<string, string | undefined>>,
  buildArgs: Readonly<Record<string, string>> = {},
): readonly string[] {
  return NAMES.flatMap((upper) => {
    const lower = upper.toLowerCase();
    const value = buildArgs[upper] ?? buildArgs[lower] ?? env[upper] ?? env[lower];
    return value === undefined || value === '' ? [] : [`${upper}=${value}`, `${lower}=${value}`];
  });
}
