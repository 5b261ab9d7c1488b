import { findTapProgram, type NetHelper, startHelper } from './helper.ts';

/** Addresses of slirp4netns(1), the same in each namespace. */
export const SLIRP_ADDRESS = '10.0.2.100';
export const SLIRP_DNS = '10.0.2.3';

const READY = 3;
const EXIT = 4;

/** @throws NETWORK_UNAVAILABLE */
export function findSlirp4netns(searchPath: string): string {
  return findTapProgram('slirp4netns', 'slirp4netns', searchPath);
}

/** Attaches slirp4netns to a namespace. @throws NETWORK_UNAVAILABLE, NETWORK_FAILED */
export function startSlirp4netns(namespacePath: string, searchPath: string): Promise<NetHelper> {
  const command = [findSlirp4netns(searchPath), ...slirpArguments()];
  return startHelper({ name: 'slirp4netns', command, readyFd: READY, lifelines: [EXIT] }, namespacePath);
}

/** Without its own port forwarding: ports are held by the namespace's thread before there is a namespace. */
function slirpArguments(): string[] {
  return [
    ...['--configure', '--disable-host-loopback', '--mtu', '65520'],
    ...['--ready-fd', String(READY), '--exit-fd', String(EXIT)],
    ...['--netns-type', 'path', '/proc/self/fd/0', 'eth0'],
  ];
}
