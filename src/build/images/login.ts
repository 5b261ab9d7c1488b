import { parseReference } from '../../image/reference.ts';
import { login, logout } from '../../registry/login.ts';
import type { StoreCommandOptions } from './store-commands.ts';

/** The host that images are named by: people also write `https://` before it and `/v2/` after it.
 * @throws REFERENCE_INVALID */
function hostOf(given: string): string {
  const host = given.replace(/^https?:\/\//, '').replace(/\/(v[12]\/?)?$/, '');
  return parseReference(`${host}/name`).registry;
}

/** @returns what was logged in to, and where the password is kept. @throws REGISTRY_*, REFERENCE_INVALID */
export async function logIn(
  registry: string,
  user: { readonly username: string; readonly password: string },
  options: StoreCommandOptions,
): Promise<{ readonly host: string; readonly keptIn: string }> {
  const host = hostOf(registry);
  return { host, keptIn: await login(host, user, options) };
}

/** @returns whether anything was stored. @throws REGISTRY_CONFIG_INVALID, REFERENCE_INVALID */
export async function logOut(
  registry: string,
  options: StoreCommandOptions,
): Promise<{ readonly host: string; readonly known: boolean }> {
  const host = hostOf(registry);
  return { host, known: await logout(host, options) };
}
