import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { writeFileAtomic } from '../../util/atomic-fs.ts';
import { isAlive, type Owner } from '../../util/owner.ts';
import { readJson } from '../../util/read-json.ts';
import type { CniAttachment, CniResult } from './cni.ts';

/** What a network has outside of its process; a file for each, as long as the network is there. */
export interface NetworkRecord {
  readonly id: string;
  readonly owner: Owner;
  readonly bridge?: CniAttachment & { readonly result?: CniResult };
  readonly helper?: Owner;
}

export interface NetworkRecords {
  write(record: NetworkRecord): void;
  remove(id: string): void;
  /** Records of processes that are gone. */
  stale(): NetworkRecord[];
}

/** The records in a directory, which is made when it is needed. */
export function networkRecords(dir: string): NetworkRecords {
  const file = (id: string): string => join(dir, `${id}.json`);
  return {
    write(record) {
      mkdirSync(dir, { recursive: true, mode: 0o700 });
      const temp = join(dir, `${record.id}.tmp`);
      rmSync(temp, { force: true });
      writeFileAtomic(file(record.id), JSON.stringify(record), { temp, mode: 0o600 });
    },
    remove: (id) => rmSync(file(id), { force: true }),
    stale() {
      return names(dir).flatMap((name): NetworkRecord[] => {
        const record = readJson<NetworkRecord>(join(dir, name));
        return record === undefined || isAlive(record.owner) ? [] : [record];
      });
    },
  };
}

function names(dir: string): string[] {
  try {
    return readdirSync(dir).filter((name) => name.endsWith('.json'));
  } catch {
    return [];
  }
}
