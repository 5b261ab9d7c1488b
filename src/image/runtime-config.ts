import { ANNOTATION, type ImageConfig } from './types.ts';

/** Numbers that `config.User` stands for in this root file system. */
export interface ResolvedUser {
  readonly uid: number;
  readonly gid: number;
  readonly additionalGids?: readonly number[];
}

/** The parts of a runtime-spec `config.json` that come from the image. */
export interface ImageRuntimeConfig {
  readonly process: {
    /** Empty where the image has neither Entrypoint nor Cmd; the caller must then name a command. */
    readonly args: readonly string[];
    readonly env: readonly string[];
    readonly cwd: string;
    readonly user: ResolvedUser;
  };
  readonly annotations: Readonly<Record<string, string>>;
  /** Absolute paths, sorted (so parents first), each of which should be a mount of its own. */
  readonly volumes: readonly string[];
}

/** What PATH is where nobody says so: Docker's own. */
export const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/**
 * Converts an image config by the image-spec's rules. Labels become annotations as they are and win over the
 * derived ones of the same key. PATH is added where the image sets none, since `runc` finds `args[0]` by it.
 * @see image-spec conversion.md
 */
export function runtimeConfig(image: ImageConfig, user: ResolvedUser): ImageRuntimeConfig {
  const config = image.config ?? {};
  const env = [...(config.Env ?? [])];
  if (!env.some((entry) => entry.startsWith('PATH='))) env.push(`PATH=${DEFAULT_PATH}`);
  const cwd = config.WorkingDir ?? '';
  return {
    process: {
      args: [...(config.Entrypoint ?? []), ...(config.Cmd ?? [])],
      env,
      cwd: cwd.startsWith('/') ? cwd : `/${cwd}`,
      user,
    },
    annotations: { ...derivedAnnotations(image), ...config.Labels },
    volumes: Object.keys(config.Volumes ?? {})
      .map((path) => (path.startsWith('/') ? path : `/${path}`))
      .sort(),
  };
}

/** conversion.md §Annotation Fields: a field that is absent or empty gives no annotation. */
function derivedAnnotations(image: ImageConfig): Record<string, string> {
  const fields: Readonly<Record<string, string | undefined>> = {
    'org.opencontainers.image.os': image.os,
    'org.opencontainers.image.architecture': image.architecture,
    'org.opencontainers.image.variant': image.variant,
    'org.opencontainers.image.os.version': image['os.version'],
    'org.opencontainers.image.os.features': image['os.features']?.join(','),
    'org.opencontainers.image.author': image.author,
    [ANNOTATION.created]: image.created,
    'org.opencontainers.image.stopSignal': image.config?.StopSignal,
    'org.opencontainers.image.exposedPorts': Object.keys(image.config?.ExposedPorts ?? {})
      .sort()
      .join(','),
  };
  return Object.fromEntries(Object.entries(fields).filter((field): field is [string, string] => !!field[1]));
}
