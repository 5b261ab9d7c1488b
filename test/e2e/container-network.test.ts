import { type ChildProcess, execFileSync, type SpawnOptions, spawn, spawnSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { ContainerNetwork, ContainerNetworkRequest } from '../../src/executor/types.ts';
import { readText } from '../../src/util/read-text.ts';
import { createNormalUser, type NormalUser, whyNoNormalUser } from '../support/normal-user.ts';
import type { RunnerRequest } from './network-runner.ts';

const BUSYBOX = process.env.BUSYBOX ?? '/bin/busybox';
const RUNNER = 'test/e2e/network-runner.ts';
const why = whyNoNormalUser();

/** Answers each datagram and says so when it is ready. */
const UDP_ECHO = `
const socket = require('node:dgram').createSocket('udp4');
socket.on('message', (message, from) => socket.send('echo ' + message, from.port, from.address));
socket.bind(53, () => console.log('ready'));
`;

interface Running {
  readonly process: ChildProcess;
  readonly network: ContainerNetwork & { readonly code?: string; readonly message?: string };
}

describe.skipIf(why !== undefined)(`networks of containers${why === undefined ? '' : ` (${why})`}`, () => {
  let top: string;
  let user: NormalUser;
  let count = 0;
  const children: ChildProcess[] = [];

  beforeAll(() => {
    top = mkdtempSync(join(tmpdir(), 'ocibuild-network-'));
    mkdirSync(join(top, 'www'));
    writeFileSync(join(top, 'www/hello'), 'hello world\n');
    // Many machines give the device to all; where this one does not, the user gets one that does.
    for (const [name, mode] of [
      ['tun', '666'],
      ['closed-tun', '600'],
    ] as const) {
      execFileSync('mknod', ['-m', mode, join(top, name), 'c', '10', '200']);
    }
    user = createNormalUser('ocibuild-net');
  });

  afterEach(() => {
    for (const child of children.splice(0)) child.kill('SIGKILL');
  });

  afterAll(() => {
    user[Symbol.dispose]();
    rmSync(top, { recursive: true, force: true });
  });

  const request = (facts: Partial<ContainerNetworkRequest>) => ({
    id: `net${process.pid}x${++count}`,
    ports: [],
    rootless: false,
    stateDir: join(top, 'state'),
    ...facts,
  });

  /** The runner as root, or as root of a user namespace of the normal user's. */
  function runner(facts: RunnerRequest, rootless = false, tun = true): ChildProcess {
    const argument = JSON.stringify(facts);
    const options: SpawnOptions = { stdio: ['pipe', 'pipe', 'inherit'] };
    if (!rootless) return keep(spawn(process.execPath, [RUNNER, argument], options));
    const inside = ['unshare', '-U', '--map-root-user', '--map-auto'];
    const [file, args] = user.command([...inside, user.node, join(user.checkout, RUNNER), argument]);
    const bind = 'mount --bind "$1" /dev/net/tun; shift; exec "$@"';
    const device = join(top, tun ? 'tun' : 'closed-tun');
    return keep(spawn('unshare', ['--mount', 'sh', '-c', bind, 'sh', device, file, ...args], options));
  }

  async function open(facts: Partial<ContainerNetworkRequest>, tun = true): Promise<Running> {
    const rootless = facts.rootless === true;
    const stateDir = join(rootless ? user.home : top, 'state');
    const process = runner(request({ stateDir, ...facts }), rootless, tun);
    const lines = createInterface({ input: process.stdout ?? expect.fail('no stdout') });
    const [line] = (await once(lines, 'line')) as [string];
    return { process, network: JSON.parse(line) as Running['network'] };
  }

  async function close({ process }: Running): Promise<void> {
    process.stdin?.end();
    expect((await once(process, 'exit'))[0]).toBe(0);
  }

  function keep(child: ChildProcess): ChildProcess {
    children.push(child);
    return child;
  }

  /** A server of TCP port 80 and one of UDP port 53 in the namespace. */
  async function serve({ network }: Running): Promise<void> {
    const enter = [`--net=${network.namespacePath ?? ''}`];
    const www = join(top, 'www');
    keep(spawn('nsenter', [...enter, BUSYBOX, 'httpd', '-f', '-p', '80', '-h', www], { stdio: 'ignore' }));
    const echo = keep(
      spawn('nsenter', [...enter, process.execPath, '-e', UDP_ECHO], {
        stdio: ['ignore', 'pipe', 'inherit'],
      }),
    );
    await once(echo.stdout ?? expect.fail('no stdout'), 'data');
  }

  const PORTS = [
    { hostPort: 0, containerPort: 80, protocol: 'tcp' },
    { hostPort: 0, hostIp: '127.0.0.1', containerPort: 80, protocol: 'tcp' },
    { hostPort: 0, containerPort: 53, protocol: 'udp' },
  ] as const;

  async function get(url: string): Promise<string> {
    const response = await fetch(url, { headers: { connection: 'close' } });
    return response.text();
  }

  async function ask(address: string, port: number): Promise<string> {
    const socket = createSocket('udp4');
    try {
      socket.send('ping', port, address);
      const [answer] = (await once(socket, 'message', { signal: AbortSignal.timeout(20_000) })) as [Buffer];
      return answer.toString();
    } finally {
      socket.close();
    }
  }

  async function expectPublished(running: Running): Promise<void> {
    await serve(running);
    const [all, loopback, udp] = running.network.ports.map(({ hostPort }) => hostPort);
    expect(await get(`http://localhost:${all}/hello`)).toBe('hello world\n');
    expect(await get(`http://127.0.0.1:${all}/hello`)).toBe('hello world\n');
    expect(await get(`http://[::1]:${all}/hello`)).toBe('hello world\n');
    expect(await get(`http://127.0.0.1:${loopback}/hello`)).toBe('hello world\n');
    await expect(get(`http://[::1]:${loopback}/hello`)).rejects.toThrow();
    expect(await ask('127.0.0.1', udp ?? 0)).toBe('echo ping');
  }

  /** Empty for a process that is gone or only waits to be buried. */
  function commandLine(pid: string): string {
    return readText(`/proc/${pid}/cmdline`) ?? '';
  }

  /** What the machine knows of a container's network. */
  function traces(id: string): string[] {
    const rules = spawnSync('iptables-save', { encoding: 'utf8' }).stdout.split('\n');
    const leases = '/run/ocibuild/leases/ocibuild';
    const names = existsSync(leases) ? readdirSync(leases).filter((name) => /^[\d.]+$/.test(name)) : [];
    return [
      ...rules.filter((line) => line.includes(id)),
      ...names.filter((name) => readFileSync(join(leases, name), 'utf8').includes(id)),
      ...(existsSync(join(top, 'state'))
        ? readdirSync(join(top, 'state')).filter((name) => name.includes(id))
        : []),
    ];
  }

  it.each(['bridge', 'pasta', 'slirp4netns', 'none'] as const)(
    'createContainerNetwork() publishes ports when root asks for %s',
    async (mode) => {
      const running = await open({ mode, ports: PORTS });
      expect(running.network).toMatchObject({ mode, warnings: [] });
      await expectPublished(running);
      await close(running);
    },
  );

  it.each(['pasta', 'slirp4netns', 'none'] as const)(
    'createContainerNetwork() publishes ports when a normal user asks for %s',
    async (mode) => {
      const running = await open({ mode, ports: PORTS, rootless: true });
      expect(running.network).toMatchObject({ mode, warnings: [] });
      await expectPublished(running);
      await close(running);
      expect(readdirSync(join(user.home, 'state'))).toEqual([]);
    },
  );

  it('createContainerNetwork() gives published ports and a warning when a normal user has no TUN device', async () => {
    const running = await open({ ports: PORTS, rootless: true }, false);
    expect(running.network).toMatchObject({
      mode: 'none',
      warnings: [expect.stringContaining('/dev/net/tun')],
    });
    await expectPublished(running);
    await close(running);
  });

  it('createContainerNetwork() leaves nothing when a bridge is closed, or swept after SIGKILL', async () => {
    const id = `net${process.pid}kill`;
    const closed = await open({ id, mode: 'bridge', ports: PORTS });
    expect(traces(id).length).toBeGreaterThan(3);
    await close(closed);
    expect(traces(id)).toEqual([]);

    const killed = await open({ id, ports: PORTS });
    expect(killed.network.mode).toBe('bridge');
    killed.process.kill('SIGKILL');
    await once(killed.process, 'exit');
    expect(traces(id).length).toBeGreaterThan(3);
    const sweep = runner({ sweep: true, stateDir: join(top, 'state') });
    expect((await once(sweep, 'exit'))[0]).toBe(0);
    expect(traces(id)).toEqual([]);
  });

  it('createContainerNetwork() ends pasta and slirp4netns when its process is killed', async () => {
    for (const mode of ['pasta', 'slirp4netns'] as const) {
      const id = `net${process.pid}${mode}`;
      const running = await open({ id, mode });
      const record = JSON.parse(readFileSync(join(top, 'state', `${id}.json`), 'utf8')) as {
        helper: { pid: number };
      };
      // The shell beside pasta and pasta itself name the container; slirp4netns is known by its number.
      const alive = (): boolean =>
        commandLine(String(record.helper.pid)) !== '' ||
        readdirSync('/proc').some((pid) => /^\d+$/.test(pid) && commandLine(pid).includes(`${id}.pid`));
      expect(alive()).toBe(true);
      running.process.kill('SIGKILL');
      for (let tries = 0; alive() && tries < 1000; tries++) await sleep(20);
      expect(alive()).toBe(false);
    }
  });

  it('createContainerNetwork() names port and process when a port is in use', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as { port: number };
    const { network } = await open({
      mode: 'none',
      ports: [{ hostPort: port, containerPort: 80, protocol: 'tcp' }],
    });
    server.close();
    expect(network).toMatchObject({ code: 'PORT_IN_USE' });
    expect(network.message).toContain(`port ${port}/tcp is in use by`);
    expect(network.message).toContain(`(process ${process.pid})`);
  });

  it('createContainerNetwork() says how to allow it when a normal user asks for port 80', async () => {
    const { network } = await open({
      mode: 'none',
      rootless: true,
      ports: [{ hostPort: 80, containerPort: 80, protocol: 'tcp' }],
    });
    expect(network).toMatchObject({
      code: 'PORT_UNAVAILABLE',
      hint: expect.stringContaining('ip_unprivileged_port_start=80'),
    });
  });
});
