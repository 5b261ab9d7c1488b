import { formatBytes, formatSeconds, warningSummary } from './format.ts';
import { isInternalName } from './step-name.ts';
import { placeOf } from './step-rows.ts';
import { clip } from './text-width.ts';
import type { Theme } from './theme.ts';
import type { LayerFacts, ResultFacts } from './types.ts';
import type { BuildView, SeenWarning, StepView } from './view-model.ts';

const SLOW_STEPS = 3;
/** Below this width nothing is set in columns. */
const NARROW = 40;
/** More findings of rules would push what a build gave off the screen. */
const MAX_FINDINGS = 5;
/** Nobody waits for steps that are quicker. */
const SLOW_MS = 100;

export interface SummaryContext {
  readonly columns: number;
  readonly theme: Theme;
  /** Names of steps are not cut. @default false */
  readonly keepsNames?: boolean;
}

/** What a build gave: names, digest, size and layers of each image, cache hits, and what took longest. Only names of
 * steps are cut at the width: digests are there to be copied. */
export function summaryLines(view: BuildView, result: ResultFacts, context: SummaryContext): string[] {
  const { theme } = context;
  if (result.totalSteps === 0) return [];
  const isNarrow = context.columns < NARROW;
  const fact = (name: string, text: string): string =>
    `${isNarrow ? '' : '    '}${theme.paint('quiet', isNarrow ? name || 'then' : name.padEnd(8))} ${text}`;
  const images = Object.entries(result.targets ?? { '': result }).flatMap(([target, image]) =>
    imageLines(target, image, { theme, fact }),
  );
  const slow = slowSteps(view).map((step, i) => {
    const took = formatSeconds((step.endedMs ?? 0) - (step.startedMs ?? 0));
    const name = [placeOf(step, true), step.name.text].filter((part) => part !== '').join(' ');
    const room = Math.max(context.columns - (isNarrow ? 8 : 13) - took.length - 2, 4);
    const text = context.keepsNames === true ? name : clip(name, room, theme);
    return fact(i === 0 ? 'longest' : '', `${text}  ${theme.paint('quiet', took)}`);
  });
  return [...images, fact('cached', `${result.cachedSteps} of ${result.totalSteps} steps`), ...slow];
}

/** The warnings of a build, the first few findings of lint rules among them. */
export function warningLines(warnings: readonly SeenWarning[], theme: Theme): string[] {
  const findings = warnings.filter(({ isFinding }) => isFinding);
  const hidden = findings.length > MAX_FINDINGS + 1 ? findings.slice(MAX_FINDINGS) : [];
  const shown = warnings.filter((warning) => !hidden.includes(warning));
  const [blank, title, ...lines] = warningSummary(
    shown.map(({ text }) => text),
    warnings.length,
  );
  if (blank === undefined || title === undefined) return [];
  const more = `${theme.ellipsis} and ${hidden.length} more: ocibuild build --check`;
  return [blank, theme.paint('warning', title), ...lines, ...(hidden.length === 0 ? [] : [`   ${more}`])];
}

interface LineMaker {
  readonly theme: Theme;
  readonly fact: (name: string, text: string) => string;
}

function imageLines(target: string, image: ResultFacts, { theme, fact }: LineMaker): string[] {
  const { digest, names, platforms = [], written = [] } = image;
  const places = written.map((place) => fact('written', place));
  // Without an image its names were given to nothing.
  if (digest === undefined) {
    return [...(target === '' || places.length === 0 ? [] : [theme.paint('header', target)]), ...places];
  }
  const [title = target, ...others] = names;
  return [
    theme.paint('header', title === '' ? 'image' : `${title}${target === '' ? '' : ` (${target})`}`),
    ...others.map((name) => theme.paint('header', name)),
    fact('digest', digest),
    ...platforms.map(({ platform: { os, architecture, variant }, layers }) => {
      const parts = [os, architecture, ...(variant === undefined ? [] : [variant])];
      return fact(platforms.length === 1 ? 'size' : parts.join('/'), layersText(layers));
    }),
    ...places,
  ];
}

function layersText(layers: readonly LayerFacts[]): string {
  const fresh = layers.filter(({ reused }) => !reused);
  const count = layers.length === 1 ? '1 layer' : `${layers.length} layers`;
  const total = `${formatBytes(sizeOf(layers))} in ${count}`;
  if (layers.length === 0) return total;
  const old = layers.length - fresh.length;
  const parts = [
    ...(fresh.length > 0 ? [`${fresh.length} new (${formatBytes(sizeOf(fresh))})`] : []),
    ...(old > 0 ? [fresh.length === 0 ? 'all reused' : `${old} reused`] : []),
  ];
  return `${total}: ${parts.join(', ')}`;
}

function slowSteps(view: BuildView): StepView[] {
  const tookMs = ({ startedMs = 0, endedMs = 0 }: StepView): number => endedMs - startedMs;
  return [...view.steps.values()]
    .filter((step) => step.state === 'done' && !isInternalName(step.name) && tookMs(step) >= SLOW_MS)
    .sort((a, b) => tookMs(b) - tookMs(a))
    .slice(0, SLOW_STEPS);
}

function sizeOf(layers: readonly LayerFacts[]): number {
  return layers.reduce((sum, { size }) => sum + size, 0);
}
