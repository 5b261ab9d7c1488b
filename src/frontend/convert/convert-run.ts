import { posix } from 'node:path';
import { formatPlatform } from '../../image/platform.ts';
import type { Digest } from '../../image/types.ts';
import type { ExecMount, ExecOp } from '../../llb/ops.ts';
import { instructionError } from '../parse/flags.ts';
import type { RunInstruction } from '../parse/instructions.ts';
import { chompTabs, parseHeredocWord } from '../parse/lines.ts';
import type { Entitlement } from '../types.ts';
import { withShell } from './convert-meta.ts';
import { convertMounts } from './convert-mount.ts';
import { type Build, commit, nextStep, type StageState } from './state.ts';

/** Where a here-document that starts with `#!` is found while it runs. */
const SCRIPT_FOLDER = '/dev/pipes';

/** Carries out RUN: one exec vertex on the stage's file system. */
export function convertRun(build: Build, state: StageState, instruction: RunInstruction): void {
  const { context, graph } = build;
  const meta = nextStep(build, state, instruction);
  const inputs: Digest[] = state.root === undefined ? [] : [state.root];
  const { args, script } = commandLine(state, instruction);
  checkEntitlements(build, instruction);
  const mounts: ExecMount[] = convertMounts(build, state, { instruction, inputs });
  if (script !== undefined) {
    const { name, content } = script;
    const data = Buffer.from(content, 'utf8').toString('base64');
    const file = graph.add(
      { kind: 'file', base: -1, actions: [{ type: 'mkfile', path: `/${name}`, mode: 0o755, data }] },
      [],
      { name: '[internal] preparing inline document' },
    );
    mounts.push({ type: 'bind', target: SCRIPT_FOLDER, readonly: true, input: inputs.length, source: '' });
    inputs.push(file);
  }
  const op: ExecOp = {
    kind: 'exec',
    rootfs: state.root === undefined ? -1 : 0,
    args,
    env: [...state.env].map(([key, value]) => `${key}=${value}`),
    cwd: posix.resolve('/', state.config.WorkingDir ?? ''),
    user: state.config.User ?? '',
    network: instruction.network ?? context.network,
    security: instruction.security ?? 'sandbox',
    mounts,
    ...(instruction.devices.length === 0 ? {} : { devices: instruction.devices }),
    ...(context.extraHosts.length === 0 ? {} : { extraHosts: context.extraHosts }),
    ...(context.ulimits.length === 0 ? {} : { ulimits: context.ulimits }),
    ...(context.shmSize === undefined ? {} : { shmSize: context.shmSize }),
    ...platformOf(build, state),
    ...hostnameOf(build),
  };
  const used = usedArgs(state);
  const ingredients = Object.fromEntries(used.map(([key, value]) => [`ARG ${key}`, value]));
  state.root = graph.add(op, inputs, used.length === 0 ? meta : { ...meta, ingredients });
  const shown = used.map(([key, value]) => `${key}=${value}`);
  const prefix = shown.length === 0 ? [] : [`|${shown.length}`, ...shown];
  commit(state, `RUN ${[...prefix, ...args].join(' ')} # buildkit`, true);
}

/** What a step may have only with the caller's consent. */
function checkEntitlements({ context }: Build, { raw, network, security, devices }: RunInstruction): void {
  const allow: readonly string[] = context.allow ?? [];
  const need = (flag: string, entitlement: Entitlement): void => {
    throw instructionError(raw, 'ENTITLEMENT_MISSING', {
      message: `Cannot use "--${flag}": the build is not allowed to`,
      hint: `build with --allow ${entitlement}`,
      range: raw.flags.find((each) => `${each.name}=${each.value}` === flag)?.range ?? raw.range,
    });
  };
  // A build whose default is the host's network has consented to it.
  if (network === 'host' && context.network !== 'host' && !allow.includes('network.host'))
    need('network=host', 'network.host');
  if (security === 'insecure' && !allow.includes('security.insecure'))
    need('security=insecure', 'security.insecure');
  for (const { name } of devices) {
    const [kind = ''] = name.split('=');
    const names = ['device', `device=${name}`, `device=${kind}`];
    if (!names.some((each) => allow.includes(each))) need(`device=${name}`, `device=${name}`);
  }
}

/** Declared ARGs and the values that the step sees, each at its first place. */
function usedArgs({ args, env }: StageState): [string, string][] {
  const keys = new Set(args.map(({ key }) => key));
  const last = new Map(args.map(({ key, value }) => [key, value]));
  return [...keys].map((key) => [key, env.get(key) ?? last.get(key) ?? '']);
}

/** Named only where it is not that of this machine. */
function platformOf({ context }: Build, { platform }: StageState): Pick<ExecOp, 'platform'> {
  return formatPlatform(platform) === formatPlatform(context.buildPlatform) ? {} : { platform };
}

function hostnameOf({ context }: Build): Pick<ExecOp, 'hostname'> {
  const hostname = context.buildArgs.BUILDKIT_SANDBOX_HOSTNAME;
  return hostname === undefined || hostname === '' ? {} : { hostname };
}

interface Script {
  readonly name: string;
  readonly content: string;
}

/**
 * A here-document that is the whole of RUN is the script itself: a file to be run if it starts with `#!`, else text
 * for the shell. With words around it, the shell gets it back as it was written.
 */
function commandLine(
  state: StageState,
  { args, shell, raw }: RunInstruction,
): { args: readonly string[]; script?: Script } {
  if (!shell) return { args };
  const text = args[0] ?? '';
  const [first] = raw.heredocs;
  if (first === undefined) return { args: withShell(state, text) };
  if (parseHeredocWord(text) === undefined) {
    const bodies = raw.heredocs.map(({ content, name }) => `\n${content}${name}`);
    return { args: withShell(state, text + bodies.join('')) };
  }
  const content = first.chomp ? chompTabs(first.content) : first.content;
  // As in Docker: behind a tab that `<<-` cuts, `#!` is a comment for the shell.
  if (!first.content.startsWith('#!') || state.image.os === 'windows')
    return { args: withShell(state, content) };
  const script = { name: first.name, content };
  return { args: withShell(state, `${SCRIPT_FOLDER}/${first.name}`), script };
}
