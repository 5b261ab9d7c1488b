import {
  chmodSync,
  chownSync,
  closeSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
} from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { join, resolve } from 'node:path';
import { OcibuildError } from '../../errors/error.ts';
import type { SshSource } from '../options.ts';
import { createReader, parseSshKey, type SshKey, strings } from './ssh-keys.ts';

/** The agents of one build. */
export interface SshAgents {
  /** Opens a socket of our own that leads to the agent of an id; undefined where none was given.
   * @throws SSH_AGENT_NOT_FOUND, SSH_KEY_INVALID */
  open(id: string, owner: SocketOwner): Promise<OpenAgent | undefined>;
}

export interface SocketOwner {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

export interface OpenAgent extends AsyncDisposable {
  readonly socket: string;
}

/** @see draft-ietf-sshm-ssh-agent "Message numbers" */
const MESSAGE = {
  failure: 5,
  requestIdentities: 11,
  identities: 12,
  signRequest: 13,
  signature: 14,
} as const;
const MAX_MESSAGE_BYTES = 256 * 1024;

/** @param tempPath gives a fresh path below the store */
export function createSshAgents(
  sources: Readonly<Record<string, SshSource>>,
  about: { readonly cwd: string; readonly tempPath: () => string },
): SshAgents {
  return {
    async open(id, owner) {
      const source = Object.hasOwn(sources, id) ? sources[id] : undefined;
      if (source === undefined) return undefined;
      return listen(handlerOf(id, source, about.cwd), about.tempPath(), owner);
    },
  };
}

/** Before a build: agents and keys are there, also those that no step may ask for.
 * @throws SSH_AGENT_NOT_FOUND, SSH_KEY_INVALID */
export function checkSshSources(sources: Readonly<Record<string, SshSource>>, cwd: string): void {
  for (const [id, source] of Object.entries(sources)) handlerOf(id, source, cwd);
}

type Handler = (client: Socket) => void;

function handlerOf(id: string, source: SshSource, cwd: string): Handler {
  const paths = (source.type === 'agent' ? [source.socket] : source.files).map((path) => resolve(cwd, path));
  const [only] = paths;
  if (only !== undefined && paths.length === 1 && isSocket(only)) return (client) => forward(client, only);
  if (source.type === 'agent') {
    throw new OcibuildError(
      'SSH_AGENT_NOT_FOUND',
      `Cannot reach the SSH agent "${id}": there is no socket at "${only}"`,
      { details: { id, path: only }, hint: 'start one with: eval $(ssh-agent) && ssh-add' },
    );
  }
  const keys = paths.map((path) => parseSshKey(readKey(path), path));
  return (client) => serve(client, keys);
}

function isSocket(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isSocket() === true;
}

function readKey(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new OcibuildError('SSH_KEY_INVALID', `Cannot read the SSH key "${path}": ${code}`, {
      cause,
      details: { path },
    });
  }
}

async function listen(handler: Handler, dir: string, owner: SocketOwner): Promise<OpenAgent> {
  mkdirSync(dir, { mode: 0o700 });
  const socket = join(dir, 'agent');
  const clients = new Set<Socket>();
  const server = createServer((client) => {
    clients.add(client);
    client.on('close', () => clients.delete(client));
    client.on('error', () => client.destroy());
    handler(client);
  });
  // A path of sun_path has 108 bytes at most, and a store may lie deep.
  const fd = openSync(dir, 'r');
  const dispose = async (): Promise<void> => {
    for (const client of clients) client.destroy();
    await new Promise((done) => server.close(done));
    closeSync(fd);
    rmSync(dir, { recursive: true, force: true });
  };
  try {
    await new Promise<void>((done, fail) =>
      server.once('error', fail).listen(`/proc/self/fd/${fd}/agent`, done),
    );
    chownSync(socket, owner.uid, owner.gid);
    chmodSync(socket, owner.mode);
  } catch (cause) {
    await dispose();
    throw new OcibuildError(
      'MOUNT_INVALID',
      `Cannot make the socket of an SSH agent for ${owner.uid}:${owner.gid}`,
      {
        cause,
      },
    );
  }
  server.unref();
  return { socket, [Symbol.asyncDispose]: dispose };
}

function forward(client: Socket, path: string): void {
  const agent = connect(path);
  agent.on('error', () => client.destroy());
  client.on('close', () => agent.destroy());
  agent.on('close', () => client.destroy());
  client.pipe(agent);
  agent.pipe(client);
}

/** An agent that only lists its keys and signs. */
function serve(client: Socket, keys: readonly SshKey[]): void {
  let waiting: Buffer = Buffer.alloc(0);
  client.on('data', (data: Buffer) => {
    waiting = Buffer.concat([waiting, data]);
    while (waiting.length >= 4) {
      const length = waiting.readUInt32BE(0);
      if (length > MAX_MESSAGE_BYTES) {
        client.destroy();
        return;
      }
      if (waiting.length < 4 + length) return;
      client.write(strings(answer(waiting.subarray(4, 4 + length), keys)));
      waiting = waiting.subarray(4 + length);
    }
  });
}

function answer(message: Buffer, keys: readonly SshKey[]): Buffer {
  try {
    if (message[0] === MESSAGE.requestIdentities) {
      const count = Buffer.alloc(5);
      count[0] = MESSAGE.identities;
      count.writeUInt32BE(keys.length, 1);
      return Buffer.concat([count, ...keys.map(({ blob, comment }) => strings(blob, comment))]);
    }
    if (message[0] === MESSAGE.signRequest) {
      const request = createReader(message.subarray(1));
      const [blob, data, flags] = [request.bytes(), request.bytes(), request.number()];
      const key = keys.find((each) => each.blob.equals(blob));
      if (key !== undefined)
        return Buffer.concat([Buffer.of(MESSAGE.signature), strings(key.sign(data, flags))]);
    }
  } catch (error) {
    // A message that is cut short, or a signature that OpenSSL refuses: both are a failure of the request.
    if (!(error instanceof Error)) throw error;
  }
  return Buffer.of(MESSAGE.failure);
}
