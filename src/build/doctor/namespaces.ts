import { findProgram } from '../../executor/find-program.ts';
import { currentUser, parseSubIds, subIdsCommand } from '../../executor/rootless.ts';
import { readText } from '../../util/read-text.ts';
import { capture } from './capture.ts';
import type { Finding, Machine } from './types.ts';

/** Settings that refuse user namespaces to normal users, the value that does, and the one that does not. */
const SETTINGS = [
  ['kernel.unprivileged_userns_clone', '0', '1'],
  ['user.max_user_namespaces', '0', '15000'],
  ['kernel.apparmor_restrict_unprivileged_userns', '1', '0'],
] as const;

/** Images have ids up to that of nobody. */
const ENOUGH_IDS = 65_536;

/** Whether a normal user gets a namespace to run steps in; for root only a warning, since root needs none. */
export async function probeUserNamespaces(machine: Machine): Promise<Finding[]> {
  const { isRoot, asRoot } = machine;
  const bad = isRoot ? 'warn' : 'fail';
  const whom = isRoot ? 'normal users cannot run steps' : 'steps cannot run without root';
  const refused = SETTINGS.filter(([name, off]) => setting(name) === off);
  if (refused.length > 0) {
    const [names, values] = [
      refused.map(([name, off]) => `${name}=${off}`).join(', '),
      refused.map(([name, , on]) => `${name}=${on}`).join(' '),
    ];
    return [{ id: 'userns', status: bad, message: `${names}: ${whom}`, fix: asRoot(`sysctl -w ${values}`) }];
  }
  const unshare = findProgram('unshare', machine.searchPath);
  if (unshare === undefined) {
    const fix = machine.install({ apt: 'util-linux' });
    return [{ id: 'userns', status: bad, message: `unshare is not installed: ${whom}`, fix }];
  }
  const { code, stderr } = await capture(unshare, ['-U', '-r', '-m', 'true'], machine);
  if (code !== 0) {
    const message = `refused (${stderr.trim().split('\n').at(-1)}): ${whom}`;
    return [{ id: 'userns', status: bad, message, fix: 'inside a container, start it with --privileged' }];
  }
  const allowed: Finding = { id: 'userns', status: 'ok', message: 'normal users may make user namespaces' };
  return [allowed, probeIdMaps(machine, { bad, whom })];
}

function probeIdMaps(
  { isRoot, searchPath, install, asRoot }: Machine,
  { bad, whom }: { readonly bad: 'warn' | 'fail'; readonly whom: string },
): Finding {
  const tools = ['newuidmap', 'newgidmap'].filter((name) => findProgram(name, searchPath) === undefined);
  if (tools.length > 0) {
    const fix = install({ apt: 'uidmap', dnf: 'shadow-utils', apk: 'shadow-uidmap' });
    return { id: 'idmap', status: bad, message: `${tools.join(' and ')} not installed: ${whom}`, fix };
  }
  if (isRoot) return { id: 'idmap', status: 'ok', message: 'newuidmap and newgidmap are installed' };
  const { userName: name, uid } = currentUser();
  const texts = ['/etc/subuid', '/etc/subgid'].map((file) => readText(file) ?? '');
  const counts = texts.map((text) =>
    parseSubIds(text, { name, uid }).reduce((sum, { count }) => sum + count, 0),
  );
  const least = Math.min(...counts);
  if (least >= ENOUGH_IDS)
    return {
      id: 'idmap',
      status: 'ok',
      message: `"${name}" has ${least} ids in /etc/subuid and /etc/subgid`,
    };
  const fix = asRoot(subIdsCommand(name, texts));
  const message = `"${name}" has ${least} ids in /etc/subuid and /etc/subgid, images use ${ENOUGH_IDS}`;
  return { id: 'idmap', status: least === 0 ? 'fail' : 'warn', message, fix };
}

function setting(name: string): string | undefined {
  return readText(`/proc/sys/${name.replaceAll('.', '/')}`)?.trim();
}
