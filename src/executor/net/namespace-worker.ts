import { readlinkSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { SYS, sys } from '../../layer/sys.ts';
import { errnoOf } from '../../util/atomic-fs.ts';
import type { PublishedPort } from '../types.ts';
import { type Forward, openForward } from './forward.ts';
import { setLink } from './link.ts';
import type { FromNamespace, NamespaceSetup, ToNamespace } from './namespace.ts';
import type { PortFault } from './port-error.ts';

/**
 * Entry of a thread that is a network namespace: the namespace ends with the thread, or with the last process in it.
 * Ports of the host are taken before the thread leaves the host's network; what it opens afterwards is inside.
 */
async function main(port: NonNullable<typeof parentPort>, setup: NamespaceSetup): Promise<void> {
  let target = '127.0.0.1';
  const send = (message: FromNamespace): void => port.postMessage(message);
  const { forwards, faults } = await openAll(setup.ports, () => target);
  const idle = forwards.filter(({ port: { protocol } }) => !setup.forward.includes(protocol));
  await Promise.all((faults.length > 0 ? forwards : idle).map((forward) => forward.close()));
  if (faults.length > 0) {
    send({ kind: 'faults', faults });
    return;
  }
  sys().unshare(SYS.CLONE_NEWNET);
  setLink('lo', true);
  port.on('message', (message: ToNamespace) => {
    if (message.kind === 'target') {
      target = message.address;
      return;
    }
    port.close();
    for (const forward of forwards) void forward.close();
  });
  const ports = forwards.map((forward) => forward.port);
  send({ kind: 'ready', path: `/proc/${readlinkSync('/proc/thread-self')}/ns/net`, ports });
}

/** All of them are tried, so that one error can name every port that is taken. */
async function openAll(
  ports: readonly PublishedPort[],
  target: () => string,
): Promise<{ forwards: Forward[]; faults: PortFault[] }> {
  const forwards: Forward[] = [];
  const faults: PortFault[] = [];
  for (const port of ports) {
    try {
      forwards.push(await openForward(port, target));
    } catch (error) {
      faults.push({ port, errno: errnoOf(error) ?? String(error) });
    }
  }
  return { forwards, faults };
}

if (parentPort !== null) void main(parentPort, workerData as NamespaceSetup);
