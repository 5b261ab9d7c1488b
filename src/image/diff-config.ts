import type { ImageConfig } from './types.ts';

/** One field that differs between two configs; `-` stands for one that is not there. */
export interface FieldChange {
  /** `config.Env[2]`, `config.Labels.version`. */
  readonly field: string;
  readonly before: string;
  readonly after: string;
}

/** What differs between two image configs, but for their layers: those are compared by what is in them. */
export function diffConfigs(before: ImageConfig, after: ImageConfig): readonly FieldChange[] {
  const [a, b] = [flatten(before), flatten(after)];
  const fields = [...new Set([...a.keys(), ...b.keys()])];
  return fields.flatMap((field) => {
    const change = { field, before: a.get(field) ?? '-', after: b.get(field) ?? '-' };
    return change.before === change.after ? [] : [change];
  });
}

function flatten({ rootfs: _layers, ...config }: ImageConfig): Map<string, string> {
  const found = new Map<string, string>();
  const walk = (value: unknown, field: string): void => {
    if (typeof value !== 'object' || value === null) {
      found.set(field, JSON.stringify(value));
      return;
    }
    const parts = Object.entries(value);
    if (parts.length === 0) found.set(field, JSON.stringify(value));
    for (const [key, part] of parts) {
      walk(part, Array.isArray(value) ? `${field}[${key}]` : field === '' ? key : `${field}.${key}`);
    }
  };
  walk(config, '');
  return found;
}
