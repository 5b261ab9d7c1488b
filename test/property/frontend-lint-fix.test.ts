import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { convertDockerfile } from '../../src/frontend/convert/convert.ts';
import type { FrontendResult } from '../../src/frontend/types.ts';
import { runs } from '../support/runs.ts';
import { anyImage, fixed } from '../unit/frontend/lint/support.ts';

const word = fc.string({ unit: fc.constantFrom(...'abB1_-./:,'), minLength: 1, maxLength: 6 });
const value = fc.string({ unit: fc.constantFrom(...'ab $P{}"\'\\`=,\t'), minLength: 1, maxLength: 8 });
const name = fc.constantFrom('One', 'two', 'THREE');
const keyword = (text: string) => fc.constantFrom(text, text.toLowerCase());
const line = (...parts: (fc.Arbitrary<string> | string)[]): fc.Arbitrary<string> =>
  fc
    .tuple(...parts.map((part) => (typeof part === 'string' ? fc.constant(part) : part)))
    .map((all) => all.join(''));

/** Instructions that rules with a fix object to, in all the forms that they can have. */
const instruction = fc.oneof(
  line(keyword('ENV'), ' ', word, ' ', value),
  line(keyword('LABEL'), ' ', word, '  ', value),
  line(keyword('ENV'), ' A=1 ', fc.constantFrom('', '\\\n\n  ', '\\\n# note\n\n'), 'B=$A'),
  line(keyword('MAINTAINER'), ' ', value),
  line(keyword('EXPOSE'), ' ', fc.constantFrom('80/TCP', '1:2 3/Udp', '[::1]:1:2/TCP 5', '$P/TCP')),
  line(
    keyword('CMD'),
    ' ',
    fc.array(fc.oneof(word, value), { minLength: 1, maxLength: 3 }).map((all) => all.join(' ')),
  ),
  line(keyword('ENTRYPOINT'), ' ', fc.constantFrom('["x"]', 'run it', 'exec x', '/bin/x ~')),
  line(keyword('COPY'), ' --from=', name, ' a /b'),
  line(keyword('RUN'), ' --mount=type=bind,from=', name, ',target=/m x'),
);
const stage = fc.tuple(
  line(
    keyword('FROM'),
    ' ',
    fc.constantFrom('', '--platform=$TARGETPLATFORM ', '--platform=${TARGETPLATFORM} \\\n '),
    fc.constantFrom('base', 'One', 'two'),
    ' ',
    fc.constantFrom('as ', 'AS '),
    name,
  ),
  fc.array(instruction, { maxLength: 6 }),
);
const file = fc
  .tuple(fc.constantFrom('', '# escape=`\n'), fc.array(stage, { minLength: 1, maxLength: 3 }))
  .map(
    ([head, stages]) =>
      head +
      stages
        .flatMap(([from, body]) => [from, ...body])
        .map((each) => `${each}\n`)
        .join(''),
  );

describe('fixes', () => {
  it('change nothing of a build but what they are for', async () => {
    let compared = 0;
    await fc.assert(
      fc.asyncProperty(file, async (text) => {
        const before = await meaning(text);
        const after = await fixed(text);
        if (before === undefined) return;
        expect(await meaning(after), after).toEqual(before);
        expect(await fixed(after)).toBe(after);
        if (after !== text) compared++;
      }),
      runs(150),
    );
    expect(compared).toBeGreaterThan(30);
  });
});

/** Graph and config without history, with what MAINTAINER and the JSON form of a command change on purpose made equal;
 * undefined: no build. */
async function meaning(text: string): Promise<unknown> {
  let result: FrontendResult;
  try {
    result = await convertDockerfile(anyImage(text));
  } catch {
    return undefined;
  }
  const {
    author,
    history: _written,
    config = {},
    ...image
  } = result.config as FrontendResult['config'] & { author?: string };
  const { 'org.opencontainers.image.authors': label, ...labels } = config.Labels ?? {};
  const plain = (command: readonly string[] | null | undefined) =>
    (command ?? [])
      .join(' ')
      .replace(/^\/bin\/sh -c /, '')
      .replace(/\s+/g, ' ')
      .trim();
  return {
    image,
    author: label ?? author ?? '',
    labels,
    config: { ...config, Labels: undefined, Cmd: plain(config.Cmd), Entrypoint: plain(config.Entrypoint) },
    target: result.target,
    vertices: [...result.definition.vertices.keys()],
  };
}
