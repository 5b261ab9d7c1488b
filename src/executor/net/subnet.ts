import { OcibuildError } from '../../errors/error.ts';

/** An IPv4 range: its first address and its mask, as unsigned numbers. */
export interface Route {
  readonly link: string;
  readonly network: number;
  readonly mask: number;
}

const PREFIX = 20;
const MASK = (0xffffffff << (32 - PREFIX)) >>> 0;
/** Private ranges that VPNs, clouds and other container tools take rarely; each is cut into /20 pieces. */
const RANGES = ['10.213.0.0', '172.29.0.0', '192.168.208.0'];

/** Routes of a text in the form of /proc/net/route, without default routes. @see proc(5) */
export function parseRoutes(text: string): Route[] {
  return text.split('\n').flatMap((line): Route[] => {
    const [link = '', destination = '', , , , , , mask = ''] = line.trim().split(/\s+/);
    if (!/^[0-9A-F]{8}$/i.test(destination) || !/^[0-9A-F]{8}$/i.test(mask)) return [];
    const route = { link, network: swapped(destination), mask: swapped(mask) };
    return route.mask === 0 ? [] : [route];
  });
}

/**
 * The range of the bridge `link` (`10.213.0.0/20`): the one it has, or the first that no route of the host and none
 * of `addresses` (its name servers: a default route may lead to them) is in.
 * @throws NETWORK_UNAVAILABLE where all are taken
 */
export function chooseSubnet(link: string, routes: readonly Route[], addresses: readonly string[]): string {
  const own = routes.find((route) => route.link === link);
  if (own !== undefined) return `${dotted(own.network)}/${Math.clz32(~own.mask)}`;
  const taken = [
    ...routes,
    ...addresses.flatMap((address): Omit<Route, 'link'>[] => {
      const network = numberOf(address);
      return network === undefined ? [] : [{ network, mask: 0xffffffff }];
    }),
  ];
  for (const range of RANGES) {
    for (let piece = 0; piece < (range.startsWith('192') ? 3 : 16); piece++) {
      const network = ((numberOf(range) ?? 0) + piece * (1 << (32 - PREFIX))) >>> 0;
      const overlaps = taken.some((other) => ((network ^ other.network) & other.mask & MASK) === 0);
      if (!overlaps) return `${dotted(network)}/${PREFIX}`;
    }
  }
  throw new OcibuildError(
    'NETWORK_UNAVAILABLE',
    `Cannot make a bridge: all private ranges that it could have (${RANGES.join(', ')}) are taken by routes`,
    { hint: 'give a network of your own in OCIBUILD_CNI_CONFIG' },
  );
}

/** The file is in the byte order of the machine, and all machines we run on are little-endian. */
function swapped(hex: string): number {
  return Buffer.from(hex, 'hex').readUInt32LE();
}

function numberOf(address: string): number | undefined {
  const parts = address.split('.').map(Number);
  if (parts.length !== 4 || !parts.every((part) => part >= 0 && part <= 255)) return undefined;
  return Buffer.from(parts).readUInt32BE();
}

function dotted(network: number): string {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(network >>> 0);
  return [...bytes].join('.');
}
