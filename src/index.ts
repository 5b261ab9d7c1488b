export { type Build, build } from './build/build.ts';
export type { CacheContent, CacheDocuments, CacheFrom, CacheTo } from './build/cache/types.ts';
export { defineConfig } from './build/config/define-config.ts';
export type { BuildDefaults, GcConfig, NamedBuild, OcibuildConfig } from './build/config/types.ts';
export { type CheckOptions, type CheckResult, check, outline, targets } from './build/describe.ts';
export {
  type CopyOptions,
  copy,
  type PullOptions,
  type PushOptions,
  pull,
  push,
  type TransferPlace,
} from './build/images/transfers.ts';
export { type LockOptions, type LockResult, lock } from './build/lock/lock.ts';
export type { Lock, LockChange } from './build/lock/lock-file.ts';
export type {
  Attestation,
  BuildOptions,
  BuildResult,
  FailedStep,
  FailureExport,
  ImageLayer,
  Output,
  PlatformProvenance,
  PlatformResult,
  RunInStep,
  SecretSource,
  SshSource,
} from './build/options.ts';
export type { SourcePolicy, SourceRule, SourceSelector } from './build/policy/types.ts';
export {
  type DiskUsageOptions,
  diskUsage,
  type PruneOptions,
  type PruneResult,
  prune,
} from './build/prune/prune.ts';
export type { DiskUsage, DiskUsageItem, GcOptions, ItemType, PrunePolicy } from './build/prune/types.ts';
export type { Category, ErrorCode } from './errors/codes.ts';
export { isOcibuildError, MultiError, OcibuildError } from './errors/error.ts';
export type { Position, SourceFile, SourceRange, SourceRef } from './errors/source.ts';
export type {
  LintWarning,
  Outline,
  OutlineArg,
  OutlineMount,
  SourceEdit,
  TargetInfo,
} from './frontend/types.ts';
export type { ContainerConfig, Descriptor, Digest, History, ImageConfig, Platform } from './image/types.ts';
export type { EventSink, ProgressEvent } from './solver/types.ts';
export type { WatchCycle } from './watch/types.ts';
export { type Watch, watch } from './watch/watch.ts';
