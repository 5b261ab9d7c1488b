import type { FileTrace } from '../fast-path.ts';

type Words = string | readonly string[];
type Values = Readonly<Record<string, string | number | boolean>>;
/** Attributes of a flag's value: `{ type: 'oci', dest: 'app.tar' }` is `type=oci,dest=app.tar`. */
type Attributes = Values;

/**
 * What a build can be given in a config file: the flags of `ocibuild build`, in camel case, those that may be repeated
 * in the plural. Values are those of the command line; where that has `KEY=VALUE`, an object does as well. Paths are
 * relative to the config file.
 */
export interface BuildDefaults {
  readonly tags?: Words;
  readonly file?: string;
  readonly buildArgs?: Words | Values;
  /** One stage, or several joined by commas. */
  readonly target?: string;
  readonly labels?: Words | Values;
  readonly annotations?: Words | Values;
  readonly platforms?: Words;
  /** name → directory, URL, `docker-image://REF` or `oci-layout://DIR`. */
  readonly buildContexts?: Words | Values;
  /** host → address. */
  readonly addHosts?: Words | Values;
  readonly network?: 'default' | 'none' | 'host';
  readonly ulimits?: Words | Values;
  /** id → a file, or `{ src }`, `{ env }`. */
  readonly secrets?: Words | Readonly<Record<string, string | Attributes>>;
  /** id → socket or key files. */
  readonly ssh?: Words | Readonly<Record<string, Words>>;
  readonly allow?: Words;
  readonly shmSize?: string | number;
  readonly cacheFrom?: string | Attributes | readonly (string | Attributes)[];
  readonly cacheTo?: string | Attributes | readonly (string | Attributes)[];
  readonly noCache?: boolean;
  readonly noCacheFilter?: Words;
  readonly pull?: 'missing' | 'always' | 'newer' | 'never' | boolean;
  readonly outputs?: string | Attributes | readonly (string | Attributes)[];
  readonly push?: boolean;
  readonly load?: boolean;
  readonly progress?: 'auto' | 'tty' | 'plain' | 'grouped' | 'github' | 'gitlab' | 'rawjson' | 'quiet';
  readonly quiet?: boolean;
  readonly iidfile?: string;
  readonly metadataFile?: string;
  readonly provenance?: boolean | string | Attributes;
  readonly sbom?: boolean | string | Attributes;
  readonly attest?: string | Attributes | readonly (string | Attributes)[];
  readonly jobs?: number;
  readonly locked?: boolean;
  readonly explain?: boolean;
  readonly check?: boolean;
  readonly fix?: boolean;
  readonly call?: string;
  readonly watch?: boolean;
  readonly debugShell?: boolean;
  readonly exportOnFailure?: Words;
}

/** A build with a name: `ocibuild build @NAME`. */
export interface NamedBuild extends BuildDefaults {
  /** Directory, or a git or http(s) URL. @default the directory of the config file */
  readonly context?: string;
  /** Names of builds that this one takes everything from that it does not say itself; later ones win. */
  readonly extends?: Words;
}

/** When and how much a store is cleared by itself after builds. Sizes are bytes, or texts such as `20gb`. */
export interface GcConfig {
  readonly maxUsedSpace?: number | string;
  readonly reservedSpace?: number | string;
  readonly minFreeSpace?: number | string;
  /** Unused for so long: `60d`, `12h`. */
  readonly keepDuration?: string;
  /** Between two of them. */
  readonly interval?: string;
}

/** What `ocibuild.config.ts`, `ocibuild.config.json` or the key `ocibuild` of a package.json holds. */
export interface OcibuildConfig {
  readonly $schema?: string;
  /** The store, as `--root`. */
  readonly root?: string;
  /** As `--runtime`. */
  readonly runtime?: string;
  /** `false`: never by itself. */
  readonly gc?: GcConfig | false;
  /** For every build. */
  readonly defaults?: BuildDefaults;
  readonly builds?: Readonly<Record<string, NamedBuild>>;
}

/** A config file, read and not yet checked. */
export interface RawConfig {
  /** Absolute. */
  readonly path: string;
  readonly text: string;
  readonly value: unknown;
}

/** The config that holds in a directory. */
export interface FoundConfig {
  /** Undefined where there is none. */
  readonly raw?: RawConfig;
  /** What was looked at, so that a later run can tell whether it would be found and read the same. */
  readonly trace: FileTrace;
}
