import { isIP } from 'node:net';
import { OcibuildError } from '../errors/error.ts';
import type { PublishedPort } from '../executor/types.ts';

/** The longest range in one word: each port is a socket. */
const MAX_RANGE = 1024;

/**
 * The ports of `-p` words as Docker writes them: `80`, `8080:80`, `127.0.0.1:8080:80/udp`, `127.0.0.1::80`,
 * `[::1]:80:80`, `8000-8002:8000-8002`. In their order, each once. Without a host port any free one is taken (0).
 * @throws USAGE_INVALID
 */
export function parsePublishedPorts(words: readonly string[]): PublishedPort[] {
  const ports = new Map(words.flatMap(parsePublish).map((port) => [JSON.stringify(port), port] as const));
  const list = [...ports.values()];
  const taken = new Map<string, PublishedPort>();
  for (const port of list) {
    const key = `${port.hostIp ?? ''} ${port.hostPort}/${port.protocol}`;
    const other = taken.get(key);
    if (port.hostPort !== 0 && other !== undefined) {
      throw new OcibuildError(
        'USAGE_INVALID',
        `Cannot publish port ${port.hostPort}/${port.protocol} twice: for ${other.containerPort} and for ${port.containerPort} of the container`,
      );
    }
    taken.set(key, port);
  }
  return list;
}

/** The ports of one word. @throws USAGE_INVALID */
export function parsePublish(word: string): PublishedPort[] {
  const fail = (why: string): OcibuildError =>
    new OcibuildError('USAGE_INVALID', `Cannot publish "${word}": ${why}`, {
      hint: 'write it as "8080:80", "127.0.0.1:8080:80/udp", "[::1]:8080:80" or "8000-8002:8000-8002"',
    });
  const range = (text: string): { first: number; count: number } => {
    const [, from, to = from] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text) ?? [];
    if (from === undefined) throw fail(`"${text}" is not a port`);
    const [first, last] = [Number(from), Number(to)];
    if (last > 65_535) throw fail('ports go up to 65535');
    if (first > last) throw fail('the range ends before it starts');
    if (last - first >= MAX_RANGE) throw fail(`a range has at most ${MAX_RANGE} ports`);
    return { first, count: last - first + 1 };
  };

  const [, spec = '', name = 'tcp'] = /^([^/]*)(?:\/([^/]*))?$/.exec(word) ?? [];
  if (spec === '') throw fail('it has no port');
  const protocol = name.toLowerCase();
  if (protocol !== 'tcp' && protocol !== 'udp') throw fail('the protocol can be tcp or udp');

  const [, address, host = '', inside = ''] =
    /^(?:(?:(\[[^\]]*\]|[^:[\]]*):)?([^:[\]]*):)?([^:[\]]*)$/.exec(spec) ?? [];
  // An IPv6 address without brackets leaves nothing to match.
  if (inside === '')
    throw fail(spec.split(':').length > 3 ? 'an IPv6 address is in brackets' : 'it has no port');
  const hostIp = (address ?? '').replace(/^\[(.*)\]$/, '$1');
  if (hostIp !== '' && isIP(hostIp) === 0) throw fail(`"${hostIp}" is no address`);

  const container = range(inside);
  if (container.first === 0) throw fail('port 0 of a container is none');
  const outside = host === '' ? undefined : range(host);
  const isPool = outside !== undefined && container.count === 1 && outside.count > 1;
  if (isPool) throw fail('several ports of the host cannot lead to one of the container: name one');
  if (outside !== undefined && outside.count !== container.count && outside.first !== 0) {
    throw fail('the ranges differ in length');
  }
  return Array.from({ length: container.count }, (_, index) => ({
    ...(hostIp === '' ? {} : { hostIp }),
    hostPort: outside === undefined || outside.first === 0 ? 0 : outside.first + index,
    containerPort: container.first + index,
    protocol,
  }));
}
