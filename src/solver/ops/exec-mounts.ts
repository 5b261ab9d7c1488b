import type { CacheMountWish } from '../../cache/types.ts';
import { OcibuildError } from '../../errors/error.ts';
import type { DeviceEdits, SandboxMount } from '../../executor/types.ts';
import { EMPTY_LAYER, type LayerId } from '../../layer/layer-id.ts';
import { resolvePath } from '../../layer/tree/tree-view.ts';
import type { TreeEntry } from '../../layer/types.ts';
import { canonicalJson } from '../../llb/definition.ts';
import type { CacheMount, ExecMount, ExecOp, SecretMount, SshMount } from '../../llb/ops.ts';
import type { Ingredient, SolvedInputs } from '../types.ts';
import { type LayeredSource, layeredSource } from './layered-source.ts';
import { resolveOwner } from './owner.ts';
import { type Selected, selectSources } from './select.ts';
import { selectedTree, withDigests } from './selected-digests.ts';
import type { StepDeps } from './types.ts';

export interface MountContext {
  readonly op: ExecOp;
  readonly inputs: SolvedInputs;
  readonly deps: StepDeps;
  readonly signal: AbortSignal;
}

/** What a step works with besides its root. Dispose of it after the step. */
export interface StepEquipment extends AsyncDisposable {
  readonly mounts: readonly SandboxMount[];
  /** `K=V`, after the step's own. */
  readonly env: readonly string[];
  readonly secretEnv: readonly string[];
  readonly devices: DeviceEdits | undefined;
  /** Texts that no message may show. */
  readonly secrets: readonly string[];
}

const AGENT_VARIABLE = 'SSH_AUTH_SOCK';
const INHERIT = 'inherit';

/** What a step may read through a mount counts by content, not by how it was made. */
export async function mountIngredients(context: MountContext): Promise<readonly Ingredient[]> {
  const all = context.op.mounts.map(async (mount): Promise<Ingredient[]> => {
    if (mount.type !== 'bind' && mount.type !== 'cache') return [];
    if (mount.input === undefined || mount.input < 0) return [];
    const { selected, source } = await selectMounted(mount, context);
    const [found] = await withDigests([selected], source, context.deps, context.signal);
    if (found === undefined) return [];
    return [{ name: `mount ${mount.target}`, value: context.deps.treeDigest(selectedTree(found)) }];
  });
  return (await Promise.all(all)).flat();
}

/**
 * Opens everything that the mounts and devices of a step name.
 * @param anew empty its cache mounts first
 * @throws SECRET_NOT_FOUND, SECRET_INVALID, SSH_*, DEVICE_*, COPY_SOURCE_MISSING, MOUNT_INVALID
 */
export async function equipStep(context: MountContext, anew: boolean): Promise<StepEquipment> {
  const { op, deps } = context;
  await using opened = new AsyncDisposableStack();
  const secretEnv: string[] = [];
  const secrets: string[] = [];
  const env: string[] = [];
  const devices = op.devices === undefined ? undefined : await deps.devices(op.devices);
  const caches = await openCaches(context, anew);
  opened.defer(caches.release);

  const toMount = async (mount: ExecMount): Promise<SandboxMount | undefined> => {
    switch (mount.type) {
      case 'bind':
        return bindOf(mount, context);
      case 'tmpfs': {
        const { target, size } = mount;
        return { type: 'tmpfs', target, readonly: false, ...(size === undefined ? {} : { size }) };
      }
      case 'cache':
        return { type: 'bind', target: mount.target, readonly: mount.readonly, source: caches.dirOf(mount) };
      case 'secret': {
        const data = readSecret(mount, deps);
        if (mount.env !== undefined) secretEnv.push(`${mount.env}=${variable(mount, data)}`);
        if (data === undefined) return undefined;
        secrets.push(...textsOf(data));
        const { target, mode, uid, gid } = mount;
        return target === undefined
          ? undefined
          : { type: 'secret', target, readonly: true, file: { data, mode, uid, gid } };
      }
      case 'ssh': {
        const agent = await deps.sshAgent(mount.id, mount);
        if (agent === undefined) {
          if (mount.required) throw noAgent(mount);
          return undefined;
        }
        opened.use(agent);
        if (env.length === 0 && !hasVariable(op)) env.push(`${AGENT_VARIABLE}=${mount.target}`);
        return { type: 'bind', target: mount.target, readonly: true, source: agent.socket };
      }
    }
  };
  const mounts: SandboxMount[] = [];
  for (const mount of op.mounts) {
    const made = await toMount(mount);
    if (made !== undefined) mounts.push(made);
  }
  const open = opened.move();
  const equipment = { mounts, env, secretEnv, devices, secrets };
  return { ...equipment, [Symbol.asyncDispose]: () => open.disposeAsync() };
}

function hasVariable({ env }: ExecOp): boolean {
  return env.some((entry) => entry.startsWith(`${AGENT_VARIABLE}=`));
}

function sourceOf(input: number, { inputs, deps, signal }: MountContext) {
  return layeredSource(inputs[input]?.layers ?? [], deps, signal);
}

/** The file or directory that a mount shows, its symlinks followed inside its root. */
async function selectMounted(
  { input = -1, source: path = '', target }: { input?: number; source?: string; target: string },
  context: MountContext,
): Promise<{ selected: Selected; source: LayeredSource }> {
  const source = await sourceOf(input, context);
  try {
    const [selected] = selectSources(source.view, [{ path, wildcard: false }]);
    if (selected !== undefined) return { selected, source };
  } catch (error) {
    if (!(error instanceof OcibuildError) || error.code !== 'COPY_SOURCE_MISSING') throw error;
  }
  throw new OcibuildError(
    'MOUNT_INVALID',
    `Cannot mount "/${path}" on "${target}": there is no such path in its source`,
    { details: { source: path, target } },
  );
}

async function bindOf(
  mount: Extract<ExecMount, { type: 'bind' }>,
  { inputs, deps, signal }: MountContext,
): Promise<SandboxMount> {
  const { target, readonly, source } = mount;
  const ids = (inputs[mount.input]?.layers ?? []).filter((id) => id !== EMPTY_LAYER);
  const lower = await Promise.all(ids.map((id) => deps.layers.snapshot(id, signal)));
  return { type: 'overlay', target, readonly, lower, subpath: `/${source}` };
}

interface OpenCaches {
  dirOf(mount: CacheMount): string;
  release(): void;
}

async function openCaches(context: MountContext, anew: boolean): Promise<OpenCaches> {
  const { op, deps, signal } = context;
  const mounts = op.mounts.filter((mount) => mount.type === 'cache');
  if (mounts.length === 0) return { dirOf: () => '', release: () => undefined };
  const wanted = await Promise.all(mounts.map((mount) => cacheWish(mount, context)));
  const lease = await deps.cacheMounts.acquire(wanted, {
    anew,
    signal,
    async fill(wish, dir) {
      const { mount, owner } = wanted.find((each) => each === wish) ?? {};
      if (mount?.input !== undefined) await seedCache(mount, dir, context);
      else
        await deps.writeTree(dir, [emptyDirectory({ ...owner, mode: mount?.mode })], {
          content: none,
          signal,
        });
    },
  });
  return {
    dirOf: (mount) => lease.dirs[mounts.indexOf(mount)] ?? '',
    release: lease.release,
  };
}

function none(): never {
  throw new TypeError('Cannot read from an empty directory');
}

function emptyDirectory({
  uid = 0,
  gid = 0,
  mode = 0o755,
}: {
  uid?: number;
  gid?: number;
  mode: number | undefined;
}): TreeEntry {
  return { path: '', type: 'dir', mode, uid, gid, size: 0, mtimeSec: Math.floor(Date.now() / 1000) };
}

type OwnedWish = CacheMountWish & {
  readonly mount: CacheMount;
  readonly owner: { readonly uid: number; readonly gid: number } | undefined;
};

/** As in Docker, one id stands for another cache where its seed, owner or mode differs. */
async function cacheWish(mount: CacheMount, context: MountContext): Promise<OwnedWish> {
  const { id, sharing, source = '', mode, input } = mount;
  const owner = mount.owner === undefined ? undefined : await cacheOwner(mount, context);
  const layers: readonly LayerId[] = input === undefined ? [] : (context.inputs[input]?.layers ?? []);
  const base =
    input === undefined && owner === undefined && mode === undefined
      ? ''
      : canonicalJson({ layers, source: input === undefined ? '' : source, ...owner, mode: mode ?? 0o755 });
  return { id, base, sharing, mount, owner };
}

/** Names and `inherit` are looked up in the step's root: `inherit` is the owner of what the mount hides. */
async function cacheOwner(
  { owner = {}, target }: CacheMount,
  context: MountContext,
): Promise<{ uid: number; gid: number }> {
  const { deps, op } = context;
  const { user = 0, group = 0 } = owner;
  if (typeof user === 'number' && typeof group === 'number') return { uid: user, gid: group };
  const root = await sourceOf(op.rootfs, context);
  const hidden = resolvePath(root.view, target.slice(1), { followLast: true })?.entry;
  const [stepUser = '', stepGroup] = op.user.split(':', 2);
  const step =
    hidden ??
    (await resolveOwner(
      { user: stepUser || 0, ...(stepGroup === undefined ? {} : { group: stepGroup }) },
      root,
      deps,
    ));
  const { uid } = user === INHERIT ? step : await resolveOwner({ user }, root, deps);
  const { gid } = group === INHERIT ? step : await resolveOwner({ user: 0, group }, root, deps);
  return { uid, gid };
}

async function seedCache(mount: CacheMount, dir: string, context: MountContext): Promise<void> {
  const { deps, signal } = context;
  const { selected, source } = await selectMounted(mount, context);
  if (selected.root.type !== 'dir') {
    throw new OcibuildError('MOUNT_INVALID', `Cannot start the cache on "${mount.target}" from a file`, {
      details: { source: mount.source, target: mount.target },
      hint: 'name a directory as its source',
    });
  }
  const files = [selected.root, ...selected.below.map(({ entry }) => entry)];
  await source.ready(files);
  const tree = selectedTree(selected);
  const original = new Map<string, TreeEntry>(tree.map((entry, i) => [entry.path, files[i] ?? entry]));
  await deps.writeTree(dir, tree, {
    content: (entry) => source.content(original.get(entry.path) ?? entry),
    signal,
  });
}

function readSecret(mount: SecretMount, deps: StepDeps): Uint8Array | undefined {
  const data = deps.secret(mount.id, mount);
  if (data !== undefined || !mount.required) return data;
  throw new OcibuildError('SECRET_NOT_FOUND', `Cannot find the secret "${mount.id}"`, {
    details: { id: mount.id },
    hint: `give it with --secret id=${mount.id},src=FILE or --secret id=${mount.id},env=NAME`,
  });
}

/** An absent secret is an empty variable. */
function variable({ id, env }: SecretMount, data: Uint8Array | undefined): string {
  const text = Buffer.from(data ?? []).toString('utf8');
  if (!text.includes('\0')) return text;
  throw new OcibuildError(
    'SECRET_INVALID',
    `Cannot put the secret "${id}" in "${env}": it holds a zero byte`,
    {
      details: { id },
      hint: 'mount it as a file instead',
    },
  );
}

/** The whole value, and its lines: a log shows one line at a time. */
function textsOf(data: Uint8Array): string[] {
  const text = Buffer.from(data).toString('utf8').trim();
  return [text, ...text.split('\n').map((line) => line.trim())].filter((each) => each.length >= 4);
}

function noAgent({ id }: SshMount): OcibuildError {
  return new OcibuildError('SSH_AGENT_NOT_FOUND', `Cannot find the SSH agent "${id}"`, {
    details: { id },
    hint: `forward one with --ssh ${id}, or serve a key with --ssh ${id}=FILE`,
  });
}
