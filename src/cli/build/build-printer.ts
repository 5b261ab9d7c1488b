import { statSync } from 'node:fs';
import { relative, resolve } from 'node:path';
import type { PrinterOptions } from '../../ui/create-printer.ts';
import type { Printer, PrinterStream, ProgressMode } from '../../ui/types.ts';
import type { CliContext } from '../types.ts';
import type { BuildRequest } from './build-options.ts';

/** Where the progress of a build is shown. */
export async function openPrinter(
  request: Pick<BuildRequest, 'progress'> &
    Partial<Pick<BuildRequest, 'options'>> &
    Pick<PrinterOptions, 'brief'>,
  { env, stderr, cwd }: CliContext,
  stream: PrinterStream,
): Promise<Printer> {
  const [{ createPrinter }, { capabilitiesOf }, { VERSION }] = await Promise.all([
    import('../../ui/create-printer.ts'),
    import('../../ui/capabilities.ts'),
    import('../../build/version.ts'),
  ]);
  const { canDraw, likesDrawing, color, refusesColor, unicode } = capabilitiesOf(env, stderr.isTTY === true);
  // A screen cannot be drawn into a file, whatever was asked for.
  const draws = request.progress === 'auto' ? likesDrawing : canDraw;
  const asked = request.progress === 'auto' ? 'tty' : request.progress;
  const mode: ProgressMode = asked === 'tty' && !draws ? 'plain' : asked;
  return createPrinter(mode, {
    stream,
    ...(stream === stderr ? { terminal: stderr } : {}),
    color,
    keepColours: !refusesColor,
    unicode,
    env,
    title: `building with ocibuild ${VERSION}`,
    brief: request.brief === true,
    pathOf: pathFromWorkspace(request.options?.context, { env, cwd }),
  });
}

/** A file is named from the context or the working directory; GitHub looks for it in the repository. */
export function pathFromWorkspace(
  context: unknown,
  { env, cwd }: Pick<CliContext, 'env' | 'cwd'>,
): (name: string) => string {
  const dir = typeof context === 'string' ? resolve(cwd, context) : '';
  if (statSync(dir, { throwIfNoEntry: false })?.isDirectory() !== true) return (name) => name;
  return (name) => relative(resolve(cwd, env.GITHUB_WORKSPACE ?? ''), resolve(dir, name));
}
