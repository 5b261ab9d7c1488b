import { REFUSED_RUN_FLAGS } from './refused-run-flags.ts';
import type { Flag } from './types.ts';

const ENV: readonly Flag[] = [
  { name: 'env', short: 'e', kind: 'list', value: 'K[=V]', help: 'variable; bare K: from the environment' },
  { name: 'env-file', kind: 'list', value: 'FILE', help: 'variables, one a line' },
];
const INTERACTIVE: readonly Flag[] = [
  { name: 'interactive', short: 'i', kind: 'bool', help: 'give it our stdin' },
  { name: 'tty', short: 't', kind: 'bool', help: 'give it a terminal' },
];
const USER: Flag = { name: 'user', short: 'u', kind: 'string', value: 'U[:G]', help: 'user and group' };

export const RUN_FLAGS: readonly Flag[] = [
  { name: 'detach', short: 'd', kind: 'bool', help: 'leave it running, print its id' },
  ...INTERACTIVE,
  { name: 'rm', kind: 'bool', help: 'remove it when it ends' },
  { name: 'name', kind: 'string', value: 'NAME', help: 'its name (default: a made-up one)' },
  ...ENV,
  { name: 'volume', short: 'v', kind: 'list', value: 'SRC:DST', help: 'directory or volume; SRC:DST:ro' },
  { name: 'mount', kind: 'list', value: 'SPEC', help: 'type=bind|volume|tmpfs,src=…,dst=…,ro' },
  { name: 'tmpfs', rare: true, kind: 'list', value: 'DST[:OPTS]', help: 'directory in memory; :size=64m' },
  { name: 'publish', short: 'p', kind: 'list', value: '[H:]C', help: 'port of the host for one of it' },
  { name: 'publish-all', rare: true, short: 'P', kind: 'bool', help: 'publish every exposed port' },
  {
    name: 'network',
    kind: 'string',
    value: 'MODE',
    choices: ['bridge', 'pasta', 'slirp4netns', 'host', 'none'],
    help: 'bridge, pasta, slirp4netns, host or none',
  },
  { name: 'net', kind: 'string' },
  { name: 'add-host', rare: true, kind: 'list', value: 'HOST:IP', help: 'entry of its /etc/hosts' },
  { name: 'hostname', short: 'h', kind: 'string', value: 'NAME', help: 'its host name' },
  { name: 'workdir', short: 'w', kind: 'string', value: 'DIR', help: 'working directory' },
  USER,
  { name: 'entrypoint', kind: 'string', value: 'CMD', help: "in place of the image's; empty: none" },
  { name: 'label', short: 'l', kind: 'list', value: 'K=V', help: 'label' },
  { name: 'read-only', rare: true, kind: 'bool', help: 'its root cannot be written to' },
  { name: 'privileged', kind: 'bool', help: 'all capabilities and devices' },
  { name: 'cap-add', rare: true, kind: 'list', value: 'CAP', help: 'one capability more, or ALL' },
  { name: 'cap-drop', rare: true, kind: 'list', value: 'CAP', help: 'one less, or ALL' },
  { name: 'memory', short: 'm', kind: 'string', value: 'SIZE', help: 'limit of its memory, e.g. 512m' },
  { name: 'cpus', kind: 'string', value: 'N', help: 'cores that it may use, e.g. 1.5' },
  { name: 'pids-limit', rare: true, kind: 'string', value: 'N', help: 'processes that it may have' },
  { name: 'ulimit', rare: true, kind: 'list', value: 'N=S[:H]', help: 'limit, e.g. nofile=1024:4096' },
  { name: 'shm-size', rare: true, kind: 'string', value: 'SIZE', help: 'size of /dev/shm, e.g. 128m' },
  { name: 'stop-signal', rare: true, kind: 'string', value: 'NAME', help: 'what `stop` sends' },
  { name: 'stop-timeout', rare: true, kind: 'string', value: 'SEC', help: 'how long `stop` waits (10)' },
  {
    name: 'pull',
    kind: 'string',
    value: 'WHEN',
    choices: ['missing', 'always', 'newer', 'never'],
    help: 'missing, always, newer or never',
  },
  { name: 'platform', kind: 'string', value: 'OS/ARCH', help: 'platform of the image' },
  { name: 'file', short: 'f', kind: 'string', value: 'PATH', help: 'Dockerfile of a CONTEXT' },
  { name: 'build-arg', kind: 'list', value: 'K[=V]', help: 'value of an ARG of a CONTEXT' },
  { name: 'target', kind: 'string', value: 'STAGE', help: 'stage of a CONTEXT' },
  { name: 'progress', rare: true, kind: 'string', value: 'MODE', help: 'progress of building a CONTEXT' },
  { name: 'quiet', rare: true, short: 'q', kind: 'bool', help: 'no progress' },
  { name: 'watch', kind: 'bool', help: 'build and run a CONTEXT again at each save' },
  { name: 'sync', rare: true, kind: 'list', value: 'SRC:DST', help: 'with --watch: only copy what changed' },
  {
    name: 'sync-restart',
    rare: true,
    kind: 'list',
    value: 'SRC:DST',
    help: 'with --watch: copy and start again',
  },
  {
    name: 'rebuild',
    rare: true,
    kind: 'list',
    value: 'PATH',
    help: 'with --watch: build again, whatever --sync says',
  },
  {
    name: 'memory-swap',
    rare: true,
    kind: 'string',
    value: 'SIZE',
    help: 'memory and swap together (twice -m)',
  },
  {
    name: 'cpuset-cpus',
    rare: true,
    kind: 'string',
    value: 'LIST',
    help: 'cores that it may run on, e.g. 0-2,4',
  },
  { name: 'oom-score-adj', rare: true, kind: 'string', value: 'N', help: 'how soon it is killed for memory' },
  { name: 'dns', rare: true, kind: 'list', value: 'IP', help: 'nameserver' },
  { name: 'dns-search', rare: true, kind: 'list', value: 'DOMAIN', help: 'domain of short host names' },
  { name: 'dns-option', rare: true, kind: 'list', value: 'OPTION', help: 'option of resolv.conf' },
  { name: 'sysctl', rare: true, kind: 'list', value: 'K=V', help: 'kernel setting of its namespaces' },
  {
    name: 'security-opt',
    rare: true,
    kind: 'list',
    value: 'OPT',
    help: 'no-new-privileges, seccomp=unconfined',
  },
  { name: 'annotation', rare: true, kind: 'list', value: 'K=V', help: 'same as --label' },
  { name: 'cidfile', rare: true, kind: 'string', value: 'FILE', help: 'write its id to FILE' },
  {
    name: 'memory-reservation',
    rare: true,
    kind: 'string',
    value: 'SIZE',
    help: 'memory that it keeps when others want it',
  },
  {
    name: 'cpu-shares',
    rare: true,
    short: 'c',
    kind: 'string',
    value: 'N',
    help: 'its weight where cores are scarce (1024)',
  },
  { name: 'cpu-period', rare: true, kind: 'string', value: 'US', help: 'period of --cpu-quota (100000)' },
  { name: 'cpu-quota', rare: true, kind: 'string', value: 'US', help: 'time of cores in each period' },
  { name: 'cpuset-mems', rare: true, kind: 'string', value: 'LIST', help: 'memory nodes that it may use' },
  { name: 'device', rare: true, kind: 'list', value: 'SRC[:DST]', help: 'device of the host, or a CDI name' },
  { name: 'group-add', rare: true, kind: 'list', value: 'GROUP', help: 'one more group of its user' },
  { name: 'expose', rare: true, kind: 'list', value: 'PORT', help: 'port that -P publishes too' },
  { name: 'label-file', rare: true, kind: 'list', value: 'FILE', help: 'labels, one a line' },
  { name: 'domainname', rare: true, kind: 'string', value: 'NAME', help: 'its NIS domain' },
  { name: 'pid', rare: true, kind: 'string', value: 'host', help: 'see the processes of the host' },
  { name: 'init', rare: true, kind: 'bool', help: 'start it below an init program of the host' },
  // No health check is run in any case.
  { name: 'no-healthcheck', kind: 'bool' },
  // No image is signed for Docker Content Trust here.
  { name: 'disable-content-trust', kind: 'bool' },
  ...REFUSED_RUN_FLAGS,
];

export const PS_FLAGS: readonly Flag[] = [
  { name: 'all', short: 'a', kind: 'bool', help: 'those that have stopped too' },
  { name: 'quiet', short: 'q', kind: 'bool', help: 'print only ids' },
  { name: 'no-trunc', kind: 'bool', help: 'show whole commands' },
  { name: 'format', kind: 'string', value: 'FORMAT', help: 'table (default) or json' },
];

export const EXEC_FLAGS: readonly Flag[] = [
  ...INTERACTIVE,
  { name: 'detach', short: 'd', kind: 'bool', help: 'do not wait for it' },
  ...ENV,
  { name: 'workdir', short: 'w', kind: 'string', value: 'DIR', help: 'working directory' },
  USER,
];

export const LOGS_FLAGS: readonly Flag[] = [
  { name: 'follow', short: 'f', kind: 'bool', help: 'go on until it ends' },
  { name: 'tail', short: 'n', kind: 'string', value: 'N', help: 'only the last N lines' },
  { name: 'since', kind: 'string', value: 'TIME', help: 'a time, or how long ago: 10m' },
  { name: 'timestamps', short: 't', kind: 'bool', help: 'when each line came' },
  { name: 'build', kind: 'string', value: 'ID', help: 'of a build: an id of `builds`, or latest' },
];

export const STOP_FLAGS: readonly Flag[] = [
  { name: 'time', short: 't', kind: 'string', value: 'SEC', help: 'wait so long, then kill (10)' },
];

export const KILL_FLAGS: readonly Flag[] = [
  { name: 'signal', short: 's', kind: 'string', value: 'NAME', help: 'which signal (KILL)' },
];

export const RM_FLAGS: readonly Flag[] = [
  { name: 'force', short: 'f', kind: 'bool', help: 'kill those that run' },
];
