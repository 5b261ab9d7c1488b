/** Whoever may not mount, nor give files to other ids, but can have a user namespace in which that is allowed. */
export function isNormalUser(): boolean {
  return process.platform === 'linux' && process.geteuid?.() !== 0;
}
