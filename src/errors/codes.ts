/** What kind of fault it is; decides the exit code. */
export type Category = 'build' | 'usage' | 'environment' | 'registry' | 'network' | 'internal' | 'cancelled';

/** code → category. A code once released is never renamed; each has a page in docs/errors. */
const CODES = {
  // usage and Dockerfile syntax
  USAGE_INVALID: 'usage',
  USAGE_FLAG_UNKNOWN: 'usage',
  USAGE_UNSUPPORTED: 'usage',
  DOCKERFILE_EMPTY: 'usage',
  DOCKERFILE_NOT_FOUND: 'usage',
  DOCKERFILE_LINE_TOO_LONG: 'usage',
  DOCKERFILE_SYNTAX: 'usage',
  DOCKERFILE_DIRECTIVE_INVALID: 'usage',
  DOCKERFILE_INSTRUCTION_UNKNOWN: 'usage',
  DOCKERFILE_INSTRUCTION_INVALID: 'usage',
  DOCKERFILE_FLAG_INVALID: 'usage',
  DOCKERFILE_UNSUPPORTED: 'usage',
  DOCKERFILE_EXPANSION_INVALID: 'usage',
  DOCKERFILE_STAGE_INVALID: 'usage',
  DOCKERFILE_STAGE_NOT_FOUND: 'usage',
  DOCKERFILE_STAGE_CYCLE: 'usage',
  DOCKERIGNORE_INVALID: 'usage',
  CONTEXT_NOT_FOUND: 'usage',
  CONFIG_NOT_FOUND: 'usage',
  CONFIG_INVALID: 'usage',
  REFERENCE_INVALID: 'usage',
  PLATFORM_INVALID: 'usage',
  LOCK_NOT_FOUND: 'usage',
  LOCK_INVALID: 'usage',
  SOURCE_POLICY_INVALID: 'usage',
  ENTITLEMENT_MISSING: 'usage',
  // the build
  CHECK_FAILED: 'build',
  COPY_SOURCE_MISSING: 'build',
  COPY_TARGET_CLASH: 'build',
  COPY_INVALID: 'build',
  COPY_OWNER_UNKNOWN: 'build',
  CONTEXT_CHANGED: 'build',
  CONTEXT_UNREADABLE: 'build',
  ARCHIVE_INVALID: 'build',
  RUN_EXIT_NONZERO: 'build',
  RUN_SIGNALLED: 'build',
  RUN_START_FAILED: 'build',
  RUN_USER_UNKNOWN: 'build',
  RUN_CWD_INVALID: 'build',
  MOUNT_INVALID: 'build',
  SECRET_NOT_FOUND: 'build',
  SECRET_INVALID: 'build',
  SSH_AGENT_NOT_FOUND: 'build',
  SSH_KEY_INVALID: 'build',
  DEVICE_NOT_FOUND: 'build',
  DEVICE_INVALID: 'build',
  IMAGE_NOT_FOUND: 'build',
  IMAGE_PLATFORM_MISSING: 'build',
  LOCK_OUTDATED: 'build',
  SOURCE_DENIED: 'build',
  IMAGE_INVALID: 'build',
  LAYER_INVALID: 'build',
  LAYER_UNAVAILABLE: 'build',
  BLOB_NOT_FOUND: 'build',
  BLOB_DIGEST_MISMATCH: 'build',
  BLOB_SIZE_MISMATCH: 'build',
  LAYOUT_INVALID: 'build',
  EXPORT_FAILED: 'build',
  EXPORT_TARGET_INVALID: 'build',
  LOAD_FAILED: 'build',
  BUILD_NOT_FOUND: 'build',
  BUILD_STEP_NOT_FOUND: 'build',
  FAILED_STEP_NOT_FOUND: 'build',
  FAILED_STEP_IN_USE: 'build',
  CACHE_MOUNT_NOT_FOUND: 'build',
  CACHE_MOUNT_IN_USE: 'build',
  CONTAINER_NOT_FOUND: 'build',
  CONTAINER_STATE_INVALID: 'build',
  CONTAINER_NAME_TAKEN: 'build',
  // the machine
  RUNTIME_NOT_FOUND: 'environment',
  RUNTIME_FAILED: 'environment',
  NSENTER_NOT_FOUND: 'environment',
  OVERLAY_UNAVAILABLE: 'environment',
  EMULATOR_MISSING: 'environment',
  LIMIT_UNAVAILABLE: 'environment',
  SYSCALL_FAILED: 'environment',
  ROOTLESS_UNAVAILABLE: 'environment',
  NETWORK_UNAVAILABLE: 'environment',
  NETWORK_FAILED: 'environment',
  PORT_IN_USE: 'environment',
  PORT_UNAVAILABLE: 'environment',
  STORE_NOT_WRITABLE: 'environment',
  STORE_NOT_READABLE: 'environment',
  STORE_INVALID: 'environment',
  DISK_FULL: 'environment',
  DAEMON_NOT_FOUND: 'environment',
  NODE_TOO_OLD: 'environment',
  PROCESS_LOST: 'environment',
  // registries
  REGISTRY_UNREACHABLE: 'registry',
  REGISTRY_RESPONSE_INVALID: 'registry',
  REGISTRY_AUTH_FAILED: 'registry',
  REGISTRY_CONFIG_INVALID: 'registry',
  REGISTRY_NOT_FOUND: 'registry',
  REGISTRY_REQUEST_FAILED: 'registry',
  CACHE_INVALID: 'registry',
  CACHE_EXPORT_FAILED: 'registry',
  // shared caches that are not in a registry
  CACHE_UNREACHABLE: 'network',
  CACHE_AUTH_FAILED: 'network',
  CACHE_REQUEST_FAILED: 'network',
  CACHE_RESPONSE_INVALID: 'network',
  // downloads and git repositories
  DOWNLOAD_UNREACHABLE: 'network',
  DOWNLOAD_FAILED: 'network',
  DOWNLOAD_AUTH_FAILED: 'network',
  CHECKSUM_MISMATCH: 'network',
  GIT_NOT_FOUND: 'environment',
  GIT_FAILED: 'network',
  GIT_REF_NOT_FOUND: 'network',
  // the rest
  CANCELLED: 'cancelled',
  INTERNAL: 'internal',
} as const;

/** Code of an error; each has a page in docs/errors and keeps its meaning between versions. */
export type ErrorCode = keyof typeof CODES;

/** All codes, for the docs check. */
export const ERROR_CODES: readonly ErrorCode[] = Object.keys(CODES) as ErrorCode[];

export function categoryOf(code: ErrorCode): Category {
  const categories: Readonly<Record<ErrorCode, Category>> = CODES;
  return categories[code];
}

/** Process exit code of a category: 1 build, 2 usage, 3 machine, 4 registry or network, 70 bug, 130 interrupted. */
export function exitCodeOf(category: Category): number {
  switch (category) {
    case 'build':
      return 1;
    case 'usage':
      return 2;
    case 'environment':
      return 3;
    case 'registry':
    case 'network':
      return 4;
    case 'internal':
      return 70;
    case 'cancelled':
      return 130;
  }
}
