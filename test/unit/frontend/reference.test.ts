import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { isOcibuildError } from '../../../src/errors/error.ts';
import { convertDockerfile } from '../../../src/frontend/convert/convert.ts';
import type { FrontendContext } from '../../../src/frontend/types.ts';
import { image, makeContext } from './support.ts';

const TEXT = readFileSync(resolve(import.meta.dirname, '../../../docs/dockerfile.md'), 'utf8');

/** The examples by the heading above them. */
const EXAMPLES = [...TEXT.matchAll(/^```dockerfile\n(.*?)^```$/gms)].map(({ 1: code = '', index }) => ({
  title:
    TEXT.slice(0, index)
      .match(/^#+ .*$/gm)
      ?.at(-1) ?? '',
  code,
}));

function contextOf(text: string): FrontendContext {
  const files = new Map<string, { name: string; text: string }>();
  return {
    ...makeContext(text),
    allow: ['network.host', 'security.insecure', 'device'],
    resolver: { resolve: async (name) => image(name) },
    readDockerfile(path) {
      const file = files.get(path) ?? { name: path, text: 'FROM alpine AS runtime\nRUN tool' };
      files.set(path, file);
      return file;
    },
  };
}

/** What our own message says that an instruction takes. */
async function flagsOf(keyword: string): Promise<string[]> {
  const line = keyword === 'FROM' ? 'FROM --nonsense=1 x' : `FROM x\n${keyword} --nonsense=1 CMD x y`;
  const error: unknown = await convertDockerfile(contextOf(line)).catch((caught: unknown) => caught);
  if (!isOcibuildError(error)) throw new RangeError(`"${line}" was taken`);
  return error.message.match(/--(?!nonsense)[a-z-]+/g) ?? [];
}

/** The part below a heading, up to the next of its level. */
function sectionOf(heading: string): string {
  const start = TEXT.indexOf(`\n${heading}\n`);
  const end = TEXT.indexOf(`\n${heading.split(' ')[0]} `, start + 1);
  return start < 0 ? '' : TEXT.slice(start, end < 0 ? undefined : end);
}

describe('docs/dockerfile.md', () => {
  it.each(EXAMPLES)('has an example that is right below "$title"', async ({ code }) => {
    const result = await convertDockerfile(contextOf(code));
    expect(result.target).toBeDefined();
    expect(result.warnings.map(({ rule, message }) => `${rule}: ${message}`)).toEqual([]);
  });

  it.each(['FROM', 'RUN', 'COPY', 'ADD', 'HEALTHCHECK'])('names all flags of %s', async (keyword) => {
    const flags = await flagsOf(keyword);
    expect(flags.length).toBeGreaterThan(1);
    const section = sectionOf(`### ${keyword}`);
    expect(flags.filter((flag) => !section.includes(flag))).toEqual([]);
  });

  it('has a section for every instruction', () => {
    const keywords =
      'ADD ARG CMD COPY ENTRYPOINT ENV EXPOSE FROM HEALTHCHECK LABEL MAINTAINER ONBUILD RUN SHELL STOPSIGNAL USER VOLUME WORKDIR';
    const headings = TEXT.match(/^### .*$/gm)?.join(' ') ?? '';
    expect(keywords.split(' ').filter((keyword) => !new RegExp(`\\b${keyword}\\b`).test(headings))).toEqual(
      [],
    );
  });

  it('links to headings that exist', () => {
    const anchors = (TEXT.match(/^#+ .*$/gm) ?? []).map((heading) =>
      heading
        .replace(/^#+ /, '')
        .toLowerCase()
        .replace(/[^a-z0-9 _-]/g, '')
        .replaceAll(' ', '-'),
    );
    const links = [...TEXT.matchAll(/\]\(#([^)]*)\)/g)].map(([, anchor]) => anchor);
    expect(links.filter((anchor) => anchor === undefined || !anchors.includes(anchor))).toEqual([]);
  });
});
