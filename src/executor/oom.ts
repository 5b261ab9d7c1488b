import { constants, readSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { SYS, sys } from '../layer/sys.ts';
import { readText } from '../util/read-text.ts';
import { CGROUP_MOUNT, type CgroupMode, cgroupsPath, parseSelfCgroup } from './cgroup.ts';
import type { MemoryLimit } from './types.ts';

/** A record of the kernel's log about a process that it killed for want of memory. */
export interface OomRecord {
  /** Of the killed process, as the whole machine sees it. */
  readonly taskGroup: string;
  /** Whose limit was reached; absent: the machine itself had no more memory. */
  readonly limitGroup?: string;
}

/** What a step's end is judged by. */
export interface OomQuestion {
  readonly id: string;
  readonly mode: CgroupMode;
  readonly selfCgroup: string;
  /** What `oomKills` counted while it ran. */
  readonly kills: number;
  /** Bytes, of its own cgroup. */
  readonly ownLimit: number | undefined;
}

const KERNEL_LOG = '/dev/kmsg';
/** Longer records do not exist (PRINTK_MESSAGE_MAX). */
const RECORD_BYTES = 8192;
/** A v1 cgroup without a limit says LONG_MAX rounded down to a page. */
const NO_LIMIT_BYTES = 2 ** 62;

/**
 * Number of processes the kernel killed for want of memory so far. The cgroup of a step is gone once the runtime
 * returns, so v2 counts in the steps' parent (its memory.events includes descendants); else the machine's total.
 */
export function oomKills(mode: CgroupMode, selfCgroup: string): number {
  if (mode === 'unified') {
    const events = readText(join(CGROUP_MOUNT, dirname(cgroupsPath(mode, selfCgroup, 'x')), 'memory.events'));
    const count = /^oom_kill (\d+)$/m.exec(events ?? '')?.[1];
    if (count !== undefined) return Number(count);
  }
  return Number(/^oom_kill (\d+)$/m.exec(readText('/proc/vmstat') ?? '')?.[1] ?? 0);
}

/** How memory ended a step or a process of it; undefined where the kills that were counted are those of others. */
export function oomEnd(
  asked: OomQuestion,
  readLog: () => readonly OomRecord[] = readKernelLog,
): { readonly oomKilled: true; readonly memoryLimit?: MemoryLimit } | undefined {
  const { id, selfCgroup, kills, ownLimit } = asked;
  if (kills <= 0) return undefined;
  const log = readLog();
  const self = memoryGroup(selfCgroup);
  const isOwn = (group: string): boolean => group.split('/').includes(id);
  // Without a cgroup of its own a step is in ours.
  const record = log.findLast(({ taskGroup }) => isOwn(taskGroup) || taskGroup === self);
  // The log holds all of them and none is this one's; else it cannot be read, or left some out.
  if (record === undefined && log.length >= kills) return undefined;
  const limitGroup = record === undefined ? self : record.limitGroup;
  const limit: MemoryLimit | undefined =
    ownLimit !== undefined && (record === undefined || isOwn(limitGroup ?? ''))
      ? { bytes: ownLimit }
      : limitGroup === undefined
        ? undefined
        : nearestLimit(limitGroup);
  return { oomKilled: true, ...(limit === undefined ? {} : { memoryLimit: limit }) };
}

/** Records in a text of the kernel's log, oldest first. */
export function parseOomRecords(text: string): OomRecord[] {
  return [...text.matchAll(/oom-kill:constraint=\w+,(.*?),task_memcg=(\/.*?),task=/g)].map(
    ([, before = '', taskGroup = '']) => {
      const limitGroup = /(?:^|,)oom_memcg=(\/.*)$/.exec(before)?.[1];
      return { taskGroup, ...(limitGroup === undefined ? {} : { limitGroup }) };
    },
  );
}

/** Empty where this user may not read it. */
function readKernelLog(): OomRecord[] {
  let fd: number | undefined;
  let text = '';
  try {
    // Not by node:fs, which warns of a number that a terminal had before in this thread.
    fd = sys().openat2(SYS.AT_FDCWD, KERNEL_LOG, { flags: constants.O_NONBLOCK, resolve: 0 });
    const record = Buffer.alloc(RECORD_BYTES);
    // Each read gives one record, EAGAIN after the last.
    for (;;) text += record.toString('utf8', 0, readSync(fd, record));
  } catch {
    return parseOomRecords(text);
  } finally {
    if (fd !== undefined) sys().close(fd);
  }
}

function memoryGroup(selfCgroup: string): string {
  const entries = parseSelfCgroup(selfCgroup);
  const legacy = entries.find(({ controllers }) => controllers.includes('memory'));
  return (legacy ?? entries.find(({ hierarchy }) => hierarchy === '0'))?.path ?? '/';
}

/** The smallest limit of a cgroup and those above it. */
function nearestLimit(group: string): MemoryLimit | undefined {
  const own = limitOf(group);
  const above = group === '/' ? undefined : nearestLimit(dirname(group));
  return own !== undefined && (above === undefined || own <= above.bytes)
    ? { bytes: own, cgroup: group }
    : above;
}

function limitOf(group: string): number | undefined {
  const files = [
    join(CGROUP_MOUNT, 'memory', group, 'memory.limit_in_bytes'),
    join(CGROUP_MOUNT, group, 'memory.max'),
  ];
  const bytes = files.map((file) => Number(readText(file)?.trim() || 'none')).find(Number.isFinite);
  return bytes === undefined || bytes >= NO_LIMIT_BYTES ? undefined : bytes;
}
