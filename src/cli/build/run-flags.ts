import { isIP } from 'node:net';
import { OcibuildError } from '../../errors/error.ts';
import { didYouMean } from '../../errors/suggest.ts';
import { parseByteSize } from '../../util/byte-size.ts';

const ULIMITS = [
  'core',
  'cpu',
  'data',
  'fsize',
  'locks',
  'memlock',
  'msgqueue',
  'nice',
  'nofile',
  'nproc',
  'rss',
  'rtprio',
  'rttime',
  'sigpending',
  'stack',
] as const;

/** `128m`, `1.5g`, `65536`, also with `b` or `ib` after the unit: bytes. @throws USAGE_INVALID */
export function parseSize(flag: string, text: string): number {
  const bytes = parseByteSize(text);
  if (bytes !== undefined) return bytes;
  throw new OcibuildError(
    'USAGE_INVALID',
    `Cannot use ${flag} "${text}": expected a size such as 128m or 1g`,
  );
}

/** `name=soft[:hard]`; -1 is no limit. @throws USAGE_INVALID */
export function parseUlimit(text: string): { name: string; soft: number; hard: number } {
  const match = /^([^=]+)=(-1|\d+)(?::(-1|\d+))?$/.exec(text);
  const [, name = '', soft, hard = soft] = match ?? [];
  if (match === null) {
    throw new OcibuildError('USAGE_INVALID', `Cannot use --ulimit "${text}": expected NAME=SOFT[:HARD]`, {
      hint: 'for example --ulimit nofile=1024:4096',
    });
  }
  if (!(ULIMITS as readonly string[]).includes(name)) {
    throw new OcibuildError('USAGE_INVALID', `Cannot use --ulimit "${text}": there is no limit "${name}"`, {
      hint: didYouMean(name, ULIMITS) ?? `known are ${ULIMITS.join(', ')}`,
    });
  }
  const limit = { name, soft: Number(soft), hard: Number(hard) };
  if (limit.hard !== -1 && (limit.soft === -1 || limit.soft > limit.hard)) {
    throw new OcibuildError(
      'USAGE_INVALID',
      `Cannot use --ulimit "${text}": the soft limit is above the hard one`,
    );
  }
  return limit;
}

/**
 * `host:ip` or `host=ip`, an IPv6 address with or without brackets; gives `host:ip`.
 * @param gateway what `host-gateway` stands for, where the host can be reached
 * @throws USAGE_*
 */
export function parseAddHost(text: string, gateway?: string): string {
  const match = /^([^:=\s]+)[:=](.+)$/.exec(text);
  const host = match?.[1];
  const given = match?.[2]?.replace(/^\[(.*)\]$/, '$1');
  const address = given === 'host-gateway' ? (gateway ?? given) : given;
  if (address === 'host-gateway' && gateway === undefined) {
    throw new OcibuildError(
      'USAGE_UNSUPPORTED',
      `Cannot use --add-host "${text}": containers have no host gateway in this version`,
      { hint: 'with --network host, localhost is the host' },
    );
  }
  if (host !== undefined && address !== undefined && (isIP(address) !== 0 || address === gateway))
    return `${host}:${address}`;
  throw new OcibuildError('USAGE_INVALID', `Cannot use --add-host "${text}": expected HOST:IP`);
}
