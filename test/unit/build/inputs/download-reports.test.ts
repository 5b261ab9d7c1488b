import { expect, it } from 'vitest';
import { createDownloadReports, createGitReports } from '../../../../src/build/inputs/download-reports.ts';
import { OcibuildError } from '../../../../src/errors/error.ts';
import type { ProgressEvent } from '../../../../src/solver/types.ts';

it('createDownloadReports() shows a step with its bytes, now and then, when there are bytes to fetch', () => {
  const seen: ProgressEvent[] = [];
  let time = 0;
  const reports = createDownloadReports(
    (event) => seen.push(event),
    () => time,
  );
  const report = reports('https://files.example/a/app.tar.gz?x=1');
  for (const [ms, bytes] of [
    [0, 10],
    [50, 20],
    [120, 30],
    [150, 40],
  ] as const) {
    time = ms;
    report.bytes(bytes, 40);
  }
  report.end({ size: 40 });
  reports('https://files.example/known').end({ size: 5 });
  const vertex = 'internal:fetching https://files.example/a/app.tar.gz?x=1';
  const part = { kind: 'status', vertex, id: 'app.tar.gz', total: 40 };
  expect(seen).toEqual([
    { kind: 'vertex', time: 0, vertex, name: 'fetching https://files.example/a/app.tar.gz?x=1' },
    { kind: 'started', time: 0, vertex },
    { ...part, time: 0, current: 10 },
    { ...part, time: 120, current: 30 },
    { ...part, time: 150, current: 40, done: true },
    { kind: 'completed', time: 150, vertex },
  ]);
});

it('createDownloadReports() ends a step with its error when a download fails, and says when it was cancelled', () => {
  const ends = [
    new OcibuildError('DOWNLOAD_FAILED', 'Cannot download'),
    new OcibuildError('CANCELLED', 'Cannot finish'),
  ].map((error) => {
    const seen: ProgressEvent[] = [];
    const report = createDownloadReports(
      (event) => seen.push(event),
      () => 0,
    )('https://files.example/');
    report.bytes(1, undefined);
    report.end({ error });
    return seen.at(-1);
  });
  expect(ends).toEqual([
    expect.objectContaining({
      kind: 'completed',
      error: expect.objectContaining({ code: 'DOWNLOAD_FAILED' }),
    }),
    expect.objectContaining({ kind: 'completed', cancelled: true }),
  ]);
});

it('createGitReports() shows a step with what git counts, now and then, from its begin to its end', () => {
  const seen: ProgressEvent[] = [];
  let time = 0;
  const report = createGitReports(
    (event) => seen.push(event),
    () => time,
  )('https://git.example/a.git');
  for (const [ms, current] of [
    [0, 1],
    [50, 20],
    [120, 30],
    [130, 40],
  ] as const) {
    time = ms;
    report.part('objects', current, 40);
  }
  report.end(new OcibuildError('GIT_FAILED', 'Cannot read'));
  const vertex = 'internal:fetching https://git.example/a.git';
  const part = { kind: 'status', vertex, id: 'objects', total: 40 };
  expect(seen).toEqual([
    { kind: 'vertex', time: 0, vertex, name: 'fetching https://git.example/a.git' },
    { kind: 'started', time: 0, vertex },
    { ...part, time: 0, current: 1 },
    { ...part, time: 120, current: 30 },
    { ...part, time: 130, current: 40, done: true },
    { kind: 'completed', time: 130, vertex, error: expect.objectContaining({ code: 'GIT_FAILED' }) },
  ]);
});
