import { findProgram } from '../../executor/find-program.ts';
import { readText } from '../../util/read-text.ts';
import { probeEmulation } from './emulation.ts';
import { probeUserNamespaces } from './namespaces.ts';
import { probeNetwork } from './network.ts';
import { probeCredentials, probeDaemon, probeVariables } from './outside.ts';
import { installCommand, rootCommand } from './packages.ts';
import { probeContainer, probeOverlay, probeRuntimes } from './sandbox.ts';
import { probeStore } from './store.ts';
import { probeCgroups, probeInotify, probeKernel, probeNode, probePrograms, probeSeccomp } from './system.ts';
import type { DoctorOptions, DoctorReport, Finding, Machine } from './types.ts';

type Probe = (machine: Machine) => Finding | readonly Finding[] | Promise<Finding | readonly Finding[]>;

/** In the order of the report: what everything needs first. */
const PROBES: Readonly<Record<string, Probe>> = {
  node: probeNode,
  kernel: probeKernel,
  runtime: probeRuntimes,
  container: probeContainer,
  overlay: probeOverlay,
  userns: probeUserNamespaces,
  cgroups: probeCgroups,
  seccomp: probeSeccomp,
  store: probeStore,
  network: probeNetwork,
  emulation: probeEmulation,
  programs: probePrograms,
  inotify: probeInotify,
  credentials: probeCredentials,
  variables: probeVariables,
  daemon: probeDaemon,
};

/**
 * Asks this machine what it can do, all probes side by side; nothing is left behind. What only the probes can tell
 * from failing is a finding as well: this throws only when it is cancelled.
 * @throws CANCELLED
 */
export async function diagnose(options: DoctorOptions): Promise<DoctorReport> {
  const osRelease = readText('/etc/os-release') ?? '';
  const isRoot = process.geteuid?.() === 0;
  const hasSudo = findProgram('sudo', options.env.PATH ?? '') !== undefined;
  const by = isRoot ? 'nothing' : hasSudo ? 'sudo' : 'su';
  const machine: Machine = {
    ...options,
    isRoot,
    searchPath: options.env.PATH ?? '',
    install: (names) => installCommand(osRelease, names, by),
    asRoot: (command) => rootCommand(command, by),
  };
  const results = await Promise.all(
    Object.entries(PROBES).map(async ([id, probe]): Promise<readonly Finding[]> => {
      try {
        return [await probe(machine)].flat();
      } catch (error) {
        options.signal.throwIfAborted();
        const message = `not known: ${error instanceof Error ? error.message : String(error)}`;
        return [{ id, status: id === 'container' ? 'fail' : 'warn', message }];
      }
    }),
  );
  const findings = results.flat();
  const container = findings.find(({ id }) => id === 'container');
  const isFatal = ({ id, status }: Finding): boolean =>
    // What the container that ran has shown to work, whatever another probe thought of it.
    status === 'fail' && (container?.status !== 'ok' || ['node', 'store', 'schema'].includes(id));
  return { works: !findings.some(isFatal), findings };
}
