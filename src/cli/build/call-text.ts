import type { CheckResult } from '../../build/describe.ts';
import { redact } from '../../errors/redact.ts';
import type { SourceFile } from '../../errors/source.ts';
import type { LintWarning, Outline, TargetInfo } from '../../frontend/types.ts';
import { table } from '../table.ts';
import { SUBREQUEST_VERSION, SUBREQUESTS } from './call-json.ts';

/** Lines shown before and behind the ones at fault. */
const LINES_AROUND = 2;

/** The layout of buildx. */
export function checkText({ warnings, dockerfile, fixed }: CheckResult): string {
  const count = warnings.length;
  const found =
    count === 0
      ? 'no warnings found.'
      : count === 1
        ? '1 warning has been found!'
        : `${count} warnings have been found!`;
  const notes =
    fixed === 0 ? '' : `Fixed ${fixed === 1 ? '1 finding' : `${fixed} findings`} in ${dockerfile.name}.\n`;
  return redact(
    `${notes}Check complete, ${found}\n${warnings.map((each) => `\n${warningText(each, each.file ?? dockerfile)}`).join('')}`,
  );
}

export function outlineText({ name, description, args, secrets, ssh, caches }: Outline): string {
  const head = [
    ...(name === undefined ? [] : [`TARGET:      ${name}`]),
    ...(description === undefined ? [] : [`DESCRIPTION: ${description}`]),
  ];
  const required = (list: Outline['secrets']) => list.map((each) => [each.name, each.required ? 'true' : '']);
  const parts = [
    head.map((line) => `${line}\n`).join(''),
    listed(
      ['BUILD ARG', 'VALUE', 'DESCRIPTION'],
      args.map((arg) => [arg.name, arg.value ?? '', arg.description ?? '']),
    ),
    listed(['SECRET', 'REQUIRED'], required(secrets)),
    listed(['SSH', 'REQUIRED'], required(ssh)),
    listed(
      ['CACHE'],
      caches.map((cache) => [cache.name]),
    ),
  ];
  return redact(parts.filter((part) => part !== '').join('\n'));
}

export function targetsText(list: readonly TargetInfo[]): string {
  const rows = list.map(({ name, description = '', isDefault }) => [
    [name ?? '', isDefault ? '(default)' : ''].filter((part) => part !== '').join(' '),
    description,
  ]);
  return redact(table([['TARGET', 'DESCRIPTION'], ...rows], 1));
}

export function subrequestsText(): string {
  const rows = SUBREQUESTS.map(({ name, description }) => [name, SUBREQUEST_VERSION, description]);
  return table([['NAME', 'VERSION', 'DESCRIPTION'], ...rows], 1);
}

function warningText(warning: LintWarning, file: SourceFile): string {
  const { start, end } = warning.lines ?? warning.range;
  const texts = file.text.split(/\r?\n/);
  const rule = '-'.repeat(20);
  const shown: string[] = [];
  const last = Math.min(end.line + LINES_AROUND, texts.length);
  for (let line = Math.max(start.line - LINES_AROUND, 1); line <= last; line++) {
    const mark = line >= start.line && line <= end.line ? '>>> ' : '    ';
    shown.push(`${String(line).padStart(4)} | ${mark}${texts[line - 1] ?? ''}`);
  }
  return [
    `WARNING: ${warning.rule} - ${warning.url}`,
    warning.message,
    `${file.name}:${start.line}`,
    rule,
    ...shown,
    rule,
    '',
  ].join('\n');
}

/** Nothing where there are no rows. */
function listed(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return rows.length === 0 ? '' : table([head, ...rows], 3);
}
