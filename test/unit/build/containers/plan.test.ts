import { describe, expect, it } from 'vitest';
import { planProcess } from '../../../../src/build/containers/plan.ts';
import { parseSignal } from '../../../../src/build/containers/signals.ts';
import { withDns } from '../../../../src/build/containers/supervise.ts';
import type { RunRequest } from '../../../../src/build/containers/types.ts';
import type { ImageConfig } from '../../../../src/image/types.ts';

const REQUEST: RunRequest = {
  args: [],
  env: [],
  mounts: [],
  ports: [],
  publishAll: false,
  extraHosts: [],
  readonlyRoot: false,
  privileged: false,
  addCapabilities: [],
  dropCapabilities: [],
  limits: {},
  ulimits: [],
  labels: {},
  remove: false,
  interactive: false,
  tty: false,
};

const IMAGE = {
  os: 'linux',
  architecture: 'amd64',
  rootfs: { type: 'layers', diff_ids: [] },
  config: {
    Entrypoint: ['/entry', '-x'],
    Cmd: ['cmd'],
    Env: ['A=image', 'PATH=/bin'],
    WorkingDir: 'srv',
    User: 'app',
    StopSignal: 'SIGQUIT',
    Volumes: { '/data': {}, '/cache': {} },
    ExposedPorts: { '80/tcp': {}, '53/udp': {}, '9/sctp': {}, '443/tcp': {} },
    Labels: { l: 'image' },
  },
} as unknown as ImageConfig;

const plan = (request: Partial<RunRequest>) => planProcess(IMAGE, { ...REQUEST, ...request }, 'box');

describe('planProcess()', () => {
  it.each([
    ['nothing is given', {}, ['/entry', '-x', 'cmd']],
    ['words are given', { args: ['a', 'b'] }, ['/entry', '-x', 'a', 'b']],
    ['an entrypoint is given', { entrypoint: ['sh'] }, ['sh']],
    ['both are given', { entrypoint: ['sh'], args: ['-c'] }, ['sh', '-c']],
    ['the entrypoint is taken away', { entrypoint: [], args: ['ls'] }, ['ls']],
  ])('planProcess() runs the words that Docker would when %s', (_, request, args) => {
    expect(plan(request).args).toEqual(args);
  });

  it('planProcess() refuses when there is nothing to run', () => {
    expect(() => plan({ entrypoint: [] })).toThrow(expect.objectContaining({ code: 'USAGE_INVALID' }));
  });

  it('planProcess() names a capability that there is none of', () => {
    const plan = (name: string) => planProcess(IMAGE, { ...REQUEST, dropCapabilities: [name] }, 'host');
    expect(() => plan('CAP_NET_RAWW')).toThrow('Cannot use the capability "CAP_NET_RAWW"');
    expect(() => plan('ALL')).not.toThrow();
    expect(() => plan('CAP_BPF')).not.toThrow();
  });

  it('planProcess() puts the request over the image when both say something', () => {
    expect(plan({})).toMatchObject({ cwd: '/srv', user: 'app', stopSignal: 'SIGQUIT', stopTimeoutSec: 10 });
    expect(
      plan({
        cwd: '/w',
        user: '0',
        stopSignal: 'INT',
        stopTimeoutSec: 1,
        env: ['A=mine'],
        tty: true,
        labels: { l: 'mine' },
      }),
    ).toMatchObject({
      ...{ cwd: '/w', user: '0', stopSignal: 'INT', stopTimeoutSec: 1 },
      env: ['HOSTNAME=box', 'TERM=xterm', 'A=image', 'PATH=/bin', 'A=mine'],
      annotations: { l: 'mine', 'org.opencontainers.image.stopSignal': 'SIGQUIT' },
    });
  });

  it('planProcess() makes a volume for each that the image names when nothing else is mounted there', () => {
    const mine = { type: 'bind', source: '/h', target: '/data', readonly: true, create: true } as const;
    expect(plan({ mounts: [mine] }).mounts).toEqual([
      { type: 'volume', target: '/cache', readonly: false },
      mine,
    ]);
  });

  it('planProcess() publishes what is exposed and not published yet when all is asked for', () => {
    const http = { hostPort: 8080, containerPort: 80, protocol: 'tcp' } as const;
    expect(plan({ publishAll: true, ports: [http] }).ports).toEqual([
      http,
      { hostPort: 0, containerPort: 53, protocol: 'udp' },
      { hostPort: 0, containerPort: 443, protocol: 'tcp' },
    ]);
  });
});

describe('withDns()', () => {
  it('withDns() replaces the lines of the words that are given', () => {
    const before = 'nameserver 10.0.0.1\nsearch old\noptions ndots:1\n';
    expect(withDns(before, ['nameserver 1.1.1.1', 'search a b'])).toBe(
      'options ndots:1\nnameserver 1.1.1.1\nsearch a b\n',
    );
    expect(withDns(before, [])).toBe(before);
  });
});

describe('parseSignal()', () => {
  it.each([
    ['TERM', 15],
    ['sigkill', 9],
    ['1', 1],
    ['RTMIN+3', 37],
    ['SIGRTMAX-1', 63],
  ])('parseSignal() gives the number when the signal is %s', (text, number) => {
    expect(parseSignal(text)).toBe(number);
  });

  it.each(['', '0', '65', 'NONE', 'toString', 'RTMIN+99'])(
    'parseSignal() refuses when the signal is "%s"',
    (text) => {
      expect(() => parseSignal(text)).toThrow(expect.objectContaining({ code: 'USAGE_INVALID' }));
    },
  );
});
