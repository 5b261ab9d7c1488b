import { posix } from 'node:path';
import type { Digest } from '../../image/types.ts';
import type { CacheMount, ExecMount, Owner } from '../../llb/ops.ts';
import { instructionError } from '../parse/flags.ts';
import type { RunInstruction } from '../parse/instructions.ts';
import { type MountOptions, mountTarget, type RunMount, readMount } from '../parse/run-mount.ts';
import { type Build, expandIn, type StageState, sourceOf } from './state.ts';

/** Where files of a context lie in the layer that is made of them. */
const SELECTED = 'mount';
const SECRETS = '/run/secrets';
const AGENTS = '/run/buildkit/ssh_agent';

/** Which input of a step a mount shows, and where in it. */
interface MountSource {
  readonly input: number;
  readonly source: string;
}

/**
 * The mounts of a RUN, in its order. What they show is added to `inputs`.
 * @throws DOCKERFILE_FLAG_INVALID, DOCKERFILE_UNSUPPORTED
 */
export function convertMounts(
  build: Build,
  state: StageState,
  about: { instruction: RunInstruction; inputs: Digest[] },
): ExecMount[] {
  const { instruction, inputs } = about;
  const { raw } = instruction;
  let agents = 0;
  const addInput = (vertex: Digest | undefined): number => {
    if (vertex === undefined) return -1;
    const known = inputs.indexOf(vertex);
    return known >= 0 ? known : inputs.push(vertex) - 1;
  };

  return instruction.mounts.map(toMount);

  function toMount(mount: RunMount): ExecMount {
    const options = readMount(raw, mount, {
      expand: (text) => expandIn(build, state, instruction, text),
      extended: build.extended,
    });
    const workdir = state.config.WorkingDir ?? '';
    const absolute = (target: string) => mountTarget(raw, mount, { target, workdir });
    const { type, readonly, required, size } = options;
    switch (type) {
      case 'bind':
        return { type, target: absolute(options.target), readonly, ...shown(mount, options, true) };
      case 'cache':
        return cacheMount(mount, options, absolute(options.target));
      case 'tmpfs':
        return { type, target: absolute(options.target), ...(size === undefined ? {} : { size }) };
      case 'secret': {
        const id = options.id ?? (options.source || posix.basename(options.target));
        const { env } = options;
        const target = options.target || (env === undefined ? `${SECRETS}/${posix.basename(id)}` : '');
        return {
          ...{ type, id, required },
          ...(target === '' ? {} : { target: absolute(target) }),
          ...(env === undefined ? {} : { env }),
          ...ownedBy(mount, options, 0o400),
        };
      }
      case 'ssh': {
        const target = absolute(options.target || `${AGENTS}.${agents}`);
        agents++;
        return { type, id: options.id ?? 'default', target, required, ...ownedBy(mount, options, 0o600) };
      }
    }
  }

  /** What `from` and `source` name; without `from` the build context. */
  function shown(mount: RunMount, options: MountOptions, onlyMounted: boolean): MountSource {
    const source = posix.resolve('/', options.source).slice(1);
    const ref = state.stage.sources.get(mount);
    const place = sourceOf(state, instruction);
    if (ref !== undefined && ref.kind !== 'local' && ref.kind !== 'remote') {
      return { input: addInput(build.sourceVertex(ref, place)), source };
    }
    const context = ref === undefined ? build.mainContext() : build.sourceVertex(ref, place);
    if (context === undefined) return { input: -1, source };
    // Of a context only the files that are used count, so they become a layer of their own.
    const files = build.graph.add(
      {
        kind: 'file',
        base: -1,
        ...(onlyMounted ? { onlyMounted } : {}),
        actions: [
          {
            type: 'copy',
            from: 0,
            sources: [{ path: source, wildcard: false }],
            dest: `/${SELECTED}`,
            keepsMode: true,
          },
        ],
      },
      [context],
      { name: `[internal] mount /${source} of ${ref?.name ?? 'the build context'}`, source: place },
    );
    return { input: addInput(files), source: SELECTED };
  }

  function cacheMount(mount: RunMount, options: MountOptions, target: string): CacheMount {
    const { sharing, readonly, uid, gid, mode } = options;
    const id = options.id ?? cleanPath(options.target);
    const namespace = build.context.buildArgs.BUILDKIT_CACHE_MOUNT_NS ?? '';
    const owner: Owner = {
      ...(uid === undefined ? {} : { user: uid }),
      ...(gid === undefined ? {} : { group: gid }),
    };
    return {
      ...{ type: 'cache', target, readonly, sharing },
      id: namespace === '' ? id : `${namespace}/${id}`,
      ...seedOf(mount, options),
      ...(uid === undefined && gid === undefined ? {} : { owner }),
      ...(mode === undefined ? {} : { mode }),
    };
  }

  /** As in Docker: a root with an owner or a mode of its own is a new directory, whatever `from` holds. */
  function seedOf(mount: RunMount, options: MountOptions): Partial<MountSource> {
    const { uid, gid, mode } = options;
    const source = posix.resolve('/', options.source).slice(1);
    if (source === '' && (mount.from === undefined || (uid ?? gid ?? mode) !== undefined)) return {};
    return mount.from === undefined ? { input: -1, source } : shown(mount, options, false);
  }

  function ownedBy(
    mount: RunMount,
    { mode, uid = 0, gid = 0 }: MountOptions,
    byDefault: number,
  ): { mode: number; uid: number; gid: number } {
    if (typeof uid === 'number' && typeof gid === 'number') return { mode: mode ?? byDefault, uid, gid };
    throw instructionError(raw, 'DOCKERFILE_FLAG_INVALID', {
      message: `Cannot use "${uid}:${gid}" as owner in --mount: expected numbers`,
      range: mount.flag.range,
    });
  }
}

/** @see Go's path.Clean */
function cleanPath(path: string): string {
  return posix.normalize(path).replace(/(.)\/$/, '$1');
}
