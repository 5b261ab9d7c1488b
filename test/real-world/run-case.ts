import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ImageConfig } from '../../src/image/types.ts';
import type { Bases } from './bases.ts';
import { type Builder, mustRun, OCIBUILD } from './builders.ts';
import { copyContext } from './cases.ts';
import { checkConfig, checkFiles } from './check-image.ts';
import { compareImages } from './compare.ts';
import { runImage } from './containers.ts';
import type { ImageCheck, LoadedCase } from './types.ts';

export type CaseDeps = {
  bases: Bases;
  /** Of `ocibuild`. */
  store: string;
  /** For contexts and bundles; the caller removes it. */
  work: string;
  ocibuild: Builder;
  docker?: Builder;
};

export type CaseResult = {
  /** One line for each thing that is not as the case says, or not as in Docker's image. */
  problems: string[];
  buildSeconds: number;
  runs: number;
  /** Paths compared with Docker's image. */
  compared: number;
};

/** Builds the images of a case, runs them, and compares them with Docker's where there is a Docker. */
export async function runCase(one: LoadedCase, deps: CaseDeps): Promise<CaseResult> {
  const context = join(deps.work, 'contexts', one.name);
  copyContext(one, context);
  const bases: Record<string, string> = {};
  for (const [name, base] of Object.entries(one.bases)) bases[name] = await deps.bases.layout(base);
  const result: CaseResult = { problems: [], buildSeconds: 0, runs: 0, compared: 0 };
  for (const check of one.images) {
    const request = { tag: check.tag, context, flags: check.flags ?? [], bases };
    const image = await deps.ocibuild.build(request);
    result.buildSeconds += image.seconds;
    const { problems, runs } = await tryImage(check, { ...deps, name: one.name });
    result.runs += runs;
    if (deps.docker !== undefined && one.dockerLacks === undefined) {
      // The frontend that a syntax directive names cannot always be pulled; the built-in one is as new.
      const copy = join(deps.work, 'docker-contexts', one.name);
      copyContext(one, copy);
      withoutSyntaxDirective(copy);
      const docker = await (await deps.docker.build({ ...request, context: copy })).flatten();
      result.compared += docker.files.size;
      const differences = compareImages(await image.flatten(), docker, check);
      problems.push(...differences.map((line) => `Docker: ${line}`));
    }
    result.problems.push(...problems.map((line) => `${check.tag}: ${line}`));
  }
  return result;
}

/** Runs the image as often as the case says; an image that is only built is not unpacked. */
async function tryImage(
  check: ImageCheck,
  { store, work, name }: CaseDeps & { name: string },
): Promise<{ problems: string[]; runs: number }> {
  const inspected = await mustRun(OCIBUILD, ['inspect', '--root', store, '--config', check.tag]);
  const image = JSON.parse(inspected) as ImageConfig;
  const problems = checkConfig(image, check);
  if (check.files === undefined && check.runs === undefined) return { problems, runs: 0 };
  const bundle = join(work, 'bundle');
  await mustRun(OCIBUILD, ['unpack', '--root', store, check.tag, bundle]);
  try {
    problems.push(...checkFiles(join(bundle, 'rootfs'), check));
    for (const [i, run] of (check.runs ?? []).entries()) {
      const id = `ocibuild-${process.pid}-${name}-${i}`;
      problems.push(...(await runImage(run, { id, bundle, defaults: image.config ?? {} })));
    }
  } finally {
    rmSync(bundle, { recursive: true });
  }
  return { problems, runs: check.runs?.length ?? 0 };
}

function withoutSyntaxDirective(context: string): void {
  for (const name of readdirSync(context).filter((name) => name.endsWith('Dockerfile'))) {
    const path = join(context, name);
    writeFileSync(path, readFileSync(path, 'utf8').replace(/^# syntax *=.*/, '#'));
  }
}
