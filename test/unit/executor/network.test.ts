import { describe, expect, it } from 'vitest';
import { hostsFile, resolvConf, SYSTEMD_RESOLV_CONF } from '../../../src/executor/network.ts';

const reader = (files: Readonly<Record<string, string>>) => (path: string) => files[path];

describe('hostsFile', () => {
  it('hostsFile() names localhost and the host when nothing is added', () => {
    expect(hostsFile('box', [])).toBe(
      '127.0.0.1\tlocalhost box\n::1\tlocalhost ip6-localhost ip6-loopback\n',
    );
  });
  it('hostsFile() adds names in order when addresses are IPv4, IPv6 or in brackets', () => {
    const text = hostsFile('box', ['a:1.2.3.4', 'b:fe80::1', 'c=[::2]']);
    expect(text.split('\n').slice(2)).toEqual(['1.2.3.4\ta', 'fe80::1\tb', '::2\tc', '']);
  });
});

describe('resolvConf', () => {
  it('resolvConf() keeps loopback servers when the network is the host one', () => {
    const host = 'nameserver 127.0.0.1\nsearch lan\n';
    expect(resolvConf('host', reader({ '/etc/resolv.conf': host }))).toBe(host);
    expect(resolvConf('default', reader({ '/etc/resolv.conf': host }))).toBe(host);
  });
  it('resolvConf() drops loopback servers when the network is another', () => {
    const host = 'nameserver 127.0.0.1\nnameserver ::1\nnameserver 10.0.0.1\nsearch lan\n';
    expect(resolvConf('none', reader({ '/etc/resolv.conf': host }))).toBe(
      'nameserver 10.0.0.1\nsearch lan\n',
    );
  });
  it('resolvConf() uses the real file of systemd when the host has its stub', () => {
    const files = {
      '/etc/resolv.conf': 'nameserver 127.0.0.53\n',
      [SYSTEMD_RESOLV_CONF]: 'nameserver 9.9.9.9\n',
    };
    expect(resolvConf('none', reader(files))).toBe('nameserver 9.9.9.9\n');
  });
  it('resolvConf() names a public pair when no server is left', () => {
    const pair = 'nameserver 8.8.8.8\nnameserver 8.8.4.4\n';
    expect(resolvConf('none', reader({ '/etc/resolv.conf': 'search lan\nnameserver 127.0.0.1\n' }))).toBe(
      `search lan\n${pair}`,
    );
    expect(resolvConf('host', reader({}))).toBe(pair);
  });
});
