import type { Flag } from './types.ts';

/** Docker's flags of these names always take a value: `--provenance false`. No context looks like this. */
const ATTRIBUTES = /^(?:true|false|[01]|[a-z][a-z-]*=.*)$/;

const NO_RESOURCES = 'this version does not limit the resources of RUN steps';

export const BUILD_FLAGS: readonly Flag[] = [
  {
    name: 'tag',
    short: 't',
    kind: 'list',
    value: 'REF',
    help: 'name of the image; TARGET=REF: of that target',
  },
  {
    name: 'file',
    short: 'f',
    kind: 'string',
    value: 'PATH|-',
    help: 'Dockerfile (default CONTEXT/Dockerfile)',
  },
  { name: 'build-arg', kind: 'list', value: 'K[=V]', help: 'value of an ARG; bare K: from the environment' },
  {
    name: 'target',
    kind: 'string',
    value: 'STAGE',
    help: 'stage to build (default: the last); A,B: both',
  },
  { name: 'label', kind: 'list', value: 'K=V', help: 'label of the image' },
  {
    name: 'annotation',
    rare: true,
    kind: 'list',
    value: 'K=V',
    help: 'annotation of the manifest; index:K=V: the index',
  },
  { name: 'platform', kind: 'list', value: 'OS/ARCH', help: 'platform to build for; A,B: an index of both' },
  {
    name: 'build-context',
    kind: 'list',
    value: 'N=V',
    help: 'DIR, URL, docker-image://REF, oci-layout://DIR',
  },
  { name: 'add-host', rare: true, kind: 'list', value: 'HOST:IP', help: 'entry of /etc/hosts in RUN' },
  {
    name: 'network',
    kind: 'string',
    value: 'MODE',
    choices: ['default', 'none', 'host'],
    help: 'network of RUN: default, none or host',
  },
  { name: 'ulimit', rare: true, kind: 'list', value: 'N=S[:H]', help: 'limit of RUN, e.g. nofile=1024:4096' },
  {
    name: 'secret',
    kind: 'list',
    value: 'id=N,…',
    help: 'secret for RUN: id=N,src=FILE or id=N,env=NAME',
  },
  {
    name: 'ssh',
    kind: 'list',
    value: 'ID[=PATH]',
    help: 'SSH agent of RUN: default, socket or key files',
  },
  {
    name: 'allow',
    rare: true,
    kind: 'list',
    value: 'WHAT',
    help: 'network.host, security.insecure, device[=NAME]',
  },
  { name: 'shm-size', rare: true, kind: 'string', value: 'SIZE', help: 'size of /dev/shm in RUN, e.g. 128m' },
  {
    name: 'cache-from',
    kind: 'list',
    value: 'SPEC',
    help: 'shared cache to look in: REF; type=local,src=DIR…',
  },
  {
    name: 'cache-to',
    kind: 'list',
    value: 'SPEC',
    help: 'cache to write: type=registry,ref=REF,mode=max',
  },
  { name: 'no-cache', kind: 'bool', help: 'run every step anew' },
  {
    name: 'no-cache-filter',
    rare: true,
    kind: 'list',
    value: 'STAGES',
    help: 'run the steps of these stages anew',
  },
  {
    name: 'pull',
    kind: 'optional',
    value: 'WHEN',
    bare: 'always',
    choices: ['missing', 'always', 'newer', 'never'],
    help: 'missing (default), always, newer or never',
  },
  {
    name: 'output',
    short: 'o',
    kind: 'list',
    value: 'SPEC',
    help: 'type=store|oci|docker|local|tar|…; DIR; -',
  },
  { name: 'push', kind: 'bool', help: 'push to where the names say: -o type=registry' },
  { name: 'load', kind: 'bool', help: 'hand it to the Docker or Podman daemon' },
  {
    name: 'progress',
    kind: 'string',
    value: 'MODE',
    choices: ['auto', 'tty', 'plain', 'grouped', 'github', 'gitlab', 'rawjson', 'quiet'],
    help: 'auto, tty, plain, grouped, github, gitlab, …',
  },
  { name: 'quiet', short: 'q', kind: 'bool', help: 'print only the digest' },
  { name: 'iidfile', rare: true, kind: 'string', value: 'FILE', help: 'write the image id to a file' },
  {
    name: 'metadata-file',
    rare: true,
    kind: 'string',
    value: 'FILE',
    help: 'write facts about the result as JSON',
  },
  {
    name: 'provenance',
    kind: 'optional',
    value: 'SPEC',
    bare: 'true',
    separate: ATTRIBUTES,
    help: 'say how the image was built: mode=min or max, …',
  },
  {
    name: 'sbom',
    kind: 'optional',
    value: 'SPEC',
    bare: 'true',
    separate: ATTRIBUTES,
    help: 'say what is in the image: format=spdx or cyclonedx',
  },
  {
    name: 'attest',
    rare: true,
    kind: 'list',
    value: 'SPEC',
    help: 'the same: type=provenance,… or type=sbom,…',
  },
  { name: 'jobs', kind: 'string', value: 'N', help: 'RUN steps at a time (default: cores)' },
  { name: 'locked', kind: 'bool', help: 'hold images, URLs and git refs to Dockerfile.lock' },
  { name: 'watch', kind: 'bool', help: 'stay, build again what a saved file affects' },
  { name: 'explain', kind: 'bool', help: 'say for each step that ran why it was not cached' },
  { name: 'debug-shell', kind: 'bool', help: 'open a shell in the RUN that fails' },
  {
    name: 'export-on-failure',
    rare: true,
    kind: 'list',
    value: 'STEP:/P=DEST',
    help: 'copy files out of a RUN that fails',
  },
  { name: 'check', kind: 'bool', help: 'only check the Dockerfile: --call check' },
  {
    name: 'fix',
    rare: true,
    kind: 'bool',
    help: 'with --check: mend what is certain',
  },
  {
    name: 'call',
    rare: true,
    kind: 'string',
    value: 'WHAT',
    help: 'check, outline or targets; ,format=json|sarif',
  },
  // The older name of --call.
  { name: 'print', kind: 'string' },
  // Asks for less on a way that the context does not go: a warning says so.
  { name: 'compress', kind: 'bool' },
  // Docker's older front end; these name what happens anyway.
  { name: 'rm', kind: 'bool', refused: 'containers of steps are always removed', accepts: ['true'] },
  { name: 'force-rm', kind: 'bool', refused: 'containers of steps are always removed', accepts: ['true'] },
  { name: 'isolation', kind: 'string', refused: 'there is one kind of isolation', accepts: ['default'] },
  {
    name: 'policy',
    kind: 'list',
    refused: 'Rego is not evaluated; EXPERIMENTAL_BUILDKIT_SOURCE_POLICY names a source policy',
  },
  {
    name: 'builder',
    kind: 'string',
    refused: 'this version builds on this machine only',
    accepts: ['default'],
  },
  { name: 'cgroup-parent', kind: 'string', refused: NO_RESOURCES },
  { name: 'resource', kind: 'list', refused: NO_RESOURCES },
  { name: 'memory', short: 'm', kind: 'string', refused: NO_RESOURCES },
  { name: 'memory-swap', kind: 'string', refused: NO_RESOURCES },
  { name: 'cpu-period', kind: 'string', refused: NO_RESOURCES },
  { name: 'cpu-quota', kind: 'string', refused: NO_RESOURCES },
  { name: 'cpu-shares', short: 'c', kind: 'string', refused: NO_RESOURCES },
  { name: 'cpuset-cpus', kind: 'string', refused: NO_RESOURCES },
  { name: 'cpuset-mems', kind: 'string', refused: NO_RESOURCES },
  { name: 'security-opt', kind: 'list', refused: 'the sandbox of RUN cannot be changed' },
  {
    name: 'squash',
    kind: 'bool',
    refused: 'layers are kept apart, so that they can be shared',
    accepts: ['false'],
  },
];

/** What a lock file holds depends on these flags of a build. */
const LOCK_HELP: Readonly<Record<string, string>> = {
  file: 'Dockerfile (default CONTEXT/Dockerfile)',
  'build-arg': 'value of an ARG; bare K: from the environment',
  target: 'only what this stage needs (default: all stages)',
  platform: 'platforms of the builds',
  'build-context': 'named context, as for a build',
  secret: 'credentials of URLs and git remotes',
  ssh: 'SSH agent or keys, as for a build',
  pull: 'newer (default), missing, always, never',
};
const NOT_LOCKED = ['check', 'fix', 'call', 'print', 'watch', 'debug-shell', 'export-on-failure', 'locked'];

/** The flags of a build lock it; those that change nothing are taken all the same, but not shown. */
export const LOCK_FLAGS: readonly Flag[] = [
  ...BUILD_FLAGS.filter(({ name }) => !NOT_LOCKED.includes(name)).map(({ help: _shown, ...flag }): Flag => {
    const help = LOCK_HELP[flag.name];
    return help === undefined || flag.refused !== undefined ? flag : { ...flag, help };
  }),
  { name: 'check', kind: 'bool', help: 'write nothing, fail if the file is out of date' },
];
