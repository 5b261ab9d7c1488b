import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, isIPv6, type Socket } from 'node:net';
import { errnoOf } from '../../util/atomic-fs.ts';
import type { PublishedPort } from '../types.ts';

/** One port of the host that is held, and led to a port of the container. */
export interface Forward {
  /** With the host port that was taken. */
  readonly port: PublishedPort;
  close(): Promise<void>;
}

/** Where connections go. Asked for each of them: the address is known only after the ports are held. */
export type ForwardTarget = () => string;

const UDP_IDLE_MS = 60_000;
/** Peers of one UDP port that are remembered; the one that was silent longest makes room. */
const MAX_UDP_PEERS = 1024;

/**
 * Takes a port of the host and forwards it. The socket that listens belongs to the network namespace the thread is in
 * now, the connections it makes to the one the thread is in then. Rejects with the error of the system (`EADDRINUSE`).
 */
export function openForward(port: PublishedPort, target: ForwardTarget): Promise<Forward> {
  return port.protocol === 'tcp' ? forwardTcp(port, target) : forwardUdp(port, target);
}

async function forwardTcp(port: PublishedPort, target: ForwardTarget): Promise<Forward> {
  const open = new Set<Socket>();
  // Each direction ends by itself: a client that has said all may still wait for its answer.
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    const container = connect({
      host: target(),
      port: port.containerPort,
      allowHalfOpen: true,
      noDelay: true,
    });
    for (const [socket, other] of [
      [client, container],
      [container, client],
    ] as const) {
      open.add(socket);
      socket.on('error', () => other.destroy());
      socket.on('close', (hadError) => {
        open.delete(socket);
        if (hadError) other.destroy();
      });
      socket.pipe(other);
    }
  });
  const { hostIp, hostPort } = port;
  // An address that was asked for is that address alone: `[::]` and `0.0.0.0` can both be published.
  server.listen({
    port: hostPort,
    ...(hostIp === undefined ? {} : { host: hostIp, ipv6Only: isIPv6(hostIp) }),
  });
  await once(server, 'listening');
  return {
    port: { ...port, hostPort: (server.address() as AddressInfo).port },
    async close() {
      for (const socket of open) socket.destroy();
      await new Promise<void>((done) => server.close(() => done()));
    },
  };
}

interface Peer {
  readonly socket: UdpSocket;
  readonly idle: NodeJS.Timeout;
}

async function forwardUdp(port: PublishedPort, target: ForwardTarget): Promise<Forward> {
  const server = await bindUdp(port);
  const peers = new Map<string, Peer>();
  const forget = (key: string): void => {
    const peer = peers.get(key);
    if (peer === undefined || !peers.delete(key)) return;
    clearTimeout(peer.idle);
    peer.socket.close();
  };
  server.on('message', (message, client) => {
    const key = `${client.address} ${client.port}`;
    const known = peers.get(key);
    const peer = known ?? openPeer(target(), (answer) => server.send(answer, client.port, client.address));
    if (known === undefined) {
      peer.socket.on('error', () => forget(key));
      const [oldest] = peers.keys();
      if (peers.size >= MAX_UDP_PEERS && oldest !== undefined) forget(oldest);
    }
    // Moves to the end: the first key is the one that was silent longest.
    peers.delete(key);
    peers.set(key, peer);
    peer.idle.refresh();
    peer.socket.send(message, port.containerPort, target());
  });

  const openPeer = (address: string, answer: (message: Buffer) => void): Peer => {
    const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4');
    const peer = {
      socket,
      idle: setTimeout(() => {
        for (const [key, value] of peers) if (value.socket === socket) forget(key);
      }, UDP_IDLE_MS),
    };
    socket.on('message', (message) => {
      peer.idle.refresh();
      answer(message);
    });
    return peer;
  };

  return {
    port: { ...port, hostPort: server.address().port },
    async close() {
      for (const key of [...peers.keys()]) forget(key);
      await new Promise<void>((done) => server.close(() => done()));
    },
  };
}

async function bindUdp({ hostIp, hostPort }: PublishedPort): Promise<UdpSocket> {
  const bind = async (address: string): Promise<UdpSocket> => {
    const v6 = isIPv6(address);
    const socket = createSocket(v6 ? { type: 'udp6', ipv6Only: hostIp !== undefined } : { type: 'udp4' });
    socket.bind(hostPort, address);
    try {
      await once(socket, 'listening');
    } catch (error) {
      socket.close();
      throw error;
    }
    socket.on('error', () => undefined);
    return socket;
  };
  if (hostIp !== undefined) return bind(hostIp);
  try {
    return await bind('::');
  } catch (error) {
    // A host without IPv6.
    if (!['EAFNOSUPPORT', 'EADDRNOTAVAIL', 'EINVAL'].includes(errnoOf(error) ?? '')) throw error;
    return bind('0.0.0.0');
  }
}
