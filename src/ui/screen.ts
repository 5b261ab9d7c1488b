import { type Block, fillRoom } from './fill-room.ts';
import { formatSeconds } from './format.ts';
import { isInternalName } from './step-name.ts';
import {
  detailLines,
  foldedRow,
  placeColumnsOf,
  type RowContext,
  reasonLines,
  stepRow,
} from './step-rows.ts';
import { clip } from './text-width.ts';
import type { Theme } from './theme.ts';
import type { BuildView, StepView } from './view-model.ts';

/** A column holds a step's row and its output without cutting most of it. */
const MIN_COLUMN = 50;
const GAP = 2;
/** Fewer lines for a stage would show no output of it. */
const MIN_GROUP_ROWS = 4;

/** What is drawn: lines over the whole width, and below them columns side by side. */
export interface Screen {
  readonly lines: readonly string[];
  readonly columns: readonly { readonly width: number; readonly lines: readonly string[] }[];
}

export interface ScreenOptions {
  readonly columns: number;
  /** Lines that may be used. */
  readonly rows: number;
  /** Begins the header: `Building`. */
  readonly title: string;
  readonly nowMs: number;
  readonly theme: Theme;
  /** All went well. @default false */
  readonly isOver?: boolean;
  /** Lines of output below a running step. @default as many as fit */
  readonly logLines?: number;
  /** Names of steps are not cut. @default false */
  readonly keepsNames?: boolean;
}

/** The state of a running build. Steps that only prepare it and cached ones take a row each; stages that run at the same
 * time stand side by side where there is room. */
export function drawScreen(view: BuildView, options: ScreenOptions): Screen {
  const { columns, rows, theme } = options;
  const groups = groupsOf(view);
  const active = groups.filter(({ steps }) => steps.some(isOpen));
  const header = headerLine(view, options);
  const room = Math.max(rows - 1, 1);
  const count = Math.min(active.length, Math.floor((columns + GAP) / (MIN_COLUMN + GAP)));
  const isFlat = room < MIN_GROUP_ROWS * Math.ceil(active.length / Math.max(count, 1));
  if (count < 2 || isFlat) {
    const context = contextFor(groups, { ...options, view });
    const blocks = [
      ...foldedBlocks(view, context),
      ...groups.flatMap(({ steps }) => blocksOf(steps, context)),
    ];
    return { lines: [header, ...fillRoom(blocks, room, moreLine(columns, theme))], columns: [] };
  }
  const others = groups.filter((group) => !active.includes(group));
  const context = contextFor(others, { ...options, view });
  const above = [...foldedBlocks(view, context), ...others.flatMap(({ steps }) => blocksOf(steps, context))];
  const top = fillRoom(above, Math.max(Math.floor(room / 3), 1), moreLine(columns, theme));
  const width = Math.floor((columns - GAP * (count - 1)) / count);
  return {
    lines: [header, ...top],
    columns: Array.from({ length: count }, (_, place) => {
      const stacked = active.filter((_group, i) => i % count === place);
      const share = Math.floor((room - top.length) / stacked.length);
      return {
        width,
        lines: stacked.flatMap((group) =>
          groupLines(group, { ...options, view, columns: width, rows: share }),
        ),
      };
    }),
  };
}

/** The state that stays when a build has ended: a row for each step that ran. */
export function lastState(view: BuildView, options: Omit<ScreenOptions, 'rows'>): string[] {
  const groups = groupsOf(view);
  const context = contextFor(groups, { ...options, view });
  return [
    headerLine(view, options),
    ...foldedBlocks(view, context).map(({ line }) => line),
    ...groups.flatMap(({ steps }) =>
      steps.flatMap((step) => [stepRow(step, context), ...reasonLines(step, context)]),
    ),
  ];
}

interface Group {
  readonly name: string;
  readonly steps: readonly StepView[];
}

const isOpen = ({ state }: StepView): boolean => state === 'running' || state === 'failed';

/** Steps that have a row of their own, by stage. */
function groupsOf(view: BuildView): Group[] {
  const begun = [...view.steps.values()].filter((step) => step.order >= 0).sort((a, b) => a.order - b.order);
  const groups = new Map<string, StepView[]>();
  for (const step of begun) {
    if (step.state === 'cached' || (isInternalName(step.name) && !isOpen(step))) continue;
    const key = step.name.number === undefined ? step.id : (step.name.group ?? '');
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [step]);
    else group.push(step);
  }
  return [...groups.values()].map((steps) => ({ name: steps[0]?.name.group ?? '', steps }));
}

type ContextOptions = Omit<ScreenOptions, 'rows'> & { readonly view: BuildView };

function contextFor(groups: readonly Group[], options: ContextOptions): RowContext {
  const { view, columns, logLines, nowMs, theme, keepsNames = false } = options;
  const steps = groups.flatMap((group) => group.steps);
  return {
    ...{ columns, logLines, nowMs, theme, keepsNames, showsGroup: true },
    secrets: view.secrets,
    placeColumns: placeColumnsOf(steps, columns, true),
  };
}

/** The stage in a column: its name, then its steps. */
function groupLines({ name, steps }: Group, options: ContextOptions & { readonly rows: number }): string[] {
  const { columns, logLines, nowMs, rows, theme, view } = options;
  const context: RowContext = {
    ...{ columns, logLines, nowMs, theme, showsGroup: false },
    secrets: view.secrets,
    placeColumns: placeColumnsOf(steps, columns, false),
  };
  const [step] = steps;
  const title = name === '' ? (step?.name.text ?? '') : name;
  const heading = theme.paint('stage', clip(title, columns, theme));
  return [heading, ...fillRoom(blocksOf(steps, context), Math.max(rows - 1, 1), moreLine(columns, theme))];
}

function blocksOf(steps: readonly StepView[], context: RowContext): Block[] {
  return steps.map((step) => ({
    line: stepRow(step, context),
    isOpen: isOpen(step),
    details: (max) =>
      [...reasonLines(step, context).slice(0, max), ...detailLines(step, max, context)].slice(0, max),
  }));
}

function foldedBlocks(view: BuildView, context: RowContext): Block[] {
  const all = [...view.steps.values()];
  const prepared = all.filter(
    (step) => isInternalName(step.name) && step.endedMs !== undefined && step.state === 'done',
  );
  const cached = all.filter(({ state }) => state === 'cached');
  const tookMs = prepared.reduce((sum, { startedMs = 0, endedMs = 0 }) => sum + endedMs - startedMs, 0);
  const fold = (steps: readonly StepView[], text: string, end: string): Block[] => {
    const state = steps === cached ? 'cached' : 'done';
    return steps.length === 0
      ? []
      : [{ line: foldedRow(steps, { text, end, state }, context), isOpen: false }];
  };
  return [
    ...fold(prepared, `${prepared.length} steps of preparation`, formatSeconds(tookMs)),
    ...fold(cached, `${cached.length} steps cached`, ''),
  ];
}

function moreLine(columns: number, theme: Theme): (count: number, what: 'finished' | 'running') => string {
  return (count, what) =>
    theme.paint('quiet', clip(`${theme.ellipsis} ${count} more ${what}`, columns, theme));
}

function headerLine(
  { planned, startedMs, steps }: BuildView,
  { columns, isOver = false, nowMs, theme, title }: Omit<ScreenOptions, 'rows'>,
): string {
  const ended = [...steps.values()].filter((step) => step.endedMs !== undefined).length;
  // A step may stand for others that were planned: once all went well, there is nothing left.
  const total = isOver ? ended : new Set([...planned, ...steps.keys()]).size;
  const took = formatSeconds(nowMs - (startedMs ?? nowMs));
  const count = `(${ended}/${total})`;
  const texts = [`[+] ${title} ${took} ${count}`, `${title} ${took} ${count}`, `${took} ${count}`];
  const left = texts.find((text) => text.length <= columns) ?? clip(took, columns, theme);
  return theme.paint('header', left);
}
