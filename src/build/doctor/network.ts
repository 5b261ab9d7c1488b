import { accessSync, constants, existsSync } from 'node:fs';
import { isOcibuildError } from '../../errors/error.ts';
import { findProgram } from '../../executor/find-program.ts';
import { findBridge } from '../../executor/net/bridge.ts';
import { cniPath, findPlugin } from '../../executor/net/cni.ts';
import type { Finding, Machine } from './types.ts';

const PLUGINS = ['bridge', 'host-local', 'portmap', 'firewall', 'loopback'];
const TUN = '/dev/net/tun';

/** What `run -p` has to work with: a bridge as root, else a program that moves packets. */
export async function probeNetwork(machine: Machine): Promise<Finding[]> {
  const { env, isRoot, searchPath, install } = machine;
  const taps = ['pasta', 'slirp4netns'].filter((name) => findProgram(name, searchPath) !== undefined);
  const findings = [...(isRoot ? [await probeBridge(machine)] : []), probeTaps(machine, taps)];
  if (isRoot && findings[0]?.status === 'ok') return findings.slice(0, taps.length === 0 ? 1 : 2);
  const hasNone = taps.length === 0;
  if (!hasNone || (isRoot && findPlugin('bridge', cniPath(env)) !== undefined)) return findings;
  const fix = isRoot
    ? install({ apt: 'containernetworking-plugins iptables', apk: 'cni-plugins iptables' })
    : install({ apt: 'passt' });
  const message = 'containers of `run` cannot reach the network; RUN steps use that of the host';
  return [{ id: 'network', status: 'warn', message, fix }];
}

async function probeBridge({ env, install }: Machine): Promise<Finding> {
  try {
    const { pluginPath, nat } = await findBridge(env);
    const found = PLUGINS.filter((type) => findPlugin(type, pluginPath) !== undefined);
    if (nat)
      return { id: 'network', status: 'ok', message: `CNI plugins ${found.join(', ')}, iptables with NAT` };
    const message = `CNI plugins ${found.join(', ')}, but no NAT: without it "bridge" reaches only this host`;
    return { id: 'network', status: 'warn', message, fix: install({ apt: 'iptables', dnf: 'iptables-nft' }) };
  } catch (error) {
    if (!isOcibuildError(error)) throw error;
    const message = error.message.replace('Cannot use the network "bridge": ', 'no network "bridge": ');
    const fix = install({ apt: 'containernetworking-plugins iptables', apk: 'cni-plugins iptables' });
    return { id: 'network', status: 'warn', message, fix };
  }
}

function probeTaps({ isRoot, install, asRoot }: Machine, taps: readonly string[]): Finding {
  const id = isRoot ? 'tap' : 'network';
  if (taps.length === 0) {
    const message = 'neither pasta nor slirp4netns is installed';
    return { id, status: 'warn', message, fix: install({ apt: 'passt' }) };
  }
  try {
    accessSync(TUN, constants.R_OK | constants.W_OK);
    return { id, status: 'ok', message: `${taps.join(' and ')}, ${TUN} can be opened` };
  } catch {
    const message = `${taps.join(' and ')}, but this user cannot open ${TUN}`;
    const fix = existsSync(TUN) ? `chmod 0666 ${TUN}` : 'modprobe tun';
    return { id, status: 'warn', message, fix: asRoot(fix) };
  }
}
