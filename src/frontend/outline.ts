import type { SourceRange } from '../errors/source.ts';
import { buildArg } from './convert/args.ts';
import type { ReadyStage } from './convert/resolve.ts';
import { beforeFrom, type FileScope } from './convert/stages.ts';
import type { StageState } from './convert/state.ts';
import { describeDockerfile, tolerant } from './describe.ts';
import { createFaults } from './parse/faults.ts';
import type { ArgInstruction, Instruction, RunInstruction } from './parse/instructions.ts';
import { readProgram } from './parse/read-file.ts';
import { readMount } from './parse/run-mount.ts';
import { expandText } from './parse/shell-lex.ts';
import type { FrontendContext, Outline, OutlineArg, OutlineMount, TargetInfo } from './types.ts';

/** The stages of a Dockerfile. @throws DOCKERFILE_* */
export async function listTargets(context: FrontendContext): Promise<readonly TargetInfo[]> {
  const { instructions } = await readProgram(context, context.dockerfile);
  const [first] = instructions.filter(({ kind }) => kind !== 'ARG');
  if (first !== undefined && first.kind !== 'FROM') throw beforeFrom(first);
  const froms = instructions.filter((each) => each.kind === 'FROM');
  return froms.map(({ raw, name, base, platform }, index) => ({
    ...(name === undefined ? {} : { name }),
    ...described(raw.comment, name),
    isDefault: index === froms.length - 1,
    base,
    ...(platform === undefined ? {} : { platform }),
    range: raw.range,
  }));
}

/** What the target, and every stage that it needs, takes from outside. @throws DOCKERFILE_* */
export async function outlineDockerfile(given: FrontendContext): Promise<Outline> {
  const { context } = tolerant(given);
  const faults = createFaults();
  const { program, plan, resolved, build } = await describeDockerfile(context, { faults });
  build.stageState(plan.target);
  faults.check();
  const stages = [...resolved.stages.values()].sort((a, b) =>
    a.index === plan.target ? -1 : b.index - a.index,
  );
  const first = program.instructions.findIndex(({ kind }) => kind === 'FROM');
  const globals = program.instructions.slice(0, first).filter((each) => each.kind === 'ARG');
  // A line without a value has only what is given: the platform that it stands for is no default of the file.
  const globalValue = (key: string, fallback: string | undefined) =>
    fallback === undefined ? buildArg(context, key) : plan.scope.globals.get(key);
  const globalArgs = new Map(
    globals.flatMap((instruction) =>
      instruction.args.map(
        ({ key, value }) => [key, argInfo(key, globalValue(key, value), instruction)] as const,
      ),
    ),
  );
  const args = new Map<string, OutlineArg>();
  const add = (arg: OutlineArg | undefined) => void (arg && !args.has(arg.name) && args.set(arg.name, arg));
  const made = madeOf(globals, context, plan.scope);
  /** A global argument, and those that its value is made of. */
  const addGlobal = (name: string): void => {
    if (args.has(name) || !plan.scope.globals.has(name)) return;
    add(globalArgs.get(name));
    for (const inner of made.get(name) ?? []) addGlobal(inner);
  };
  const mounts: Mount[] = [];
  for (const stage of stages) {
    const state = build.stageState(stage.index);
    // Of several lines for one argument the last one counts.
    for (const arg of new Map(argsOf(stage, state).map((each) => [each.key, each])).values()) {
      const inherited = arg.fallback === undefined && buildArg(context, arg.key) === undefined;
      if (inherited && plan.scope.globals.has(arg.key)) addGlobal(arg.key);
      else add(argInfo(arg.key, arg.value, arg.instruction));
    }
    for (const name of namesIn(`${stage.from.base} ${stage.from.platform ?? ''}`, plan.scope))
      addGlobal(name);
    for (const each of stage.instructions) mounts.push(...mountsOf(each, state, build.escapeChar));
  }
  const target = plan.stages[plan.target];
  const ofType = (type: Mount['type']) => firstOfEach(mounts.filter((mount) => mount.type === type));
  return {
    ...(target?.name === undefined ? {} : { name: target.name }),
    ...described(target?.from.raw.comment, target?.name),
    args: [...args.values()].sort(byLine),
    secrets: ofType('secret').map(withoutType),
    ssh: ofType('ssh').map(withoutType),
    caches: ofType('cache').map(({ name, range }) => ({ name, range })),
  };
}

/** The part of a comment that follows the name of what it stands above. */
function described(
  comment: readonly string[] | undefined,
  name: string | undefined,
): { description?: string } {
  const line = name === undefined ? undefined : comment?.find((each) => each.startsWith(`${name} `));
  return line === undefined ? {} : { description: line.slice((name ?? '').length + 1) };
}

function argInfo(name: string, value: string | undefined, { raw }: ArgInstruction): OutlineArg {
  const valued = value === undefined || value === '' ? {} : { value };
  return { name, ...described(raw.comment, name), ...valued, range: raw.range };
}

/** For each global argument those of the lines above that its default takes part of its value from. */
function madeOf(
  globals: readonly ArgInstruction[],
  context: FrontendContext,
  scope: FileScope,
): ReadonlyMap<string, readonly string[]> {
  const above = new Map<string, string>();
  const made = new Map<string, readonly string[]>();
  for (const { key, value = '' } of globals.flatMap((each) => each.args)) {
    const names = buildArg(context, key) === undefined ? namesIn(value, { ...scope, globals: above }) : [];
    made.set(
      key,
      [...names].filter((name) => above.has(name)),
    );
    above.set(key, scope.globals.get(key) ?? '');
  }
  return made;
}

/** ARGs of the stage itself with their values, which stand in order behind those of its base. */
function argsOf(stage: ReadyStage, state: StageState) {
  const own = stage.instructions.flatMap((instruction) =>
    instruction.kind === 'ARG'
      ? instruction.args.map(({ key, value }) => ({ key, fallback: value, instruction }))
      : [],
  );
  const values = own.length === 0 ? [] : state.args.slice(-own.length);
  return own.map((arg, i) => ({ ...arg, value: values[i]?.value }));
}

function namesIn(text: string, { globals, escapeChar }: FileScope): ReadonlySet<string> {
  const names = new Set<string>();
  const lookUp = (name: string) => {
    names.add(name);
    return globals.get(name);
  };
  expandText(text, lookUp, { escapeChar });
  return names;
}

interface Mount extends OutlineMount {
  readonly type: 'secret' | 'ssh' | 'cache';
}

function mountsOf(instruction: Instruction, { env }: StageState, escapeChar: string): Mount[] {
  if (instruction.kind !== 'RUN') return [];
  const { raw, mounts } = instruction as RunInstruction;
  const expand = (text: string) => expandText(text, (name) => env.get(name), { escapeChar }).text;
  return mounts.flatMap((mount): Mount[] => {
    const { type, id, target, source, required } = readMount(raw, mount, { expand, extended: true });
    const base = target.split('/').at(-1) ?? '';
    const name =
      type === 'ssh' ? id || source || 'default' : type === 'cache' ? id || target : id || source || base;
    return type === 'secret' || type === 'ssh' || type === 'cache'
      ? [{ type, name, required, range: raw.range }]
      : [];
  });
}

function firstOfEach(mounts: readonly Mount[]): Mount[] {
  return [...new Map(mounts.toReversed().map((mount) => [mount.name, mount])).values()].sort(byLine);
}

function withoutType({ name, required, range }: Mount): OutlineMount {
  return { name, required, range };
}

function byLine(a: { range: SourceRange }, b: { range: SourceRange }): number {
  return a.range.start.line - b.range.start.line;
}
