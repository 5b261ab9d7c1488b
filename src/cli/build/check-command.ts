import type { CheckResult } from '../../build/describe.ts';
import type { OcibuildError } from '../../errors/error.ts';
import { print } from '../print.ts';
import { readStdin } from '../read-stdin.ts';
import { reportError } from '../report.ts';
import type { CliContext } from '../types.ts';
import type { BuildRequest } from './build-options.ts';
import type { CallRequest } from './call-flag.ts';
import { checkJson, outlineJson, subrequestsJson, targetsJson } from './call-json.ts';
import { checkText, outlineText, subrequestsText, targetsText } from './call-text.ts';

interface Answer {
  readonly json: () => unknown;
  readonly text: () => string;
  readonly sarif?: () => Promise<unknown>;
  /** Exit code where nothing is wrong with the question. */
  readonly code: number;
  /** Told on stderr, behind the answer. */
  readonly error?: OcibuildError;
}

/** `ocibuild build --call …`: the answer goes to stdout, nothing is built. Gives the exit code. */
export async function callCommand(
  request: BuildRequest,
  call: CallRequest,
  context: CliContext,
): Promise<number> {
  const answer = await ask(request, call, context);
  const text =
    call.format === 'text'
      ? answer.text()
      : `${JSON.stringify(call.format === 'sarif' ? await answer.sarif?.() : answer.json(), undefined, 2)}\n`;
  await print(text, context);
  const { error } = answer;
  if (error === undefined) return call.ignoreStatus ? 0 : answer.code;
  const code = reportError(error, {
    write: (line) => context.stderr.write(line),
    signal: context.signal,
    debug: request.debug,
    json: request.progress === 'rawjson',
  });
  return call.ignoreStatus ? 0 : code;
}

async function ask(request: BuildRequest, call: CallRequest, context: CliContext): Promise<Answer> {
  if (call.name === 'subrequests.describe') {
    return { json: subrequestsJson, text: subrequestsText, code: 0 };
  }
  const { cwd, env, signal } = context;
  const options = {
    ...request.options,
    ...(request.dockerfileOnStdin ? { dockerfileText: await readStdin(context) } : {}),
    ...{ stdin: context.stdin, env, cwd, signal },
  };
  const { check, outline, targets } = await import('../../build/describe.ts');
  switch (call.name) {
    case 'check':
      return checkAnswer(await check({ ...options, fix: call.fix }));
    case 'outline': {
      const found = await outline(options);
      return { json: () => outlineJson(found), text: () => outlineText(found), code: 0 };
    }
    case 'targets': {
      const found = await targets(options);
      const json = () => targetsJson(found.targets, found.dockerfile);
      return { json, text: () => targetsText(found.targets), code: 0 };
    }
  }
}

function checkAnswer(result: CheckResult): Answer {
  return {
    json: () => checkJson(result),
    text: () => checkText(result),
    async sarif() {
      const [{ sarifOf }, { VERSION }] = await Promise.all([
        import('./sarif.ts'),
        import('../../build/version.ts'),
      ]);
      return sarifOf(result, VERSION);
    },
    code: result.warnings.length > 0 ? 1 : 0,
    ...(result.error === undefined ? {} : { error: result.error }),
  };
}
