/** Whether a path is a directory itself, or lies in it. Absolute paths, or both relative to the same place. */
export function isAtOrBelow(path: string, dir: string): boolean {
  return path === dir || dir === '/' || path.startsWith(`${dir}/`);
}
