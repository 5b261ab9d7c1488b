import type { Flag } from './types.ts';

interface Refusal {
  readonly names: readonly string[];
  readonly why: string;
  readonly kind?: Flag['kind'];
  /** Values that ask for what happens anyway. */
  readonly accepts?: readonly string[];
}

/** Flags of `docker run` that there are none of here, each with the reason. */
const REFUSALS: readonly Refusal[] = [
  {
    names: [
      ...['health-cmd', 'health-interval', 'health-retries', 'health-timeout', 'health-start-period'],
      'health-start-interval',
    ],
    why: 'no health checks are run: nobody would look at them',
  },
  {
    names: ['link', 'network-alias', 'net-alias', 'ip', 'ip6', 'link-local-ip', 'mac-address'],
    why: 'containers have no network of their own making; publish ports',
    kind: 'list',
  },
  {
    names: ['ipc', 'uts', 'userns', 'cgroupns'],
    why: 'a container has namespaces of its own',
    accepts: ['private', ''],
  },
  { names: ['cgroup-parent'], why: 'the cgroup of a container lies below that of the command' },
  { names: ['log-driver', 'log-opt'], why: 'logs are files of the store: ocibuild logs', kind: 'list' },
  { names: ['volumes-from'], why: 'name the volumes: -v NAME:DST in both containers', kind: 'list' },
  { names: ['volume-driver'], why: 'volumes are directories of the store', accepts: ['local', ''] },
  { names: ['gpus'], why: 'name the device by its CDI name: --device nvidia.com/gpu=all' },
  { names: ['detach-keys'], why: 'who leaves a container ends it; start it with -d, then exec -it' },
  { names: ['isolation'], why: 'there is one kind of isolation', accepts: ['default', ''] },
  { names: ['storage-opt'], why: 'what a container writes has no limit but the disk', kind: 'list' },
  {
    names: [
      ...['blkio-weight', 'blkio-weight-device', 'device-read-bps', 'device-read-iops', 'device-write-bps'],
      ...['device-write-iops', 'cpu-rt-period', 'cpu-rt-runtime', 'kernel-memory', 'memory-swappiness'],
    ],
    why: 'of the machine only memory, cores and processes can be limited',
    kind: 'list',
    accepts: ['0', '-1'],
  },
  { names: ['device-cgroup-rule'], why: 'name the devices: --device /dev/…', kind: 'list' },
  {
    names: ['oom-kill-disable'],
    why: 'a container without memory would hang; see --oom-score-adj',
    kind: 'bool',
    accepts: ['false'],
  },
  { names: ['sig-proxy'], why: 'signals go to the container', kind: 'bool', accepts: ['true'] },
  { names: ['use-api-socket'], why: 'there is no daemon', kind: 'bool', accepts: ['false'] },
  { names: ['restart'], why: 'nobody is there to start it again: there is no daemon', accepts: ['no'] },
];

export const REFUSED_RUN_FLAGS: readonly Flag[] = [
  ...REFUSALS.flatMap(({ names, why: refused, kind = 'string', accepts }) =>
    names.map((name): Flag => ({ name, kind, refused, ...(accepts === undefined ? {} : { accepts }) })),
  ),
  {
    name: 'attach',
    short: 'a',
    kind: 'list',
    refused: 'stdout and stderr are ours unless -d is given, stdin with -i',
  },
];
