import https from 'node:https';
import { registryUrl } from './address.ts';
import type { ResolverOptions } from './types.ts';

const PROBE_MS = 10_000;

/** How registries are to be spoken to that need no certificate that anybody knows: by TLS where they speak it, else by
 * plain HTTP. */
export async function insecureOptions(
  registries: readonly string[],
  signal: AbortSignal,
): Promise<Pick<ResolverOptions, 'plainHttp' | 'skipVerify'>> {
  const plain = await Promise.all(registries.map((registry) => isPlain(registry, signal)));
  return {
    plainHttp: registries.filter((_, i) => plain[i]),
    skipVerify: registries.filter((_, i) => !plain[i]),
  };
}

/** Whether a server answers a TLS greeting with something else. */
function isPlain(registry: string, signal: AbortSignal): Promise<boolean> {
  const url = registryUrl(registry, []);
  if (url.protocol === 'http:') return Promise.resolve(true);
  return new Promise((resolve) => {
    const either = AbortSignal.any([signal, AbortSignal.timeout(PROBE_MS)]);
    const request = https.request(new URL('v2/', url), { rejectUnauthorized: false, signal: either });
    request.on('response', (response) => {
      response.destroy();
      resolve(false);
    });
    // What else is wrong shows again, and is told, when the registry is used.
    request.on('error', (error: NodeJS.ErrnoException) =>
      resolve(/^(EPROTO|ERR_SSL_)/.test(error.code ?? '')),
    );
    request.end();
  });
}
