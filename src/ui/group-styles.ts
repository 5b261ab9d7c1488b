import { randomBytes } from 'node:crypto';
import type { SourceRef } from '../errors/source.ts';
import type { GroupHeader, GroupStyle } from './grouped.ts';

/** Blocks with a heading, for people. */
export function plainGroups(): GroupStyle {
  return {
    open: ({ index, name, again }) => `\n#${index} ${name}${again ? ' (goes on)' : ''}\n`,
    close: () => '',
    warning: (text) => `\nwarning: ${text}\n`,
    failure: () => '',
  };
}

/**
 * Folds of a GitHub Actions log. What a step prints cannot be taken for a command of the workflow: commands are off
 * between a token that nobody can guess.
 * @see https://docs.github.com/actions/reference/workflow-commands-for-github-actions
 */
export function githubGroups(pathOf: (name: string) => string = (name) => name): GroupStyle {
  const token = randomBytes(16).toString('hex');
  return {
    open: (step) => `::group::${escapeData(title(step))}\n::stop-commands::${token}\n`,
    close: () => `::${token}::\n::endgroup::\n`,
    warning: (text, source) => `::warning${place(source, pathOf)}::${escapeData(text)}\n`,
    failure: (text, source) => `::error${place(source, pathOf)}::${escapeData(text)}\n`,
  };
}

/** Sections of a GitLab job log. @see https://docs.gitlab.com/ci/jobs/job_logs/ */
export function gitlabGroups(): GroupStyle {
  const mark = (what: string, { index, timeMs }: GroupHeader): string =>
    `\u001b[0Ksection_${what}:${Math.floor(timeMs / 1000)}:ocibuild_step_${index}`;
  return {
    open: (step) => `${mark('start', step)}[collapsed=${step.again}]\r\u001b[0K${title(step)}\n`,
    close: (step) => `${mark('end', step)}\r\u001b[0K\n`,
    warning: (text) => `\u001b[33mwarning: ${text}\u001b[0m\n`,
    failure: (text) => `\u001b[31merror: ${text}\u001b[0m\n`,
  };
}

function title({ index, name, again }: GroupHeader): string {
  return `#${index} ${name}${again ? ' (goes on)' : ''}`;
}

function place(source: SourceRef | undefined, pathOf: (name: string) => string): string {
  const line = source?.ranges[0]?.start.line;
  if (source === undefined || line === undefined) return '';
  return ` file=${escapeProperty(pathOf(source.file.name))},line=${line}`;
}

function escapeData(text: string): string {
  return text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A');
}

function escapeProperty(text: string): string {
  return escapeData(text).replaceAll(':', '%3A').replaceAll(',', '%2C');
}
