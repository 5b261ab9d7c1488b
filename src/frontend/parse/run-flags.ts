import { didYouMean } from '../../errors/suggest.ts';
import type { ExecDevice } from '../../llb/ops.ts';
import { type Flags, flagError } from './flags.ts';
import type { RunInstruction } from './instructions.ts';
import type { RawFlag, RawInstruction } from './parser.ts';
import { splitMount } from './run-mount.ts';

const NETWORKS = ['default', 'none', 'host'] as const;
const SECURITY = ['sandbox', 'insecure'] as const;

/** `vendor.com/class`, `vendor.com/class=name` or `vendor.com/class=*`. @see CDI SPEC.md, "Kind" */
const DEVICE = /^[A-Za-z][\w.-]*\/[A-Za-z][\w.-]*(?:=(?:\*|[A-Za-z0-9][\w.:-]*))?$/;

/** The flags of RUN. @throws DOCKERFILE_FLAG_INVALID */
export function parseRunFlags(
  raw: RawInstruction,
  flags: Flags,
): Pick<RunInstruction, 'network' | 'security' | 'devices' | 'mounts'> {
  return {
    ...oneOf('network', NETWORKS),
    ...oneOf('security', SECURITY),
    devices: flagsOf('device').map((flag) => parseDevice(raw, flag)),
    mounts: flagsOf('mount').map((flag) => splitMount(raw, flag)),
  };

  function flagsOf(name: string): RawFlag[] {
    return raw.flags.filter((flag) => flag.name === name);
  }

  function oneOf<K extends 'network' | 'security', T extends string>(
    name: K,
    allowed: readonly T[],
  ): { [P in K]?: T } {
    const value = flags.text(name);
    if (value === undefined) return {};
    const found = allowed.find((each) => each === value);
    if (found !== undefined) return { [name]: found } as { [P in K]: T };
    const flag = raw.flags.find((each) => each.name === name) ?? raw;
    const wanted = allowed.map((each) => `"${each}"`).join(', ');
    const message = `Cannot use ${name} "${value}" for RUN: expected ${wanted}`;
    throw flagError(raw, flag, message, didYouMean(value, allowed));
  }
}

function parseDevice(raw: RawInstruction, flag: RawFlag): ExecDevice {
  const fail = (why: string) => flagError(raw, flag, `Cannot use "--device=${flag.value}": ${why}`);
  let name: string | undefined;
  let required = false;
  for (const field of (flag.value ?? '').split(',')) {
    const [key = '', value] = /^(name|required)(?:=(.*))?$/.exec(field)?.slice(1) ?? [];
    if (key === 'required') {
      if (value !== undefined && value !== 'true' && value !== 'false')
        throw fail('"required" is "true" or "false"');
      required = value !== 'false';
      continue;
    }
    if (name !== undefined) throw fail('it names two devices');
    name = key === 'name' ? (value ?? '') : field;
  }
  if (name !== undefined && DEVICE.test(name)) return { name, required };
  throw fail('expected "vendor/class=name", with ",required" where the step cannot do without it');
}
