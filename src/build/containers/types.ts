import type { Runtime } from '../../executor/runtime.ts';
import type {
  ContainerExtras,
  ContainerLimits,
  ContainerNetworkMode,
  MemoryLimit,
  ProcessSpec,
  PublishedPort,
  RunningContainer,
  SandboxMount,
} from '../../executor/types.ts';
import type { Digest } from '../../image/types.ts';
import type { LayerId } from '../../layer/layer-id.ts';
import type { Owner } from '../../util/owner.ts';

/** A mount that was asked for. */
export type MountRequest =
  | {
      readonly type: 'bind';
      readonly source: string;
      readonly target: string;
      readonly readonly: boolean;
      /** A source that is not there becomes a directory. */
      readonly create: boolean;
    }
  | {
      readonly type: 'volume';
      /** Absent: a volume of this container only. */
      readonly name?: string;
      readonly target: string;
      readonly readonly: boolean;
    }
  | {
      readonly type: 'tmpfs';
      readonly target: string;
      readonly readonly: boolean;
      /** Options of mount(8). */
      readonly options: readonly string[];
    };

/** A device that was asked for. */
export interface DeviceRequest {
  /** Path on the host, of a device or a directory of them, or the name of a CDI device. */
  readonly source: string;
  readonly target: string;
  /** Letters of `rwm`. */
  readonly access: string;
}

/** What `run` was asked for beside the image. */
export interface RunRequest {
  /** Words after the image: they replace its Cmd. */
  readonly args: readonly string[];
  /** Replaces the image's Entrypoint and empties its Cmd. */
  readonly entrypoint?: readonly string[];
  /** `K=V` */
  readonly env: readonly string[];
  readonly cwd?: string;
  readonly user?: string;
  readonly name?: string;
  readonly hostname?: string;
  readonly mounts: readonly MountRequest[];
  readonly ports: readonly PublishedPort[];
  /** Publish every port that the image exposes. */
  readonly publishAll: boolean;
  /** Ports that `publishAll` takes beside the image's own: `80/tcp`. */
  readonly expose?: readonly string[];
  readonly network?: ContainerNetworkMode;
  /** `host:ip`; the ip may be `host-gateway`. */
  readonly extraHosts: readonly string[];
  readonly devices?: readonly DeviceRequest[];
  /** Path of the program on the host that starts and reaps all others. */
  readonly init?: string;
  readonly readonlyRoot: boolean;
  readonly privileged: boolean;
  readonly addCapabilities: readonly string[];
  readonly dropCapabilities: readonly string[];
  readonly limits: ContainerLimits;
  readonly extras?: ContainerExtras;
  /** Lines of its /etc/resolv.conf, in place of those of the same word. */
  readonly dns?: readonly string[];
  readonly ulimits: ProcessSpec['ulimits'];
  readonly shmSize?: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly stopSignal?: string;
  readonly stopTimeoutSec?: number;
  readonly remove: boolean;
  readonly interactive: boolean;
  readonly tty: boolean;
}

/** What a container is: written once, when it is made (`container.json`). */
export interface ContainerPlan
  extends Omit<RunRequest, 'args' | 'entrypoint' | 'publishAll' | 'expose' | 'mounts'> {
  readonly version: 1;
  /** Twelve hex digits. */
  readonly id: string;
  readonly name: string;
  /** RFC 3339. */
  readonly created: string;
  readonly image: { readonly name: string; readonly digest: Digest };
  /** What its root file system stands on; must stay in the store for as long as the container runs. */
  readonly layers: readonly LayerId[];
  /** Snapshots of the layers, base first. */
  readonly lower: readonly string[];
  readonly args: readonly string[];
  readonly cwd: string;
  readonly user: string;
  readonly hostname: string;
  readonly mounts: readonly SandboxMount[];
  readonly annotations: Readonly<Record<string, string>>;
  readonly stopSignal: string;
  readonly stopTimeoutSec: number;
  /** Name or path, as it was asked for. */
  readonly runtime?: string;
  /** Who made it, until there is a monitor. */
  readonly creator: Owner;
}

/** The states of the runtime-spec; `created` lasts until the program runs. */
export type ContainerStatus = 'creating' | 'created' | 'running' | 'stopped';

/** What has become of a container: replaced as a whole at each change (`state.json`). */
export interface ContainerState {
  readonly status: ContainerStatus;
  /** The process that holds its mounts, network and log. */
  readonly monitor?: Owner;
  readonly reach?: ContainerReach;
  readonly ports?: readonly PublishedPort[];
  readonly network?: ContainerNetworkMode;
  readonly address?: string;
  /** RFC 3339. */
  readonly started?: string;
  readonly finished?: string;
  /** Absent where nobody was there to see it. */
  readonly exitCode?: number;
  /** It, or a process of it, was killed for want of memory, and it failed. */
  readonly oomKilled?: boolean;
  readonly memoryLimit?: MemoryLimit;
  /** Why it could not start. */
  readonly error?: string;
}

/** How other processes reach a running container. */
export interface ContainerReach extends RunningContainer {
  /** Of the runtime; also the name of its bundle. */
  readonly runtimeId: string;
  readonly bundle: string;
  readonly runtime: Runtime;
  readonly stateDir: string;
  /** Start time of `pid`, to tell it from a later process. */
  readonly pidStart: string;
}

/** A container of a store. */
export interface Container {
  readonly plan: ContainerPlan;
  /** As it really is: `stopped` also where the monitor died without a word. */
  readonly state: ContainerState;
  readonly dir: string;
}

/** What the monitor of a detached container says, once, to the command that started it: one JSON text. */
export type MonitorWord =
  /** It runs, or it has run and is over already. */
  | { readonly kind: 'started'; readonly warnings: readonly string[] }
  | { readonly kind: 'failed'; readonly error: Record<string, unknown> };
