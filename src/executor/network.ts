import type { ProcessSpec } from './types.ts';

const PUBLIC_NAMESERVERS = ['8.8.8.8', '8.8.4.4'];

/** Where a host with systemd-resolved keeps the servers behind its 127.0.0.53 stub. */
export const SYSTEMD_RESOLV_CONF = '/run/systemd/resolve/resolv.conf';

/** Text of /etc/hosts in a sandbox: localhost with the host name, where there is one, then the `host:ip` entries in order. */
export function hostsFile(hostname: string, extraHosts: readonly string[]): string {
  const extra = extraHosts.map((entry) => {
    // The name ends at the first colon or equals sign: an IPv6 address has colons of its own.
    const cut = entry.search(/[:=]/);
    const address = entry.slice(cut + 1).replace(/^\[(.*)\]$/, '$1');
    return `${address}\t${entry.slice(0, cut)}\n`;
  });
  return `${`127.0.0.1\tlocalhost ${hostname}`.trimEnd()}\n::1\tlocalhost ip6-localhost ip6-loopback\n${extra.join('')}`;
}

/**
 * Text of /etc/resolv.conf in a sandbox. Loopback servers stay where the sandbox shares the host's network;
 * elsewhere systemd's real file stands in for its stub, and without any server left a public pair is used.
 * `read` gives a host file's text or undefined.
 */
export function resolvConf(
  network: ProcessSpec['network'],
  read: (path: string) => string | undefined,
): string {
  const host = read('/etc/resolv.conf') ?? '';
  // Without network plugins `default` is the host's network, its loopback servers answer there as well.
  if (network !== 'none' && nameservers(host).length > 0) return host;
  const usesStub =
    nameservers(host).length > 0 && nameservers(host).every((server) => server === '127.0.0.53');
  const source = usesStub ? (read(SYSTEMD_RESOLV_CONF) ?? host) : host;
  const kept = source.split('\n').filter((line) => !isLoopbackServer(line));
  const text = `${kept.join('\n').trimEnd()}\n`.replace(/^\n$/, '');
  if (nameservers(text).length > 0) return text;
  return text + PUBLIC_NAMESERVERS.map((server) => `nameserver ${server}\n`).join('');
}

function nameservers(text: string): string[] {
  return [...text.matchAll(/^\s*nameserver\s+(\S+)/gm)].map(([, server = '']) => server);
}

function isLoopbackServer(line: string): boolean {
  const server = /^\s*nameserver\s+(\S+)/.exec(line)?.[1];
  return server !== undefined && (server.startsWith('127.') || server === '::1');
}
