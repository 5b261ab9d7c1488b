import { readdirSync, readlinkSync } from 'node:fs';
import { isIPv6 } from 'node:net';
import { OcibuildError } from '../../errors/error.ts';
import { readText } from '../../util/read-text.ts';
import type { PublishedPort } from '../types.ts';

/** A port of the host that could not be taken. */
export interface PortFault {
  readonly port: PublishedPort;
  /** Name of the system's error (`EADDRINUSE`). */
  readonly errno: string;
}

/** A process that holds a port. */
export interface PortHolder {
  readonly pid: number;
  readonly name: string;
}

const LISTEN = '0A';
/** State of a UDP socket that is bound. */
const UNCONNECTED = '07';

/** One error for all ports that could not be taken; those in use come first, with their holders where /proc tells. */
export function portError(
  faults: readonly PortFault[],
  holderOf: typeof findHolder = findHolder,
): OcibuildError {
  const inUse = faults.filter(({ errno }) => errno === 'EADDRINUSE');
  const details = { ports: faults.map(({ port }) => showPort(port)) };
  if (inUse.length > 0) {
    const shown = inUse.map(({ port }) => {
      const holder = holderOf(port);
      return `${showPort(port)} is in use${holder === undefined ? '' : ` by "${holder.name}" (process ${holder.pid})`}`;
    });
    return new OcibuildError('PORT_IN_USE', `Cannot publish ${plural(inUse)}: ${shown.join(', ')}`, {
      hint: 'publish another port of the host, or 0 for any that is free',
      details,
    });
  }
  const [first] = faults;
  const name = first === undefined ? '' : showPort(first.port);
  if (first?.errno === 'EACCES') {
    return new OcibuildError(
      'PORT_UNAVAILABLE',
      `Cannot publish ${name}: ports below ${lowestPort()} are for root`,
      {
        hint: `publish a port from ${lowestPort()} on, or run: sudo sysctl net.ipv4.ip_unprivileged_port_start=${first.port.hostPort}`,
        details,
      },
    );
  }
  const reason =
    first?.errno === 'EADDRNOTAVAIL'
      ? `"${first.port.hostIp ?? ''}" is no address of this machine`
      : (first?.errno ?? '');
  return new OcibuildError('PORT_UNAVAILABLE', `Cannot publish ${name}: ${reason}`, { details });
}

/** `127.0.0.1:8080/tcp`, or `port 8080/tcp` on all addresses. */
function showPort({ hostIp, hostPort, protocol }: PublishedPort): string {
  if (hostIp === undefined) return `port ${hostPort}/${protocol}`;
  return `${isIPv6(hostIp) ? `[${hostIp}]` : hostIp}:${hostPort}/${protocol}`;
}

/** Inodes of the sockets that are bound to a port, from a text in the form of /proc/net/tcp or udp. @see proc(5) */
export function socketInodes(text: string, port: number, protocol: PublishedPort['protocol']): number[] {
  const state = protocol === 'tcp' ? LISTEN : UNCONNECTED;
  return text.split('\n').flatMap((line) => {
    const fields = line.trim().split(/\s+/);
    const local = fields[1]?.split(':')[1];
    const matches = local !== undefined && Number.parseInt(local, 16) === port && fields[3] === state;
    return matches ? [Number(fields[9])] : [];
  });
}

function findHolder(port: PublishedPort): PortHolder | undefined {
  const inodes = [port.protocol, `${port.protocol}6`].flatMap((name) =>
    socketInodes(readText(`/proc/self/net/${name}`) ?? '', port.hostPort, port.protocol),
  );
  const links = new Set(inodes.map((inode) => `socket:[${inode}]`));
  if (links.size === 0) return undefined;
  // Processes of other users keep their descriptors to themselves.
  const pid = list('/proc')
    .filter((name) => /^\d+$/.test(name))
    .find((name) => list(`/proc/${name}/fd`).some((fd) => links.has(linkOf(`/proc/${name}/fd/${fd}`))));
  if (pid === undefined) return undefined;
  return { pid: Number(pid), name: (readText(`/proc/${pid}/comm`) ?? '').trim() };
}

function list(dir: string): string[] {
  try {
    return readdirSync(dir);
  } catch {
    return [];
  }
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}

function plural(faults: readonly PortFault[]): string {
  return faults.length === 1 ? 'a port' : `${faults.length} ports`;
}

function lowestPort(): number {
  return Number((readText('/proc/sys/net/ipv4/ip_unprivileged_port_start') ?? '1024').trim());
}
