const MIB = 1024 ** 2;

/** The limit of memory that ended something, as words for people. @param cgroup absent: its own */
export function memoryLimitWords({
  bytes,
  cgroup,
}: {
  readonly bytes: number;
  readonly cgroup?: string;
}): string {
  const whose = cgroup === undefined ? 'its limit' : `the limit of the control group "${cgroup}"`;
  return `${whose} is ${Math.round((10 * bytes) / MIB) / 10} MiB`;
}
