import { readFileSync } from 'node:fs';

/** A process, told apart from a later one with the same number by its start time. */
export interface Owner {
  readonly pid: number;
  /** Clock ticks since boot; `0` where the system has no /proc. */
  readonly startTime: string;
}

/** The process that runs this. */
export function currentOwner(): Owner {
  return { pid: process.pid, startTime: readStat(process.pid)?.startTime ?? '0' };
}

/** Start time of a process that lives. */
export function startTimeOf(pid: number): string | undefined {
  return readStat(pid)?.startTime;
}

/** False only when it is certain that the process has ended. */
export function isAlive(owner: Owner): boolean {
  const stat = readStat(owner.pid);
  // A zombie holds nothing any more: it only waits for its parent to read the exit code.
  if (stat !== undefined) return stat.startTime === owner.startTime && !/[ZX]/.test(stat.state);
  try {
    process.kill(owner.pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** A name nobody else takes, which tells whose it is: `PID-STARTTIME-RANDOM`. */
export function ownedName(owner: Owner): string {
  const random = Math.random().toString(36).slice(2, 12).padEnd(10, '0');
  return `${owner.pid}-${owner.startTime}-${random}`;
}

/** The owner that a name of `ownedName` begins with. */
export function ownerOf(name: string): Owner | undefined {
  const match = /^(\d{1,10})-(\d{1,20})-/.exec(name);
  return match === null ? undefined : { pid: Number(match[1]), startTime: match[2] ?? '0' };
}

/** proc(5): the second field is the command in parentheses and may hold spaces and parentheses itself, so
 * fields are counted from the last one: state is field 3, start time field 22. */
function readStat(pid: number): { state: string; startTime: string } | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    const [state, startTime] = [fields[0], fields[19]];
    return state === undefined || startTime === undefined ? undefined : { state, startTime };
  } catch {
    return undefined;
  }
}
