/** Runs processes in sandboxes. Knows directories, not layers. */
export interface Executor {
  /**
   * Mounts the root, runs the process, unmounts, and leaves in `rootfs.upper` only what the process changed.
   * @throws RUN_START_FAILED, MOUNT_INVALID, RUN_USER_UNKNOWN, RUN_CWD_INVALID, RUNTIME_NOT_FOUND, RUNTIME_FAILED,
   *   OVERLAY_UNAVAILABLE; CANCELLED after the container is dead and everything is unmounted.
   */
  run(spec: ProcessSpec, options: RunOptions): Promise<ExitStatus>;
  /** Ends the worker; waits for running containers to die. */
  close(): Promise<void>;
}

export interface RunOptions {
  readonly signal: AbortSignal;
  /** What comes after waits for a promise, the process too once much is held. Where it throws or rejects, the process is
   * killed, and `run` rejects with that error. */
  onOutput(stream: 'stdout' | 'stderr', data: Uint8Array): void | Promise<void>;
  /** The process runs; called at most once, and only for a spec with `container`. */
  onRunning?(running: RunningContainer): void;
}

/** How another process reaches a container that runs. */
export interface RunningContainer {
  /** Of the container's first process, as we see it. */
  readonly pid: number;
  /** Mount namespace in which its root and bundle are seen (`/proc/PID/task/TID/ns/mnt`). */
  readonly mountNamespace: string;
}

export interface ProcessSpec {
  /** Unique on this machine; name of the bundle directory and of the container. */
  readonly id: string;
  readonly rootfs: OverlayRootfs;
  readonly args: readonly string[];
  /** `K=V` in order, last wins; PATH and HOME are added when absent. */
  readonly env: readonly string[];
  /** Set last of all, and never written to a disk. */
  readonly secretEnv?: readonly string[];
  readonly devices?: DeviceEdits;
  /** Absolute path in the root; made (0755, owned by the user) when it is not there. */
  readonly cwd: string;
  /** `user[:group]`, names or numbers; empty = root. */
  readonly user: string;
  readonly network: 'default' | 'none' | 'host';
  readonly security: 'sandbox' | 'insecure';
  readonly mounts: readonly SandboxMount[];
  readonly hostname: string;
  /** `host:ip` */
  readonly extraHosts: readonly string[];
  readonly ulimits: readonly { readonly name: string; readonly soft: number; readonly hard: number }[];
  /** Bytes. */
  readonly shmSize?: number;
  /** Present for a container, absent for a RUN step. */
  readonly container?: ContainerSettings;
}

/** What a container has beyond a RUN step. */
export interface ContainerSettings {
  /**
   * A terminal in the container: `inherit` joins it to this process's own, `own` to one whose output is read like
   * that of a pipe.
   */
  readonly terminal?: 'inherit' | 'own';
  /** `none`: empty; `open`: nothing comes, but it does not end; `inherit`: that of this process. */
  readonly stdin: 'none' | 'open' | 'inherit';
  readonly readonlyRoot: boolean;
  readonly annotations: Readonly<Record<string, string>>;
  /** Names with `CAP_`, or `ALL`. */
  readonly addCapabilities: readonly string[];
  readonly dropCapabilities: readonly string[];
  /** Replaces what `network` says. */
  readonly networkNamespace?: string;
  /** Of the container, for its /etc/hosts. */
  readonly address?: string;
  /** Text of /etc/resolv.conf. */
  readonly resolvConf?: string;
  readonly limits: ContainerLimits;
  readonly extras?: ContainerExtras;
}

/** What few containers ask for. */
export interface ContainerExtras {
  /** Of its own namespaces, e.g. `net.ipv4.ip_forward`. */
  readonly sysctls?: Readonly<Record<string, string>>;
  /** -1000 to 1000. */
  readonly oomScoreAdj?: number;
  /** No program gains privileges by its set-id bits. */
  readonly noNewPrivileges?: boolean;
  /** No filter of system calls. */
  readonly seccompUnconfined?: boolean;
  /** Further groups of its user: names of the root, or numbers. */
  readonly groups?: readonly string[];
  /** It sees the processes of the host. */
  readonly hostPid?: boolean;
}

/** Limits of a container's cgroup. */
export interface ContainerLimits {
  readonly memoryBytes?: number;
  /** Kept for it when memory is scarce. */
  readonly memoryReservationBytes?: number;
  /** Memory and swap together; -1: any. Default: twice the memory, where the kernel counts swap. */
  readonly memorySwapBytes?: number;
  /** Cores that it may run on: `0-2,4`. */
  readonly cpuset?: string;
  /** Memory nodes, in the same form. */
  readonly memoryNodes?: string;
  /** Weight; 1024 is the usual one. */
  readonly cpuShares?: number;
  readonly cpuQuotaUs?: number;
  readonly cpuPeriodUs?: number;
  /** Of one core; 1.5 is one and a half. */
  readonly cpus?: number;
  readonly pids?: number;
}

/** An overlay that the executor mounts privately. `lower` is given base first. All directories exist; `upper`
 * and `work` are empty and on one file system. */
export interface OverlayRootfs {
  readonly lower: readonly string[];
  readonly upper: string;
  readonly work: string;
}

export interface SandboxMount {
  readonly type: 'bind' | 'tmpfs' | 'overlay' | 'secret';
  readonly target: string;
  readonly readonly: boolean;
  /** bind: a directory or file outside the root. */
  readonly source?: string;
  /** bind: options of mount(8), in place of `rbind`; tmpfs: more of them. */
  readonly options?: readonly string[];
  /** bind: an empty source starts with what the root has at the target. */
  readonly copyUp?: boolean;
  /** secret: a file that is kept in memory only. */
  readonly file?: {
    readonly data: Uint8Array;
    readonly mode: number;
    readonly uid: number;
    readonly gid: number;
  };
  /** overlay: layers to show read-only, and the path in them. */
  readonly lower?: readonly string[];
  readonly subpath?: string;
  /** tmpfs: bytes. */
  readonly size?: number;
}

/** What the devices of a step change in its sandbox. @see CDI SPEC.md, "OCI Edits" */
export interface DeviceEdits {
  readonly env: readonly string[];
  readonly nodes: readonly DeviceNode[];
  readonly mounts: readonly SandboxMount[];
  readonly additionalGids: readonly number[];
  /** By name of the phase, as in runtime-spec config.md §POSIX-platform Hooks. */
  readonly hooks: Readonly<Record<string, readonly Readonly<Record<string, unknown>>[]>>;
}

/** A device node that the runtime makes. */
export interface DeviceNode {
  readonly path: string;
  readonly type: 'b' | 'c' | 'p' | 'u';
  readonly major: number;
  readonly minor: number;
  readonly fileMode?: number;
  readonly uid?: number;
  readonly gid?: number;
  /** Letters of `rwm`. */
  readonly access: string;
}

export interface ExitStatus {
  /** Exit code, 128 + n for a signal. */
  readonly code: number;
  readonly signal?: number;
  /** The kernel killed it, or a process of it, for want of memory. */
  readonly oomKilled?: boolean;
  /** The limit that was reached, where there is one; the machine itself may have run out. */
  readonly memoryLimit?: MemoryLimit;
}

export interface MemoryLimit {
  readonly bytes: number;
  /** Path of the cgroup that has it; absent: the container's own. */
  readonly cgroup?: string;
}

/** Which runtime and directories an executor works with. */
export interface ExecutorOptions {
  /** Name or path; default: the first of runc, crun, youki on PATH. */
  readonly runtime?: string;
  /** Directory for bundles (`ROOT/run`). */
  readonly runDir: string;
  /** True inside a user namespace of our own. */
  readonly rootless: boolean;
  /** PATH, for looking the runtime up. The system's usual folders are always searched after it. */
  readonly searchPath?: string;
  /**
   * The runtime's state directory, one for each store.
   * @default `/run/ocibuild/HASH` as root, `runtime` beside `runDir` when rootless
   */
  readonly stateDir?: string;
}

export interface PublishedPort {
  /** Address of the host; absent: all addresses. */
  readonly hostIp?: string;
  /** 0: any that is free. */
  readonly hostPort: number;
  readonly containerPort: number;
  readonly protocol: 'tcp' | 'udp';
}

/** How a container that `run` started reaches the world. */
export type ContainerNetworkMode = 'bridge' | 'pasta' | 'slirp4netns' | 'host' | 'none';

export interface ContainerNetworkRequest {
  /** Container id: names the lease of an address. */
  readonly id: string;
  /** Absent: the best that this machine has: `bridge` as root with CNI plugins, else `pasta`, else `slirp4netns`. */
  readonly mode?: ContainerNetworkMode;
  readonly ports: readonly PublishedPort[];
  /** Inside a user namespace of our own. */
  readonly rootless: boolean;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** A directory for state that must survive this process, so that `sweepContainerNetwork` can clean up after it. */
  readonly stateDir: string;
  readonly signal: AbortSignal;
}

/** A network that is ready before its container starts, and that ends with `close` or with this process. */
export interface ContainerNetwork {
  readonly mode: ContainerNetworkMode;
  /** Of the container's `linux.namespaces`; undefined: the host's network, no entry at all. */
  readonly namespacePath: string | undefined;
  /** Of the container, where it has one of its own. */
  readonly address?: string;
  /** By which the container reaches this machine, where it can. */
  readonly gateway?: string;
  /** Text of `/etc/resolv.conf`. */
  readonly resolvConf: string;
  /** With the host ports that were really taken. */
  readonly ports: readonly PublishedPort[];
  /** What does not work as asked for, one sentence each without a full stop: for stderr. */
  readonly warnings: readonly string[];
  /** Idempotent. */
  close(): Promise<void>;
}
