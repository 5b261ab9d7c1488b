import { mkdirSync, readlinkSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { OcibuildError } from '../errors/error.ts';
import { errorToData } from '../errors/wire.ts';
import { writeError } from '../layer/fs-error.ts';
import { SYS, sys } from '../layer/sys.ts';
import { errnoOf } from '../util/atomic-fs.ts';
import { type Container, startContainer } from './container.ts';
import { createEmulation } from './emulation.ts';
import { inspectMachine, type Machine } from './machine.ts';
import { syscallErrno } from './mounts.ts';
import type { FromWorker, OutputPart, ToWorker, WorkerSetup } from './protocol.ts';
import { holdStateDir } from './state-dir.ts';
import type { ProcessSpec } from './types.ts';

/**
 * Entry of the thread that owns all mounts. Its mount namespace is private: mounts are seen by nobody else and end
 * with the process, however it ends. Only synchronous fs calls and spawn of this thread see them; the libuv pool
 * stays in the old namespace.
 */
function main(port: NonNullable<typeof parentPort>, setup: WorkerSetup): void {
  const running = new Map<string, Container>();
  let machine: Machine | undefined;
  let startError: unknown;
  let leaveStateDir: (() => void) | undefined;
  const emulation = createEmulation(setup);
  try {
    unshareMounts();
    // Slave: what the host unmounts goes here as well, what we mount never reaches the host.
    sys().mount({ source: 'none', target: '/', flags: SYS.MS_REC | SYS.MS_SLAVE });
    mkdirSync(setup.runDir, { recursive: true, mode: 0o711 });
    leaveStateDir = holdStateDir(setup.stateDir);
    machine = inspectMachine(setup.runtime, setup.rootless);
  } catch (error) {
    startError = error;
  }

  const send = (message: FromWorker, transfer: ArrayBuffer[] = []): void =>
    port.postMessage(message, transfer);
  const sendOutput = (id: string, parts: readonly OutputPart[]): void =>
    send(
      { kind: 'output', id, parts },
      parts.map((part) => part.data.buffer as ArrayBuffer),
    );

  const run = async (spec: ProcessSpec): Promise<void> => {
    try {
      if (machine === undefined) throw startError;
      const container = startContainer(spec, {
        setup,
        machine,
        emulation,
        onOutput: (parts) => sendOutput(spec.id, parts),
        onStarted: (pid) => send({ kind: 'started', id: spec.id, pid }),
        onRunning: (pid) =>
          send({ kind: 'running', id: spec.id, container: { pid, mountNamespace: ownMountNamespace() } }),
      });
      running.set(spec.id, container);
      send({ kind: 'exit', id: spec.id, status: await container.done });
    } catch (error) {
      send({ kind: 'failure', id: spec.id, error: errorToData(withPlace(error, setup.runDir)) });
    } finally {
      running.delete(spec.id);
    }
  };

  port.on('message', (message: ToWorker) => {
    switch (message.kind) {
      case 'run':
        void run(message.spec);
        break;
      case 'cancel':
        running.get(message.id)?.kill();
        break;
      case 'taken':
        running.get(message.id)?.taken(message.bytes);
        break;
      case 'close':
        leaveStateDir?.();
        port.close();
        break;
    }
  });
}

function unshareMounts(): void {
  try {
    sys().unshare(SYS.CLONE_NEWNS);
  } catch (cause) {
    if (syscallErrno(cause) !== 'EPERM') throw cause;
    throw new OcibuildError(
      'ROOTLESS_UNAVAILABLE',
      'Cannot run steps: this process may not make mounts, it is neither root nor in a user namespace of its own',
      { cause, hint: 'run it as root, or inside a container with --privileged' },
    );
  }
}

/** As other processes name it: a thread is found below its process only. */
function ownMountNamespace(): string {
  return `/proc/${readlinkSync('/proc/thread-self')}/ns/mnt`;
}

function withPlace(error: unknown, runDir: string): unknown {
  const isFull = ['ENOSPC', 'EDQUOT'].includes(errnoOf(error) ?? '');
  return isFull ? writeError(error, 'write the files of a step to', runDir) : error;
}

if (parentPort !== null) main(parentPort, workerData as WorkerSetup);
