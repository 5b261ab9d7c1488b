import { createServer, type Server } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { cancelledError } from '../../errors/error.ts';
import { errnoOf } from '../../util/atomic-fs.ts';

/** An abstract socket: one for each network namespace, as bridges and rules are, and gone with its process. */
const NAME = '\0ocibuild-network';
const RETRY_MS = 20;

/** Runs `work` while no other process of this network namespace does. @throws CANCELLED */
export async function withMachineLock<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
  let server: Server | undefined;
  while (server === undefined) {
    if (signal?.aborted === true) throw cancelledError(signal);
    server = await take();
    if (server === undefined) await sleep(RETRY_MS);
  }
  try {
    return await work();
  } finally {
    await new Promise((done) => server.close(done));
  }
}

async function take(): Promise<Server | undefined> {
  const server = createServer((socket) => socket.destroy());
  try {
    await new Promise<void>((done, fail) => {
      server.once('error', fail);
      server.listen(NAME, done);
    });
    return server;
  } catch (error) {
    if (errnoOf(error) === 'EADDRINUSE') return undefined;
    throw error;
  }
}
