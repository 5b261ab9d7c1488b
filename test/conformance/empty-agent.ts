/** An SSH agent that holds no key. */
import { createServer, type Socket } from 'node:net';

/** SSH_AGENT_IDENTITIES_ANSWER with zero keys; what else is asked for gets SSH_AGENT_FAILURE. */
const NO_KEYS = Buffer.from([0, 0, 0, 5, 12, 0, 0, 0, 0]);
const FAILURE = Buffer.from([0, 0, 0, 1, 5]);
const REQUEST_IDENTITIES = 11;

/** Listens on the path of `socket` until it is disposed of. @see draft-ietf-sshm-ssh-agent */
export async function startEmptyAgent(socket: string): Promise<AsyncDisposable> {
  const open = new Set<Socket>();
  const server = createServer((client) => {
    open.add(client);
    client.on('close', () => open.delete(client));
    client.on('error', () => undefined);
    client.on('data', (message) => client.write(message[4] === REQUEST_IDENTITIES ? NO_KEYS : FAILURE));
  });
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(socket, resolve));
  return {
    async [Symbol.asyncDispose]() {
      for (const client of open) client.destroy();
      await new Promise((done) => server.close(done));
    },
  };
}
