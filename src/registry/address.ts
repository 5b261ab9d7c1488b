import { isLoopback } from '../http/transport.ts';

/** Where a registry's API is; Docker Hub's name is not its host. */
export function registryUrl(registry: string, plainHttp: readonly string[]): URL {
  const host = registry === 'docker.io' ? 'registry-1.docker.io' : registry;
  const secure = new URL(`https://${host}/`);
  return isPlain(secure, plainHttp) ? new URL(`http://${host}/`) : secure;
}

/** Whether this host may be spoken to without TLS. */
export function isPlain(url: URL, plainHttp: readonly string[]): boolean {
  return isLoopback(url.hostname) || plainHttp.includes(url.host) || plainHttp.includes(url.hostname);
}
