import type { StepCase } from './executor-runner.ts';

const status = (pattern: string) => `busybox grep -E '^(${pattern}):' /proc/self/status`;

/** Folders of the workspace: more layers than fit into the 4 KiB of mount(2), and one with a path too long for it. */
export const MANY_LAYERS: readonly string[] = Array.from({ length: 130 }, (_, n) => `layers/${n}/fs`);
export const LONG_PATH: string = `layers/${'deep'.repeat(40)}/${'path'.repeat(40)}`;

/** Steps whose outcome is the same for root, for a normal user and for every runtime; asserted by name. */
export const CASES: readonly StepCase[] = [
  { name: 'output', sh: 'echo out; echo err >&2; printf partial' },
  { name: 'exit', sh: 'exit 7' },
  { name: 'signal', sh: `sh -c 'kill -9 $$'; exit $?` },
  { name: 'not-found', spec: { args: ['/no/such/program'] } },
  { name: 'not-executable', spec: { args: ['/etc/passwd'] } },
  { name: 'lines', sh: 'busybox seq 1 20000' },
  { name: 'env', sh: 'env', spec: { env: ['A=1', 'B=2', 'A=3', 'EMPTY='], user: 'ann' } },
  { name: 'env-own', sh: 'env', spec: { env: ['PATH=/bin', 'HOME=/x'] } },
  { name: 'user-name', sh: 'id', spec: { user: 'ann' } },
  { name: 'user-number', sh: 'id -u; id -g; id -G', spec: { user: '1234' } },
  { name: 'user-group', sh: 'id', spec: { user: 'ann:staff' } },
  { name: 'user-known-number', sh: 'id -G', spec: { user: '1000' } },
  { name: 'user-unknown', spec: { user: 'nobody-here' } },
  { name: 'group-unknown', spec: { user: 'ann:nobody-here' } },
  { name: 'cwd-made', sh: 'pwd; stat -c "%a %u:%g" /new /new/deep', spec: { cwd: '/new/deep', user: 'ann' } },
  { name: 'cwd-link', sh: 'pwd -P', spec: { cwd: '/link/sub' } },
  { name: 'cwd-file', spec: { cwd: '/etc/passwd' } },
  { name: 'cwd-outside', sh: 'pwd -P', spec: { cwd: '/escape/x' } },
  {
    name: 'hosts',
    sh: 'cat /etc/hosts; hostname',
    spec: { hostname: 'box', extraHosts: ['db:10.1.2.3', 'six:fe80::1'] },
  },
  { name: 'resolv', sh: 'cat /etc/resolv.conf' },
  { name: 'files-readonly', sh: 'echo x >> /etc/hosts; echo x >> /etc/resolv.conf; exit 0' },
  { name: 'no-change', sh: 'ls / > /dev/null' },
  {
    name: 'bare-root',
    lower: [],
    spec: {
      args: ['/b/busybox', 'ls', '/etc'],
      mounts: [{ type: 'bind', target: '/b', readonly: true, source: 'DIR/lower/bin' }],
    },
  },
  {
    name: 'stub-parents',
    sh: 'ls -d /m/a/b; echo x > /m2/f',
    spec: {
      mounts: [
        { type: 'tmpfs', target: '/m/a/b', readonly: false },
        { type: 'tmpfs', target: '/m2/deep', readonly: false },
      ],
    },
  },
  {
    name: 'stub-in-lower-dir',
    sh: 'ls -d /opt/app/point',
    spec: { mounts: [{ type: 'tmpfs', target: '/opt/app/point', readonly: false }] },
  },
  {
    name: 'stub-behind-link',
    sh: 'ls -d /run/secret && cat /run/secret',
    spec: { mounts: [{ type: 'bind', target: '/var/run/secret', readonly: true, source: 'DIR/file' }] },
  },
  { name: 'hosts-in-image', lower: ['lower', 'with-hosts'], sh: 'cat /etc/hosts' },
  { name: 'hosts-removed', lower: ['lower', 'with-hosts', 'without-hosts'], sh: 'cat /etc/hosts' },
  { name: 'whiteout', sh: 'rm /etc/group; rm -r /opt; mkdir /opt; echo new > /opt/f' },
  {
    name: 'bind',
    sh: 'cat /in/file; echo x > /in/file; echo y > /out/made',
    spec: {
      mounts: [
        { type: 'bind', target: '/in', readonly: true, source: 'DIR/source' },
        { type: 'bind', target: '/out', readonly: false, source: 'DIR/cache' },
      ],
    },
  },
  {
    name: 'overlay-mount',
    sh: 'cat /src/group; ls /src; echo x > /src/y',
    spec: {
      mounts: [
        {
          type: 'overlay',
          target: '/src',
          readonly: true,
          lower: ['DIR/lower', 'DIR/with-hosts'],
          subpath: '/etc',
        },
      ],
    },
  },
  {
    name: 'overlay-mount-rw',
    sh: 'echo x > /src/y && cat /src/y',
    spec: {
      mounts: [{ type: 'overlay', target: '/src', readonly: false, lower: ['DIR/lower'], subpath: 'etc' }],
    },
  },
  {
    name: 'overlay-mount-missing',
    spec: {
      mounts: [{ type: 'overlay', target: '/src', readonly: true, lower: ['DIR/lower'], subpath: '/nope' }],
    },
  },
  {
    name: 'tmpfs-size',
    sh: 'busybox df -k /t | busybox tail -1; stat -c %a /t',
    spec: { mounts: [{ type: 'tmpfs', target: '/t', readonly: false, size: 1048576 }] },
  },
  { name: 'capabilities', sh: status('CapInh|CapPrm|CapEff|CapBnd|CapAmb|NoNewPrivs|Seccomp|Umask') },
  { name: 'capabilities-user', sh: status('CapInh|CapPrm|CapEff|CapBnd|CapAmb'), spec: { user: 'ann' } },
  { name: 'seccomp-unshare', sh: 'busybox unshare -m true' },
  {
    name: 'masked',
    sh: 'busybox wc -c < /proc/keys; ls /sys/firmware | busybox wc -l; echo 1 > /proc/irq/default_smp_affinity; echo x > /proc/sys/kernel/domainname',
  },
  { name: 'pid-namespace', sh: 'echo $$; busybox ps | busybox wc -l; busybox ipcs -m | busybox wc -l' },
  { name: 'mounts', sh: 'mount' },
  {
    name: 'devices',
    sh: 'ls /dev; echo x > /dev/null && busybox head -c 4 /dev/zero | busybox wc -c; ls -l /proc/1/fd/0',
  },
  { name: 'stdin', sh: 'cat; echo end' },
  {
    name: 'network-none',
    sh: 'busybox ip -o link | busybox cut -d: -f2; busybox ping -c1 -w2 127.0.0.1 >/dev/null && echo up',
    spec: { network: 'none' },
  },
  { name: 'network-host', sh: 'busybox readlink /proc/self/ns/net', spec: { network: 'host' } },
  { name: 'shm', sh: 'busybox df -k /dev/shm | busybox tail -1', spec: { shmSize: 2097152 } },
  {
    name: 'ulimit',
    sh: 'ulimit -Sn; ulimit -Hn',
    spec: { ulimits: [{ name: 'nofile', soft: 100, hard: 200 }] },
  },
  {
    name: 'permissions',
    sh: 'cd /tmp && touch f && chmod 4755 f && chown 12:34 f && mkdir -m 1777 d && ln -s f l && touch u',
  },
  { name: 'background', sh: '(while true; do sleep 1; done) & echo started' },
  { name: 'parent-changed', sh: 'chmod 700 /etc && chmod 711 /opt' },
  {
    name: 'parent-of-stub-changed',
    sh: 'chmod 700 /fresh',
    spec: { mounts: [{ type: 'tmpfs', target: '/fresh/t', readonly: false }] },
  },
  { name: 'many-layers', lower: ['source', ...MANY_LAYERS, 'lower'], sh: 'cat /file' },
  { name: 'long-path', lower: ['lower', LONG_PATH], sh: 'cat /deep' },
  { name: 'insecure', sh: `${status('CapEff|CapBnd|Seccomp')}; mount`, spec: { security: 'insecure' } },
  {
    name: 'bad-mount',
    spec: { mounts: [{ type: 'bind', target: '/in', readonly: true, source: 'DIR/absent' }] },
  },
  { name: 'cancel', sh: 'trap "" TERM; echo ready; while true; do sleep 1; done', cancelAt: 'ready' },
  { name: 'kill-runtime', sh: 'echo ready; sleep 1000', killRuntimeAt: 'ready' },
  ...[1, 2, 3, 4].map(
    (n): StepCase => ({ name: `side-${n}`, group: 'side', sh: `echo ${n} > /tmp/n; sleep 0.5; cat /tmp/n` }),
  ),
];
