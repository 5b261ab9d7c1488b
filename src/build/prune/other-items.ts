import { lstatSync } from 'node:fs';
import { join } from 'node:path';
import { listDir } from '../../cache/list-dir.ts';
import { diskBytes } from '../../util/disk-bytes.ts';
import { isAlive } from '../../util/owner.ts';
import { readText } from '../../util/read-text.ts';
import { listContainers } from '../containers/records.ts';
import type { SurveyContext } from './holds.ts';
import { fileItem } from './layer-items.ts';
import type { StoreItem } from './types.ts';

/** Listed item by item elsewhere. */
const LISTED = ['blobs', 'snapshots', 'trees', 'mounts', 'git', 'last-builds', 'containers', 'volumes'];

const NAMES: Readonly<Record<string, string>> = {
  builds: 'logs of builds',
  leases: 'who works with the store',
  failed: 'records of failed steps',
  tmp: 'what is being written',
  run: 'bundles of running steps',
  trash: 'what is being deleted',
};

/** Cache mounts, sources, containers, volumes, and what the store keeps for itself. */
export async function otherItems(context: SurveyContext): Promise<StoreItem[]> {
  return [
    ...(await mountItems(context)),
    ...(await gitItems(context)),
    ...recordItems(context),
    ...(await containerItems(context)),
    ...(await keptItems(context)),
  ];
}

/** Sizes of those that nobody used since they were measured are known. */
async function mountItems({ root, db, nowMs }: SurveyContext): Promise<StoreItem[]> {
  const items: StoreItem[] = [];
  for (const row of db.all('SELECT * FROM cache_mounts ORDER BY id, created_ms')) {
    const [name, id, usedMs] = [String(row.name), String(row.id), Number(row.used_ms)];
    const users = db
      .all('SELECT pid, start_time FROM cache_mount_users WHERE name = ?', name)
      .filter(({ pid, start_time }) => isAlive({ pid: Number(pid), startTime: String(start_time) }));
    const inUse = users.length > 0;
    const isKnown = !inUse && row.size !== null && Number(row.sized_ms) > usedMs;
    const bytes = isKnown ? Number(row.size) : await diskBytes(join(root.mountsDir, name));
    if (!isKnown && !inUse) {
      try {
        db.run('UPDATE cache_mounts SET size = ?, sized_ms = ? WHERE name = ?', bytes, nowMs, name);
      } catch {
        // A full disk: it is measured again the next time.
      }
    }
    items.push({
      ...{ id: name, type: 'exec.cachemount', description: `cache mount ${id}`, cacheMount: id, bytes },
      ...{ shared: false, inUse, reclaimable: !inUse, mutable: true, images: [], uses: users.length },
      ...{ createdMs: Number(row.created_ms), usedMs: inUse ? nowMs : usedMs },
      target: { kind: 'mount', name },
    });
  }
  return items;
}

async function gitItems(context: SurveyContext): Promise<StoreItem[]> {
  const dir = join(context.root.dir, 'git');
  const items: StoreItem[] = [];
  for (const name of listDir(dir).filter((each) => each.endsWith('.git'))) {
    const path = join(dir, name);
    const item = fileItem(path, context);
    if (item === undefined) continue;
    const inUse = isGitHeld(context, name);
    const remote = / of (\S+)$/m.exec(readText(join(path, 'FETCH_HEAD')) ?? '')?.[1];
    items.push({
      ...item,
      ...{ type: 'source.git.checkout', description: remote ?? 'git repository', mutable: true },
      ...{ inUse, reclaimable: !inUse, bytes: await diskBytes(path) },
      usedMs: Math.max(item.usedMs, lstatSync(join(path, 'HEAD'), { throwIfNoEntry: false })?.atimeMs ?? 0),
      target: { kind: 'git', name },
    });
  }
  return items;
}

/** Whether a living process holds the lock of a repository: its key begins with the name. */
export function isGitHeld({ db }: Pick<SurveyContext, 'db'>, name: string): boolean {
  return db
    .all('SELECT pid, start_time FROM locks WHERE key LIKE ?', `sha256:${name.replace(/\.git$/, '')}%`)
    .some(({ pid, start_time }) => isAlive({ pid: Number(pid), startTime: String(start_time) }));
}

function recordItems(context: SurveyContext): StoreItem[] {
  const dir = join(context.root.dir, 'last-builds');
  return listDir(dir).flatMap((name) => {
    const item = fileItem(join(dir, name), context);
    const description = 'records of finished builds';
    return item === undefined ? [] : [{ ...item, description, inUse: false, reclaimable: true }];
  });
}

async function containerItems(context: SurveyContext): Promise<StoreItem[]> {
  const { root } = context;
  const containers = new Map(listContainers(root.dir).map((container) => [container.plan.id, container]));
  const items: StoreItem[] = [];
  for (const [folder, type] of [
    ['containers', 'container'],
    ['volumes', 'volume'],
  ] as const) {
    for (const name of listDir(join(root.dir, folder)).filter((each) => each !== 'names')) {
      const item = fileItem(join(root.dir, folder, name), context);
      if (item === undefined) continue;
      const container = type === 'container' ? containers.get(name) : undefined;
      items.push({
        ...item,
        ...{ type, mutable: true, reclaimable: false, target: { kind: 'kept' } },
        inUse: container !== undefined && container.state.status !== 'stopped',
        description: container === undefined ? `${type} ${name}` : `container ${container.plan.name}`,
        bytes: await diskBytes(join(root.dir, folder, name)),
      });
    }
  }
  return items;
}

/** Never pruned: each has an end of its own. */
async function keptItems(context: SurveyContext): Promise<StoreItem[]> {
  const items: StoreItem[] = [];
  for (const name of listDir(context.root.dir).filter((each) => !LISTED.includes(each))) {
    const path = join(context.root.dir, name);
    const item = fileItem(path, context);
    if (item === undefined) continue;
    const bytes = await diskBytes(path);
    // An empty directory is worth no line of its own.
    const description = (bytes > item.bytes ? NAMES[name] : undefined) ?? 'the store itself';
    items.push({
      ...{ ...item, type: 'internal', description, bytes, mutable: true },
      ...{ inUse: false, reclaimable: false, target: { kind: 'kept' } },
    });
  }
  return items;
}
