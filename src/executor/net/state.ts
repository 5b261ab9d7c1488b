import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { writeFileAtomic } from '../../util/atomic-fs.ts';
import { readText } from '../../util/read-text.ts';
import type { CniAttachment, CniResult } from './cni.ts';

/** What a network has outside of its process; a file for each, as long as the network is there. */
export interface NetworkRecord {
  readonly id: string;
  readonly owner: ProcessMark;
  readonly bridge?: CniAttachment & { readonly result?: CniResult };
  readonly helper?: ProcessMark;
}

/** A process, told apart from a later one of the same number. */
export interface ProcessMark {
  readonly pid: number;
  /** Clock ticks since boot. */
  readonly startTime: string;
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
        const path = join(dir, name);
        try {
          const record = JSON.parse(readFileSync(path, 'utf8')) as NetworkRecord;
          return isRunning(record.owner) ? [] : [record];
        } catch {
          return [];
        }
      });
    },
  };
}

export function markOf(pid: number): ProcessMark {
  return { pid, startTime: startTimeOf(pid) ?? '' };
}

export function isRunning({ pid, startTime }: ProcessMark): boolean {
  return startTime !== '' && startTimeOf(pid) === startTime;
}

/** Field 22 of proc(5) stat, counted from the end of the name, which may have spaces; a zombie has ended. */
function startTimeOf(pid: number): string | undefined {
  const text = readText(`/proc/${pid}/stat`);
  const fields = text?.slice(text.lastIndexOf(')') + 2).split(' ');
  return fields === undefined || /^[ZX]$/.test(fields[0] ?? '') ? undefined : fields[19];
}

function names(dir: string): string[] {
  try {
    return readdirSync(dir).filter((name) => name.endsWith('.json'));
  } catch {
    return [];
  }
}
