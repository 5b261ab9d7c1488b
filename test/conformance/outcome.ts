/** Reduces an image to what two builders on two machines must agree on. */
import type { FlatEntry, FlatImage } from '../support/flatten.ts';
import type { BuiltOutcome } from './types.ts';

const BUSYBOX = '/bin/busybox';

/** The image as a difference from `base` if it is built on it, else from nothing. */
export function outcomeOf(image: FlatImage, base: FlatImage): BuiltOutcome {
  const onBase = base.diffIds.every((id, i) => image.diffIds[i] === id);
  const before = onBase ? base.files : new Map<string, FlatEntry>();
  const entries = maskBusybox(image.files, base);
  const removed = [...before.keys()].filter((path) => !entries.has(path));
  return {
    config: configOf(image.config),
    history: historyOf(image.config).slice(onBase ? historyOf(base.config).length : 0),
    layers: image.diffIds.length - (onBase ? base.diffIds.length : 0),
    fs: [...entries.values()]
      .filter((entry) => !sameEntry(before.get(entry.path), entry, base))
      .map(preferText),
    removed: removed.filter((path) => !removed.includes(path.slice(0, path.lastIndexOf('/')))),
  };
}

/** The base image itself. */
export function outcomeOfBase(base: FlatImage): BuiltOutcome {
  return outcomeOf(base, { ...base, diffIds: ['none'] });
}

// The binary is the machine's own, so its size and digest say nothing.
function maskBusybox(files: Map<string, FlatEntry>, base: FlatImage): Map<string, FlatEntry> {
  const busybox = base.files.get(BUSYBOX)?.sha256;
  const mask = (entry: FlatEntry): FlatEntry => {
    if (entry.sha256 === undefined || entry.sha256 !== busybox) return entry;
    const { text: _, ...rest } = entry;
    return { ...rest, size: 0, sha256: 'busybox' };
  };
  return new Map([...files].map(([path, entry]) => [path, mask(entry)]));
}

function sameEntry(before: FlatEntry | undefined, after: FlatEntry, base: FlatImage): boolean {
  if (before === undefined) return false;
  const masked = maskBusybox(new Map([[before.path, before]]), base).get(before.path);
  return JSON.stringify(masked) === JSON.stringify(after);
}

// A reader can judge the text of a short file, a digest tells nothing.
function preferText(entry: FlatEntry): FlatEntry {
  const { sha256: _sha, size: _size, ...rest } = entry;
  return entry.text === undefined ? entry : rest;
}

function configOf(image: Record<string, unknown>): Record<string, unknown> {
  const { author, architecture, os, variant } = image;
  const config = (image.config ?? {}) as Record<string, unknown>;
  // A null and an absent field mean the same to every reader.
  const present = Object.entries({ ...config, author, architecture, os, variant })
    .filter(([, value]) => value !== undefined && value !== null)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]): [string, unknown] => [key, sortKeys(value)]);
  return Object.fromEntries(present);
}

function sortKeys(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
}

function historyOf(image: Record<string, unknown>): BuiltOutcome['history'] {
  const history = (image.history ?? []) as (BuiltOutcome['history'][number] & { created?: string })[];
  return history.map(({ created: _, ...rest }) => rest);
}
