import { isOcibuildError, MultiError, type OcibuildError } from '../errors/error.ts';
import type { SourceRef } from '../errors/source.ts';
import type { ProgressEvent } from '../solver/types.ts';
import { safeText, warningText } from './format.ts';
import { type LinedStep, linesOf, newLinedStep } from './step-lines.ts';
import type { Printer, PrinterDeps } from './types.ts';

type Warning = Extract<ProgressEvent, { kind: 'warning' }>;

/** Output of steps that wait for their turn; beyond that the longest is shown in parts. */
const MAX_WAITING_CHARS = 4 << 20;

/** How a CI system wants the output of a step to be marked, so that it can be folded. */
export interface GroupStyle {
  /** First line or lines of a step's block; `again`: a block of it was shown before. */
  open(step: GroupHeader): string;
  close(step: GroupHeader): string;
  warning(text: string, source?: SourceRef): string;
  /** After the block of a step that failed, or at the end. */
  failure(text: string, source: SourceRef | undefined): string;
}

export interface GroupHeader {
  readonly index: number;
  readonly name: string;
  readonly again: boolean;
  readonly timeMs: number;
}

interface Step extends LinedStep {
  /** Steps are numbered as they begin, which is how `ocibuild logs --build` finds them. */
  index: number;
  /** Blocks of it that were opened. */
  blocks: number;
  waiting: string[];
  chars: number;
  failure?: Failure;
}

interface Failure {
  readonly text: string;
  readonly source: SourceRef | undefined;
}

/**
 * The output of each step in one block, whatever ran beside it: the longest running step is shown as it goes, the others
 * when it is their turn. Nothing is left out.
 * @param title text of the first line
 */
export function createGroupedPrinter(deps: PrinterDeps, style: GroupStyle, title: string): Printer {
  const steps = new Map<string, Step>();
  /** Steps that have begun and are not shown to their end, in the order in which they began. */
  const queue: Step[] = [];
  const warnings: string[] = [];
  /** Texts of failures that were shown. */
  const told = new Set<string>();
  let begun = 0;
  let open: Step | undefined;
  deps.write(`#0 ${title}\n`);

  const header = (step: Step): GroupHeader => ({
    index: step.index,
    name: step.name,
    again: step.blocks > 0,
    timeMs: deps.now(),
  });

  const tell = ({ text, source }: Failure): string => {
    told.add(text);
    return style.failure(text, source);
  };

  const leave = (): void => {
    if (open === undefined) return;
    const step = open;
    open = undefined;
    let text = step.closed ? '' : `#${step.index} ...\n`;
    text += style.close(header(step));
    if (step.closed && step.failure !== undefined) text += tell(step.failure);
    deps.write(text);
  };

  const show = (step: Step): void => {
    let text = '';
    if (open !== step) {
      leave();
      text += style.open(header(step));
      step.blocks++;
      open = step;
    }
    for (const line of step.waiting) text += `#${step.index} ${line}\n`;
    step.waiting = [];
    step.chars = 0;
    deps.write(text);
    if (step.closed) {
      queue.splice(queue.indexOf(step), 1);
      leave();
    }
  };

  /** Shows what can be shown now: the one whose turn it is, and those that ended meanwhile once it has. */
  const advance = (): void => {
    if (open !== undefined && open.waiting.length > 0) show(open);
    if (open === undefined) {
      for (const step of queue.filter(({ closed }) => closed)) show(step);
      const next = queue.find(({ waiting }) => waiting.length > 0);
      if (next !== undefined) show(next);
    }
    const longest = queue.find(({ chars }) => chars > MAX_WAITING_CHARS);
    if (longest !== undefined) show(longest);
  };

  return {
    event(event) {
      if (event.kind === 'warning') {
        warnings.push(style.warning(warningText(event, deps.secrets), placeOf(event.finding)));
        return;
      }
      if (event.kind === 'planned') return;
      const step: Step = steps.get(event.vertex) ?? {
        ...newLinedStep(event.vertex),
        ...{ index: 0, blocks: 0, waiting: [], chars: 0 },
      };
      steps.set(event.vertex, step);
      for (const { text } of linesOf(step, event, deps)) {
        step.waiting.push(text);
        step.chars += text.length;
      }
      if (event.kind === 'vertex') return;
      if (step.index === 0) step.index = ++begun;
      if (event.kind === 'completed' && event.error !== undefined && step.failed) {
        step.failure = failureOf(event.error, deps);
      }
      if (!queue.includes(step) && step.waiting.length > 0) queue.push(step);
      advance();
    },
    async finish(_result, error) {
      leave();
      for (const step of [...queue]) show(step);
      leave();
      const more = faultsIn(error)
        .map((fault) => failureOf(fault, deps))
        .filter(({ text }) => !told.has(text));
      deps.write([...warnings, ...more.map(tell)].join(''));
    },
  };
}

function failureOf(error: OcibuildError, { secrets }: PrinterDeps): Failure {
  return { text: safeText(error.message, secrets), source: error.source };
}

/** What a build ended with, where that is a fault: of a text, of a source, of what was asked for. */
function faultsIn(error: unknown): readonly OcibuildError[] {
  if (!isOcibuildError(error) || error.category === 'cancelled') return [];
  return error instanceof MultiError ? error.errors : [error];
}

function placeOf(finding: Warning['finding']): SourceRef | undefined {
  if (finding === undefined) return undefined;
  const at = { line: finding.range.start, column: 1 };
  return { file: finding.file, ranges: [{ start: at, end: at }] };
}
