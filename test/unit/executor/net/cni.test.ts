import { describe, expect, it } from 'vitest';
import { bridgeNetwork, leftoverRules } from '../../../../src/executor/net/bridge.ts';
import {
  addressOf,
  cniPath,
  executionConfig,
  findPlugin,
  pluginError,
} from '../../../../src/executor/net/cni.ts';

const PORTS = [
  { hostPort: 8080, containerPort: 80, protocol: 'tcp' },
  { hostIp: '127.0.0.1', hostPort: 5353, containerPort: 53, protocol: 'udp' },
] as const;

describe('bridgeNetwork', () => {
  it('bridgeNetwork() chains the plugins that are there when the kernel has NAT', () => {
    const network = bridgeNetwork('10.213.0.0/20', true, (type) => type === 'portmap');
    expect(network.plugins.map(({ type }) => type)).toEqual(['bridge', 'portmap']);
    expect(network.plugins[0]).toMatchObject({
      ipMasq: true,
      ipam: { type: 'host-local', ranges: [[{ subnet: '10.213.0.0/20' }]] },
    });
  });

  it('bridgeNetwork() asks for nothing of iptables when there is no NAT', () => {
    const network = bridgeNetwork('10.213.0.0/20', false, () => true);
    expect(network.plugins).toMatchObject([{ type: 'bridge', ipMasq: false }]);
  });
});

describe('executionConfig', () => {
  const network = bridgeNetwork('10.213.0.0/20', true, () => true);
  const attachment = { network, containerId: 'c1', ports: PORTS, pluginPath: '/opt/cni/bin' };

  it('executionConfig() passes the ports only when the plugin has the capability', () => {
    const [bridge, portmap] = network.plugins;
    expect(executionConfig(attachment, bridge ?? expect.fail('no plugin'), undefined)).not.toHaveProperty(
      'runtimeConfig',
    );
    const config = executionConfig(attachment, portmap ?? expect.fail('no plugin'), { cniVersion: '1.0.0' });
    expect(config).toEqual({
      type: 'portmap',
      cniVersion: '1.0.0',
      name: 'ocibuild',
      prevResult: { cniVersion: '1.0.0' },
      runtimeConfig: {
        portMappings: [
          { hostPort: 8080, containerPort: 80, protocol: 'tcp' },
          { hostPort: 5353, containerPort: 53, protocol: 'udp', hostIP: '127.0.0.1' },
        ],
      },
    });
  });
});

describe('pluginError', () => {
  it('pluginError() gives code, message and details when the plugin answers by the specification', () => {
    const output = '{"cniVersion":"1.0.0","code":7,"msg":"no addresses","details":"range is full"}';
    expect(pluginError('ADD', 'bridge', output).message).toBe(
      'Cannot set up the network: ADD of the CNI plugin "bridge" failed (code 7): no addresses: range is full',
    );
  });

  it('pluginError() gives the output when it is no JSON', () => {
    expect(pluginError('DEL', 'x', 'panic\n').message).toBe(
      'Cannot set up the network: DEL of the CNI plugin "x" failed: panic',
    );
  });
});

describe('addressOf', () => {
  it('addressOf() prefers IPv4 when the result has both', () => {
    expect(addressOf({ ips: [{ address: 'fd00::2/64' }, { address: '10.0.0.2/24' }] })).toBe('10.0.0.2');
    expect(addressOf({ ips: [{ address: 'fd00::2/64' }] })).toBe('fd00::2');
    expect(addressOf({})).toBeUndefined();
  });
});

describe('findPlugin', () => {
  it('findPlugin() refuses when the type is a path', () => {
    expect(findPlugin('../../bin/sh', '/usr/lib')).toBeUndefined();
    expect(findPlugin('sh', '/nowhere:/bin')).toBe('/bin/sh');
    expect(cniPath({ CNI_PATH: '/a:/b' })).toBe('/a:/b:/opt/cni/bin:/usr/lib/cni:/usr/libexec/cni');
  });
});

describe('leftoverRules', () => {
  it("leftoverRules() gives a container's rules and chains when others have some too", () => {
    const text = `-P POSTROUTING ACCEPT
-N CNI-4864cff628a318a6a27c69b9
-A POSTROUTING -s 10.213.0.4/32 -m comment --comment "name: \\"ocibuild\\" id: \\"c1\\"" -j CNI-4864cff628a318a6a27c69b9
-A POSTROUTING -s 10.213.0.5/32 -m comment --comment "name: \\"ocibuild\\" id: \\"c12\\"" -j CNI-ffffcff628a318a6a27c69b9
-A CNI-4864cff628a318a6a27c69b9 -d 10.213.0.0/20 -m comment --comment "name: \\"ocibuild\\" id: \\"c1\\"" -j ACCEPT
`;
    const comment = 'name: "ocibuild" id: "c1"';
    const chain = 'CNI-4864cff628a318a6a27c69b9';
    expect(leftoverRules(text, 'c1')).toEqual({
      rules: [
        ['-D', 'POSTROUTING', '-s', '10.213.0.4/32', '-m', 'comment', '--comment', comment, '-j', chain],
        ['-D', chain, '-d', '10.213.0.0/20', '-m', 'comment', '--comment', comment, '-j', 'ACCEPT'],
      ],
      chains: [chain],
    });
  });
});
