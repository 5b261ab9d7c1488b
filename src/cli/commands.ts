import { BUILD_FLAGS, LOCK_FLAGS } from './flags/build-flags.ts';
import { BUILDS_FLAGS } from './flags/builds-flags.ts';
import {
  EXEC_FLAGS,
  KILL_FLAGS,
  LOGS_FLAGS,
  PS_FLAGS,
  RM_FLAGS,
  RUN_FLAGS,
  STOP_FLAGS,
} from './flags/container-flags.ts';
import { DOCTOR_FLAGS } from './flags/doctor-flags.ts';
import { GLOBAL_FLAGS } from './flags/global-flags.ts';
import {
  COPY_FLAGS,
  DIFF_FLAGS,
  HISTORY_FLAGS,
  IMAGES_FLAGS,
  INSPECT_FLAGS,
  LOGIN_FLAGS,
  PULL_FLAGS,
  PUSH_FLAGS,
  RMI_FLAGS,
  UNPACK_FLAGS,
} from './flags/image-flags.ts';
import { CACHE_FLAGS, DU_FLAGS, PRUNE_FLAGS } from './flags/prune-flags.ts';
import type { Flag } from './flags/types.ts';

export type CommandName =
  | 'build'
  | 'lock'
  | 'images'
  | 'inspect'
  | 'history'
  | 'builds'
  | 'debug'
  | 'diff'
  | 'tag'
  | 'rmi'
  | 'pull'
  | 'push'
  | 'copy'
  | 'login'
  | 'logout'
  | 'unpack'
  | 'run'
  | 'ps'
  | 'exec'
  | 'logs'
  | 'stop'
  | 'kill'
  | 'wait'
  | 'rm'
  | 'du'
  | 'prune'
  | 'cache'
  | 'doctor'
  | 'completion'
  | 'version'
  | 'help';

export interface Command {
  readonly usage: string;
  readonly summary: string;
  readonly flags: readonly Flag[];
  readonly examples: readonly string[];
}

export const COMMANDS: Readonly<Record<CommandName, Command>> = {
  build: {
    usage: 'ocibuild [build] [flags] CONTEXT',
    summary: 'build an image from a Dockerfile',
    flags: BUILD_FLAGS,
    examples: [
      'ocibuild build -t app:v0 .',
      'ocibuild build -f deploy/Dockerfile --build-arg VERSION=1.2 --target test .',
      'ocibuild build -t app -o type=oci,dest=app.tar .',
    ],
  },
  lock: {
    usage: 'ocibuild lock [flags] CONTEXT',
    summary: 'write down what images, URLs and git refs mean now',
    flags: LOCK_FLAGS,
    examples: [
      'ocibuild lock .',
      'ocibuild lock --platform linux/amd64,linux/arm64 .',
      'ocibuild build --locked -t app:v0 .',
      'ocibuild lock --check .',
    ],
  },
  images: {
    usage: 'ocibuild images [flags]',
    summary: 'list the images in the store',
    flags: IMAGES_FLAGS,
    examples: ['ocibuild images'],
  },
  inspect: {
    usage: 'ocibuild inspect [flags] REF',
    summary: 'show an image of the store as JSON',
    flags: INSPECT_FLAGS,
    examples: ['ocibuild inspect --config app:v0'],
  },
  history: {
    usage: 'ocibuild history [flags] [REF]',
    summary: 'show how an image of the store was made; without REF the builds',
    flags: HISTORY_FLAGS,
    examples: ['ocibuild history app:v0'],
  },
  builds: {
    usage: 'ocibuild builds [flags] [rm ID…]',
    summary: 'list the builds that the store remembers, or forget some',
    flags: BUILDS_FLAGS,
    examples: ['ocibuild builds', 'ocibuild builds rm --all'],
  },
  debug: {
    usage: 'ocibuild debug [flags] [BUILD [CMD…]]',
    summary: 'open a shell where a RUN of the last build failed',
    flags: [],
    examples: ['ocibuild debug', 'ocibuild debug latest cat /src/npm-debug.log'],
  },
  diff: {
    usage: 'ocibuild diff [flags] A B',
    summary: 'explain how two images of the store differ',
    flags: DIFF_FLAGS,
    examples: ['ocibuild diff app:v0 app:v1'],
  },
  tag: {
    usage: 'ocibuild tag REF NAME',
    summary: 'give an image of the store one more name',
    flags: [],
    examples: ['ocibuild tag app:v0 registry.example/team/app:v0'],
  },
  rmi: {
    usage: 'ocibuild rmi [flags] REF…',
    summary: 'take names of images away',
    flags: RMI_FLAGS,
    examples: ['ocibuild rmi app:v0'],
  },
  pull: {
    usage: 'ocibuild pull [flags] REF',
    summary: 'bring an image from a registry into the store',
    flags: PULL_FLAGS,
    examples: ['ocibuild pull debian:12', 'ocibuild pull --all-platforms registry.example/team/app:v0'],
  },
  push: {
    usage: 'ocibuild push [flags] REF [DEST]',
    summary: 'push an image of the store to a registry',
    flags: PUSH_FLAGS,
    examples: [
      'ocibuild push registry.example/team/app:v0',
      'ocibuild push app:v0 registry.example/team/app:v0',
    ],
  },
  copy: {
    usage: 'ocibuild copy [flags] SRC DST',
    summary: 'copy an image between registries, layouts, archives and the store',
    flags: COPY_FLAGS,
    examples: [
      'ocibuild copy docker://registry.example/team/app:v0 oci:layout:v0',
      'ocibuild copy store:app:v0 docker-archive:app.tar:app:v0',
      'ocibuild copy --format docker oci-archive:app.tar docker://registry.test/app',
    ],
  },
  login: {
    usage: 'ocibuild login [flags] [REGISTRY]',
    summary: 'store the password for a registry where Docker does',
    flags: LOGIN_FLAGS,
    examples: ['echo "$TOKEN" | ocibuild login -u NAME --password-stdin registry.example'],
  },
  logout: {
    usage: 'ocibuild logout [REGISTRY]',
    summary: 'forget the password for a registry',
    flags: [],
    examples: ['ocibuild logout registry.example'],
  },
  unpack: {
    usage: 'ocibuild unpack [flags] REF BUNDLE',
    summary: 'turn an image into an OCI runtime bundle',
    flags: UNPACK_FLAGS,
    examples: ['ocibuild unpack app:v0 ./bundle && runc run -b ./bundle app'],
  },
  run: {
    usage: 'ocibuild run [flags] REF|CONTEXT [CMD…]',
    summary: 'run an image, or a directory (./app) that is built first',
    flags: RUN_FLAGS,
    examples: [
      'ocibuild run --rm -it debian:12',
      'ocibuild run -d --name web -p 8000:8000 -e MODE=test -v ./data:/data .',
    ],
  },
  ps: {
    usage: 'ocibuild ps [flags]',
    summary: 'list containers',
    flags: PS_FLAGS,
    examples: ['ocibuild ps -a'],
  },
  exec: {
    usage: 'ocibuild exec [flags] CONTAINER CMD…',
    summary: 'run a command in a container',
    flags: EXEC_FLAGS,
    examples: ['ocibuild exec -it web sh'],
  },
  logs: {
    usage: 'ocibuild logs [flags] CONTAINER | --build ID [STEP]',
    summary: 'show what a container or the steps of a build printed',
    flags: LOGS_FLAGS,
    examples: [
      'ocibuild logs -f --tail 20 web',
      'ocibuild logs --build latest',
      'ocibuild logs --build latest "RUN npm test"',
    ],
  },
  stop: {
    usage: 'ocibuild stop [flags] CONTAINER…',
    summary: 'stop containers',
    flags: STOP_FLAGS,
    examples: ['ocibuild stop web'],
  },
  kill: {
    usage: 'ocibuild kill [flags] CONTAINER…',
    summary: 'send a signal to containers',
    flags: KILL_FLAGS,
    examples: ['ocibuild kill -s HUP web'],
  },
  wait: {
    usage: 'ocibuild wait CONTAINER…',
    summary: 'wait for containers to end, print their exit codes',
    flags: [],
    examples: ['ocibuild wait job'],
  },
  rm: {
    usage: 'ocibuild rm [flags] CONTAINER…',
    summary: 'remove containers and what they wrote',
    flags: RM_FLAGS,
    examples: ['ocibuild rm -f web'],
  },
  du: {
    usage: 'ocibuild du [flags]',
    summary: 'show what the store holds, and what of it can go',
    flags: DU_FLAGS,
    examples: ['ocibuild du', 'ocibuild du --filter type=exec.cachemount --verbose'],
  },
  prune: {
    usage: 'ocibuild prune [flags]',
    summary: 'remove build cache; images and what is in use stay',
    flags: PRUNE_FLAGS,
    examples: [
      'ocibuild prune --filter until=24h',
      'ocibuild prune --all --force --max-used-space 20GB',
      'ocibuild prune --filter cache-mount=npm --dry-run',
    ],
  },
  cache: {
    usage: 'ocibuild cache ls|rm|path|shell [ID…]',
    summary: 'list, remove and look into cache mounts',
    flags: CACHE_FLAGS,
    examples: ['ocibuild cache ls', 'ocibuild cache rm npm', 'ocibuild cache shell npm'],
  },
  doctor: {
    usage: 'ocibuild doctor [flags]',
    summary: 'say what this machine can do, and what to install',
    flags: DOCTOR_FLAGS,
    examples: ['ocibuild doctor', 'ocibuild doctor --format json'],
  },
  completion: {
    usage: 'ocibuild completion SHELL',
    summary: 'print what bash, zsh or fish loads to complete command lines',
    flags: [],
    examples: ['source <(ocibuild completion bash)', 'ocibuild completion fish | source'],
  },
  version: {
    usage: 'ocibuild version',
    summary: 'show the versions of ocibuild and Node',
    flags: [],
    examples: [],
  },
  help: {
    usage: 'ocibuild help [--all] [COMMAND]',
    summary: 'show the help of a command',
    flags: [{ name: 'all', short: 'a', kind: 'bool', help: 'seldom used flags too' }],
    examples: [],
  },
};

/** For "did you mean". */
export const COMMAND_NAMES: readonly string[] = Object.keys(COMMANDS);

/** `docker buildx build` and its likes, with the first word changed. */
const BUILD_PREFIXES = ['buildx', 'image', 'builder'];

/** The command that the arguments start with, and its own arguments; `build` may be left out. */
export function findCommand(argv: readonly string[]): {
  readonly name: string;
  readonly named: boolean;
  readonly args: readonly string[];
} {
  const at = afterGlobalFlags(argv);
  const [first, second] = argv.slice(at);
  const before = argv.slice(0, at);
  if (first !== undefined && BUILD_PREFIXES.includes(first) && (second === 'build' || second === 'b')) {
    return { name: 'build', named: true, args: [...before, ...argv.slice(at + 2)] };
  }
  if (first === 'watch')
    return { name: 'build', named: true, args: [...before, '--watch', ...argv.slice(at + 1)] };
  if (first !== undefined && Object.hasOwn(COMMANDS, first)) {
    return { name: first, named: true, args: [...before, ...argv.slice(at + 1)] };
  }
  return { name: 'build', named: false, args: argv };
}

/** Index of the first argument that is neither a global flag nor its value. */
function afterGlobalFlags(argv: readonly string[]): number {
  let at = 0;
  for (;;) {
    const arg = argv[at];
    const flag = GLOBAL_FLAGS.find(
      ({ name, short }) => arg === `--${name}` || arg?.startsWith(`--${name}=`) || arg === `-${short}`,
    );
    if (arg === undefined || flag === undefined) return at;
    at += flag.kind === 'string' && arg === `--${flag.name}` ? 2 : 1;
  }
}
