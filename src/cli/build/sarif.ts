import type { CheckResult } from '../../build/describe.ts';
import type { SourceRange } from '../../errors/source.ts';
import type { LintWarning } from '../../frontend/types.ts';

type Json = Readonly<Record<string, unknown>>;

/**
 * Findings as SARIF 2.1.0, which code hosts and editors show at their lines. Fixes are in it.
 * @see https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
 */
export function sarifOf(result: CheckResult, version: string): Json {
  const { warnings, error, dockerfile } = result;
  const rules = [...new Map(warnings.map((warning) => [warning.rule, warning])).values()];
  const uriOf = ({ file = dockerfile }: Pick<LintWarning, 'file'>): string =>
    file.name.split('/').map(encodeURIComponent).join('/');
  return {
    $schema: 'https://json.schemastore.org/sarif-2.1.0.json',
    version: '2.1.0',
    runs: [
      {
        tool: {
          driver: {
            name: 'ocibuild',
            version,
            rules: rules.map(({ rule, description = '', url }) => ({
              id: rule,
              shortDescription: { text: description },
              help: { text: `${description}: see ${url}` },
              defaultConfiguration: { level: 'warning' },
            })),
          },
        },
        columnKind: 'utf16CodeUnits',
        results: warnings.map((warning) => ({
          ruleId: warning.rule,
          ruleIndex: rules.findIndex(({ rule }) => rule === warning.rule),
          level: 'warning',
          message: { text: warning.message },
          locations: [locationOf(uriOf(warning), warning.range)],
          ...(warning.fix === undefined ? {} : { fixes: [fixOf(uriOf(warning), warning)] }),
        })),
        invocations: [
          {
            executionSuccessful: error === undefined,
            ...(error === undefined
              ? {}
              : {
                  toolExecutionNotifications: [
                    {
                      descriptor: { id: error.code },
                      level: 'error',
                      message: { text: error.message },
                      locations: (error.source?.ranges ?? []).map((range) =>
                        locationOf(uriOf(error.source ?? {}), range),
                      ),
                    },
                  ],
                }),
          },
        ],
      },
    ],
  };
}

function locationOf(uri: string, range: SourceRange): Json {
  return { physicalLocation: { artifactLocation: { uri }, region: regionOf(range) } };
}

function regionOf({ start, end }: SourceRange): Json {
  return { startLine: start.line, startColumn: start.column, endLine: end.line, endColumn: end.column };
}

function fixOf(uri: string, { fix = [], rule }: LintWarning): Json {
  return {
    description: { text: `Put right what ${rule} found` },
    artifactChanges: [
      {
        artifactLocation: { uri },
        replacements: fix.map(({ range, text }) => ({
          deletedRegion: regionOf(range),
          insertedContent: { text },
        })),
      },
    ],
  };
}
