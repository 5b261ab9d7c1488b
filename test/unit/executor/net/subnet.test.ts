import { describe, expect, it } from 'vitest';
import { chooseSubnet, parseRoutes } from '../../../../src/executor/net/subnet.ts';

const HEAD = 'Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n';
const route = (link: string, destination: string, mask: string): string =>
  `${link}\t${destination}\t00000000\t0001\t0\t0\t0\t${mask}\t0\t0\t0\n`;
const choose = (routes: string, servers: readonly string[] = []): string =>
  chooseSubnet('ocibuild0', parseRoutes(HEAD + routes), servers);

describe('chooseSubnet', () => {
  it('chooseSubnet() takes the first range when only a default route is there', () => {
    expect(choose(route('eth0', '00000000', '00000000'))).toBe('10.213.0.0/20');
  });

  it('chooseSubnet() keeps the range of the bridge when it has one', () => {
    expect(choose(route('ocibuild0', '0000D50A', '00FFFFFF'))).toBe('10.213.0.0/24');
  });

  it('chooseSubnet() goes on when a smaller or a larger route is in the way', () => {
    expect(choose(route('vpn', '0003D50A', '00FFFFFF'))).toBe('10.213.16.0/20');
    expect(choose(route('vpn', '0000000A', '000000FF'))).toBe('172.29.0.0/20');
    expect(choose(route('a', '0000000A', '000000FF') + route('b', '000010AC', '0000F0FF'))).toBe(
      '192.168.208.0/20',
    );
  });

  it('chooseSubnet() goes on when a name server is in the range', () => {
    expect(choose('', ['10.213.1.1', 'fd00::1'])).toBe('10.213.16.0/20');
  });

  it('chooseSubnet() refuses when every range is taken', () => {
    const all =
      route('a', '0000000A', '000000FF') +
      route('b', '000010AC', '0000F0FF') +
      route('c', '0000A8C0', '0000FFFF');
    expect(() => choose(all)).toThrow(expect.objectContaining({ code: 'NETWORK_UNAVAILABLE' }));
  });
});
