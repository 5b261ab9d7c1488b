import { currentUser, enterUserNamespace, ROOTLESS_MARKER } from '../../src/executor/rootless.ts';

/** Goes on in a user namespace of its own, as a build of a normal user does; returns when this process is in one. */
export function enterOwnNamespace(): void {
  if (process.env[ROOTLESS_MARKER] !== undefined) return;
  const { execPath, execArgv } = process;
  enterUserNamespace(process.argv.slice(1), process.env, { ...currentUser(), execPath, execArgv });
}
