/** The ops of two records: canonical JSON, of which only some parts have a name that a user knows. */
type Op = Readonly<Record<string, unknown>>;

/** Flags and instructions whose value is a part of an op. */
const PARTS: readonly (readonly [string, string])[] = [
  ['cwd', 'WORKDIR'],
  ['user', 'USER'],
  ['network', '--network'],
  ['security', '--security'],
  ['platform', 'platform'],
  ['shmSize', '--shm-size'],
  ['ulimits', '--ulimit'],
  ['hosts', '--add-host'],
  ['devices', '--device'],
  ['hostname', 'host name'],
  ['epochSec', 'SOURCE_DATE_EPOCH'],
];

/** Says what differs between two ops. A text that is no op of ours differs as a whole. */
export function explainOp(was: string | undefined, is: string | undefined): readonly string[] {
  const [old, now] = [parse(was), parse(is)];
  if (old === undefined || now === undefined) return ['the instruction changed'];
  const changes = [
    ...(['args', 'actions'].some((part) => !equal(old[part], now[part])) ? ['the instruction changed'] : []),
    ...PARTS.filter(([part]) => !equal(old[part], now[part])).map(([part, name]) =>
      partChange(name, old[part], now[part]),
    ),
    ...mountChanges(old.mounts, now.mounts),
  ];
  return changes.length > 0 ? changes : ['the instruction changed'];
}

function partChange(name: string, was: unknown, is: unknown): string {
  const [old, now] = [textOf(was), textOf(is)];
  return old === undefined || now === undefined ? `${name} changed` : `${name} ${old} → ${now}`;
}

function textOf(value: unknown): string | undefined {
  if (value === undefined || value === '') return 'default';
  if (typeof value === 'string' || typeof value === 'number') return String(value);
  if (typeof value === 'object' && value !== null && 'os' in value && 'architecture' in value)
    return `${String(value.os)}/${String(value.architecture)}`;
  return undefined;
}

function mountChanges(was: unknown, is: unknown): string[] {
  const [old, now] = [mountsOf(was), mountsOf(is)];
  return [...new Set([...old.keys(), ...now.keys()])].flatMap((target) => {
    const [before, after] = [old.get(target), now.get(target)];
    if (before === after) return [];
    const what = before === undefined ? 'is new' : after === undefined ? 'is gone' : 'changed';
    return [`mount ${target} ${what}`];
  });
}

function mountsOf(value: unknown): ReadonlyMap<string, string> {
  const mounts: unknown[] = Array.isArray(value) ? value : [];
  return new Map(
    mounts.map((mount) => {
      const { target, env, id, type } = mount as Op;
      return [String(target ?? env ?? id ?? type), JSON.stringify(mount)];
    }),
  );
}

function equal(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

function parse(text: string | undefined): Op | undefined {
  try {
    const value: unknown = JSON.parse(text ?? '');
    return typeof value === 'object' && value !== null ? (value as Op) : undefined;
  } catch {
    return undefined;
  }
}
