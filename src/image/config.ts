import { OcibuildError } from '../errors/error.ts';
import type { ContainerConfig, Digest, Healthcheck, History, ImageConfig } from './types.ts';

/** What the frontend could not know of an image when it made the config. */
export interface FinishOptions {
  /** One for each layer, base first. */
  readonly diffIds: readonly Digest[];
  /** Time of the build, or SOURCE_DATE_EPOCH. */
  readonly created: Date;
  /** How many leading history entries come from the base image; they stay as they are. */
  readonly baseHistory: number;
}

/** Go's field order in BuildKit's container config; other fields follow sorted. */
const CONTAINER_ORDER = [
  'User',
  'ExposedPorts',
  'Env',
  'Entrypoint',
  'Cmd',
  'Volumes',
  'WorkingDir',
  'Labels',
  'StopSignal',
  'ArgsEscaped',
  'Healthcheck',
  'OnBuild',
  'Shell',
];
const HEALTHCHECK_ORDER = ['Test', 'Interval', 'Timeout', 'StartPeriod', 'StartInterval', 'Retries'];
const HISTORY_ORDER = ['created', 'created_by', 'author', 'comment', 'empty_layer'];

/**
 * Completes the config of a built image: layers, times, and BuildKit's order of fields, so that equal images are
 * equal bytes. Undefined, null and empty fields are dropped.
 * @throws IMAGE_INVALID when the new history does not have one entry for each new layer.
 * @see image-spec config.md
 */
export function finishConfig(config: ImageConfig, options: FinishOptions): ImageConfig {
  const { diffIds, baseHistory } = options;
  const created = formatTime(options.created);
  const history = alignHistory(config.history ?? [], diffIds.length, baseHistory).map((entry, index) =>
    index < baseHistory || entry.created !== undefined ? entry : { ...entry, created },
  );
  const finished: ImageConfig = {
    ...config,
    created,
    config: orderContainer(config.config ?? {}),
    history: history.map((entry) => ordered(entry, HISTORY_ORDER)),
    rootfs: { type: 'layers', diff_ids: [...diffIds] },
  };
  return ordered(finished, Object.keys(finished).sort(), ['config']);
}

/** RFC 3339 without needless fractions: `2026-01-31T12:00:00Z`. */
export function formatTime(time: Date): string {
  return time.toISOString().replace(/\.000Z$/, 'Z');
}

/**
 * Old tools wrote images with too little or too much history. What is missing is put after the base's entries,
 * what is too much there is marked as empty, so that the new entries stand beside their own layers.
 */
function alignHistory(history: readonly History[], layers: number, baseHistory: number): History[] {
  const base = history.slice(0, baseHistory);
  const added = history.slice(baseHistory);
  const wanted = layers - countLayers(added);
  if (wanted < 0) {
    const told = `${countLayers(added)} new history entries with a layer, ${layers} layers`;
    throw new OcibuildError('IMAGE_INVALID', `Cannot write image config: ${told}`);
  }
  for (let surplus = countLayers(base) - wanted, i = 0; surplus > 0; i++) {
    const entry = base[i];
    if (entry === undefined || entry.empty_layer === true) continue;
    base[i] = { ...entry, empty_layer: true };
    surplus--;
  }
  const missing = Math.max(wanted - countLayers(base), 0);
  return [
    ...base,
    ...Array.from({ length: missing }, () => ({ comment: 'layer without history' })),
    ...added,
  ];
}

function countLayers(history: readonly History[]): number {
  return history.filter((entry) => entry.empty_layer !== true).length;
}

function orderContainer(config: ContainerConfig): ContainerConfig {
  const sorted = {
    ...config,
    ExposedPorts: sortedMap(config.ExposedPorts),
    Volumes: sortedMap(config.Volumes),
    Labels: sortedMap(config.Labels),
    Healthcheck: config.Healthcheck && ordered<Healthcheck>(config.Healthcheck, HEALTHCHECK_ORDER),
  };
  return ordered(sorted as ContainerConfig, CONTAINER_ORDER);
}

function sortedMap<T>(map: Readonly<Record<string, T>> | undefined): Readonly<Record<string, T>> | undefined {
  return map && Object.fromEntries(Object.entries(map).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** The same object with its keys in `order`, the others sorted behind, and without what Go omits as empty. */
function ordered<T extends object>(value: T, order: readonly string[], keep: readonly string[] = []): T {
  const rank = (key: string): number => (order.includes(key) ? order.indexOf(key) : order.length);
  const entries = Object.entries(value)
    .filter(([key, item]) => keep.includes(key) || !isEmpty(item))
    .sort(([a], [b]) => rank(a) - rank(b) || (a < b ? -1 : 1));
  return Object.fromEntries(entries) as T;
}

function isEmpty(value: unknown): boolean {
  if (value === undefined || value === null || value === '' || value === false || value === 0) return true;
  return typeof value === 'object' && Object.keys(value).length === 0;
}
