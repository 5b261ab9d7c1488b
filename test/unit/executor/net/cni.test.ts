import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { bridgeNetwork, leftoverRules } from '../../../../src/executor/net/bridge.ts';
import {
  addressOf,
  cniAdd,
  cniPath,
  executionConfig,
  findPlugin,
  pluginError,
} from '../../../../src/executor/net/cni.ts';
import { readText } from '../../../../src/util/read-text.ts';

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

describe('cniAdd', () => {
  /** A plugin that never ends when it shall attach, with a child of its own that holds its output. */
  function hanging() {
    const dir = mkdtempSync(join(tmpdir(), 'ocibuild-cni-'));
    onTestFinished(() => rmSync(dir, { recursive: true }));
    const script = `#!/bin/sh
echo "$CNI_COMMAND" >>${dir}/calls
[ "$CNI_COMMAND" = ADD ] || exit 0
sleep 600 &
wait
`;
    writeFileSync(join(dir, 'slow'), script, { mode: 0o755 });
    const network = { cniVersion: '1.0.0', name: 'n', plugins: [{ type: 'slow' }] };
    const calls = (): string => readText(join(dir, 'calls')) ?? '';
    return { attachment: { network, containerId: 'c1', ports: [], pluginPath: dir }, calls };
  }

  it('cniAdd() kills a plugin that does not end, and takes back what it did', async () => {
    const { attachment, calls } = hanging();
    const { signal } = new AbortController();
    const added = cniAdd(attachment, '/proc/self/ns/net', { signal, timeoutMs: 300 });
    await expect(added).rejects.toMatchObject({
      code: 'NETWORK_FAILED',
      message: 'Cannot set up the network: ADD of the CNI plugin "slow" failed: it did not end within 0.3 s',
    });
    expect(calls()).toMatch(/DEL\n$/);
  });

  it('cniAdd() kills a plugin when it is cancelled', async () => {
    const { attachment, calls } = hanging();
    const controller = new AbortController();
    const added = cniAdd(attachment, '/proc/self/ns/net', { signal: controller.signal });
    const rejected = expect(added).rejects.toMatchObject({ code: 'CANCELLED' });
    await expect.poll(calls, { timeout: 20_000 }).toBe('ADD\n');
    controller.abort();
    await rejected;
    expect(calls()).toBe('ADD\nDEL\n');
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
