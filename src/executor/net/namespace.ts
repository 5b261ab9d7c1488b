import { isOcibuildError, OcibuildError } from '../../errors/error.ts';
import { openWorker } from '../../util/open-worker.ts';
import type { PublishedPort } from '../types.ts';
import { type PortFault, portError } from './port-error.ts';

/** What the thread of a namespace starts with. */
export interface NamespaceSetup {
  readonly ports: readonly PublishedPort[];
  /** Ports of other protocols are only tried, and given back at once. */
  readonly forward: readonly PublishedPort['protocol'][];
}

export type FromNamespace =
  | { readonly kind: 'ready'; readonly path: string; readonly ports: readonly PublishedPort[] }
  | { readonly kind: 'faults'; readonly faults: readonly PortFault[] };

export type ToNamespace = { readonly kind: 'target'; readonly address: string } | { readonly kind: 'close' };

/** A network namespace with `lo` up, which ends with this process if not before. */
export interface NetNamespace {
  /** `/proc/PID/task/TID/ns/net` */
  readonly path: string;
  /** With the host ports that were taken. */
  readonly ports: readonly PublishedPort[];
  /** Forwarded ports lead to this address from now on; before, to 127.0.0.1 inside. */
  forwardTo(address: string): void;
  /** Idempotent. */
  close(): Promise<void>;
}

/** @throws PORT_IN_USE, PORT_UNAVAILABLE, NETWORK_UNAVAILABLE */
export async function openNetNamespace(setup: NamespaceSetup): Promise<NetNamespace> {
  const worker = openWorker(import.meta.url, 'namespace-worker.ts', {
    workerData: setup,
    name: 'network',
  });
  const ended = new Promise<void>((done) => worker.once('exit', () => done()));
  let message: FromNamespace;
  try {
    message = await new Promise<FromNamespace>((done, fail) => {
      worker.once('message', done);
      worker.once('error', fail);
      worker.once('exit', () =>
        fail(new OcibuildError('INTERNAL', 'Cannot go on: the network thread ended')),
      );
    });
  } catch (cause) {
    await worker.terminate();
    if (isOcibuildError(cause) && cause.code === 'INTERNAL') throw cause;
    throw namespaceError(cause);
  }
  if (message.kind === 'faults') {
    await ended;
    throw portError(message.faults);
  }
  // The container keeps the process alive, not its network.
  worker.unref();
  worker.on('error', () => undefined);
  let closing: Promise<void> | undefined;
  const post = (to: ToNamespace): void => worker.postMessage(to);
  const { path, ports } = message;
  return {
    path,
    ports,
    forwardTo: (address) => post({ kind: 'target', address }),
    close() {
      closing ??= (async () => {
        worker.ref();
        post({ kind: 'close' });
        await ended;
      })();
      return closing;
    },
  };
}

function namespaceError(cause: unknown): OcibuildError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new OcibuildError('NETWORK_UNAVAILABLE', `Cannot make a network namespace: ${reason}`, {
    cause,
    hint: 'run it as root, or with --network host',
  });
}
