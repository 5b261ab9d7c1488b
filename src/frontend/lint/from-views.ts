import { buildArg, platformArgs } from '../convert/args.ts';
import type { ArgInstruction } from '../parse/instructions.ts';
import type { FileProgram } from '../parse/read-file.ts';
import type { FrontendContext } from '../types.ts';
import { tryExpand } from './try-expand.ts';
import type { FromView } from './types.ts';

/** The FROM lines of a file, also where the stages make no build: their rules say why they make none. */
export function fromViews(context: FrontendContext, program: FileProgram): FromView[] {
  const { instructions, escapeChar } = program;
  const first = instructions.findIndex(({ kind }) => kind === 'FROM');
  const declared = instructions
    .slice(0, Math.max(first, 0))
    .filter((each): each is ArgInstruction => each.kind === 'ARG');
  const froms = instructions.filter((each) => each.kind === 'FROM');
  const values = (given: FrontendContext): ReadonlyMap<string, string> => {
    const globals = platformArgs(given, froms.at(-1)?.name);
    for (const { key, value } of declared.flatMap(({ args }) => args)) {
      const known = buildArg(given, key) ?? (value && tryExpand(value, globals, escapeChar)) ?? value;
      if (known !== undefined) globals.set(key, known);
    }
    return globals;
  };
  const globals = values(context);
  const defaults = values({ ...context, buildArgs: {} });
  return froms.map((from, index) => {
    const earlier = froms.slice(0, index).flatMap(({ name }) => (name === undefined ? [] : [name]));
    return { from, escapeChar, globals, defaults, declared, earlier };
  });
}
