import type { BuildResult } from '../../build/options.ts';
import type { EventSink } from '../../solver/types.ts';
import type { Printer } from '../../ui/types.ts';
import type { WatchCycle, WatchNotice } from '../../watch/types.ts';
import { reportError } from '../report.ts';
import type { CliContext } from '../types.ts';
import type { BuildRequest } from './build-options.ts';

/** Shows the builds of a watch, each with a printer of its own, and says between them what goes on. */
export interface WatchReport {
  onBuild(changed: readonly string[]): Promise<EventSink>;
  /** @param onGood what to do with a good result, before it is told */
  onEnd(cycle: WatchCycle | undefined, onGood: (result: BuildResult) => Promise<void>): Promise<void>;
  onNotice(notice: WatchNotice): void;
  /** The config file says what cannot be built with. */
  refuseSettings(error: unknown): void;
  /** A line of its own; nothing where a program reads or nobody does. */
  say(text: string): void;
}

/** Gives a printer for one build; a brief one leaves nothing of a build that went well, for the report has a line of it. */
export type OpenPrinter = (how: { readonly brief: boolean }) => Promise<Printer>;

export async function createWatchReport(
  request: Pick<BuildRequest, 'progress' | 'warnings' | 'debug'>,
  context: CliContext,
  openPrinter: OpenPrinter,
): Promise<WatchReport> {
  const { stderr, signal, cwd } = context;
  const { describeChanges, describeCycle, describeNotice } = await import('../../watch/describe.ts');
  const isSilent = request.progress === 'quiet' || request.progress === 'rawjson';
  let printer: Printer | undefined;
  let isTold = false;
  const write = (text: string): void => {
    if (!stderr.destroyed) stderr.write(text);
  };
  const say = (text: string): void => {
    if (!isSilent) write(`[watch] ${new Date().toTimeString().slice(0, 8)} ${text}\n`);
  };
  const finish = async (cycle: WatchCycle | undefined): Promise<void> => {
    const finished = printer;
    printer = undefined;
    await finished?.finish(cycle?.result, cycle?.error);
  };
  const tell = (error: unknown): void => {
    reportError(error, { write, signal, debug: request.debug, json: request.progress === 'rawjson' });
  };
  return {
    say,
    refuseSettings(error) {
      tell(error);
      say('the config file is not used as it is now: what it said before goes on');
    },
    async onBuild(changed) {
      if (changed.length > 0 && !isTold) say(describeChanges(changed, cwd));
      isTold = false;
      printer = await openPrinter({ brief: changed.length > 0 });
      for (const message of request.warnings) {
        printer.event({ kind: 'warning', time: Date.now(), message });
      }
      return printer.event;
    },
    async onEnd(cycle, onGood) {
      await finish(cycle);
      if (cycle === undefined) return;
      const { error, result } = cycle;
      if (error !== undefined) tell(error);
      say(describeCycle(cycle));
      if (result !== undefined) await onGood(result);
    },
    onNotice(notice) {
      if (notice.kind === 'stale') isTold = true;
      say(describeNotice(notice, cwd));
    },
  };
}
