import { describe, expect, it } from 'vitest';
import { oomEnd, parseOomRecords } from '../../../src/executor/oom.ts';

const SELF = '4:memory:/ci/job\n0::/\n';
const ASKED = { id: 'step-1', mode: 'legacy', selfCgroup: SELF, kills: 1, ownLimit: undefined } as const;
const inGroup = (taskGroup: string, limitGroup?: string) => ({
  taskGroup,
  ...(limitGroup === undefined ? {} : { limitGroup }),
});

describe('parseOomRecords()', () => {
  it('reads whose limit was reached, and who was killed', () => {
    const line = (constraint: string, who: string): string =>
      `6,1,2,-;oom-kill:constraint=${constraint},nodemask=(null),cpuset=a,mems_allowed=0,${who},task=tail,pid=7,uid=0\n`;
    const text = `${line('CONSTRAINT_MEMCG', 'oom_memcg=/ci,task_memcg=/ci/job/ocibuild/x')}6,2,3,-;eth0: up\n${line('CONSTRAINT_NONE', 'global_oom,task_memcg=/y')}`;
    expect(parseOomRecords(text)).toEqual([inGroup('/ci/job/ocibuild/x', '/ci'), inGroup('/y')]);
  });
});

describe('oomEnd()', () => {
  it('is undefined when nothing was counted, or the log has the kills of others only', () => {
    expect(oomEnd({ ...ASKED, kills: 0 }, () => [])).toBeUndefined();
    expect(oomEnd(ASKED, () => [inGroup('/ci/job/ocibuild/step-10', '/ci')])).toBeUndefined();
  });

  it('takes what was counted for its own when the log cannot be read or lacks some', () => {
    expect(oomEnd(ASKED, () => [])).toMatchObject({ oomKilled: true });
    expect(oomEnd({ ...ASKED, kills: 2 }, () => [inGroup('/other')])).toMatchObject({ oomKilled: true });
  });

  it('finds a step by its cgroup, or in ours where it has none', () => {
    expect(oomEnd(ASKED, () => [inGroup('/ci/job/ocibuild/step-1'), inGroup('/other')])).toEqual({
      oomKilled: true,
    });
    expect(oomEnd(ASKED, () => [inGroup('/ci/job')])).toEqual({ oomKilled: true });
  });

  it('names the limit of the container when that is what was reached', () => {
    const own = { ...ASKED, ownLimit: 100 };
    const group = '/ci/job/ocibuild/step-1';
    expect(oomEnd(own, () => [inGroup(group, group)])).toEqual({
      oomKilled: true,
      memoryLimit: { bytes: 100 },
    });
    expect(oomEnd(own, () => [])).toEqual({ oomKilled: true, memoryLimit: { bytes: 100 } });
    expect(oomEnd(own, () => [inGroup(group)])).toEqual({ oomKilled: true });
  });
});
