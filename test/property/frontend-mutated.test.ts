import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { OcibuildError } from '../../src/errors/error.ts';
import { runs } from '../support/runs.ts';
import { convert, image } from '../unit/frontend/support.ts';

const SEED = `# syntax=docker/dockerfile:1
# escape=\\
ARG BASE=base
FROM \${BASE} AS build
ARG A=1 B="x y"
ENV P=/bin Q=\${A:-z} R="\${P%in}"
RUN --network=none echo $A \\
  # comment
  && <<EOF cat
text
EOF
COPY --chown=1:2 --chmod=644 a* ["b c"] /d/
ONBUILD COPY --from=0 x y
HEALTHCHECK --interval=3s CMD ["a"]
EXPOSE 80-90/udp
FROM build
COPY --link --from=build <<X y /z/
$A
X
WORKDIR a/\${Q#?}
CMD ["x", "y"]
`;

const CORPUS = join(import.meta.dirname, '../conformance/dockerfile');

/** Every Dockerfile that Docker was asked about, but for the one that is long on purpose. */
const FILES: readonly string[] = readdirSync(CORPUS)
  .map((name) => readFileSync(join(CORPUS, name, 'Dockerfile'), 'utf8'))
  .filter((text) => text.length < 4000);

const MARKS = [...'\\"\'`${}[]<>#=-:/,*?%\n\r\t é😀0', '\uFEFF'];
/** Words of the newer language. */
const NEW = [
  '# syntax=ocibuild\n',
  '//syntax=x\n',
  ' --mount=type=cache,target=/c,from=0,source=x ',
  ' --mount=type=secret,id=s,env=S,required ',
  ' --mount=type=bind,from=$X,target=. ',
  ' --security=insecure --device=a/b=c ',
  ' --parents --exclude=**/*.x ',
  ' --checksum=sha256:0 ',
  ' --if-exists ',
  ' --reset=env ',
  'FROM file:x#y\n',
  'ADD https://x.org/a.git?ref=v1#b:c /\n',
  ' << E ',
  '3<<-"E"',
  '\nE\n',
  '# check=skip=all;error=true\n',
];

const piece = fc.oneof(
  fc.string({ unit: fc.constantFrom(...MARKS), maxLength: 4 }),
  fc.constantFrom(
    'FROM ',
    '<<EOF',
    'COPY ',
    '--from=',
    'ONBUILD ',
    '\nRUN ',
    `\${x:?y}`,
    'AS ',
    '\\\n',
    '["',
  ),
);
/** `at` is a share of the text. */
const edit = fc.record({
  at: fc.double({ min: 0, max: 1, noNaN: true }),
  cut: fc.nat(12),
  put: fc.oneof(piece, fc.constantFrom(...NEW)),
});

function mutate(text: string, edits: readonly { at: number; cut: number; put: string }[]): string {
  return edits.reduce((each, { at, cut, put }) => {
    const place = Math.floor(at * each.length);
    return each.slice(0, place) + put + each.slice(place + cut);
  }, text);
}

/** Bases are images that exist, whatever their names, and some have triggers. */
async function convertAnything(text: string): Promise<void> {
  const resolver = {
    resolve: async (name: string) =>
      image(
        'any',
        name.length % 3 === 0 ? { OnBuild: ['COPY --from=tool a b', `RUN --mount=from=${name} x`] } : {},
      ),
  };
  try {
    const { config } = await convert(text, { resolver, localContexts: { ctx: {} } });
    expect(config.rootfs.diff_ids).toEqual([]);
  } catch (error) {
    expect(error).toBeInstanceOf(OcibuildError);
    expect(error).not.toHaveProperty('code', 'INTERNAL');
  }
}

describe('convertDockerfile() on mutated files', () => {
  it('gives a result or throws an OcibuildError when characters are cut and put in', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(edit, { minLength: 1, maxLength: 4 }), async (edits) => {
        await convertAnything(mutate(SEED, edits));
      }),
      runs(200),
    );
  });

  it('does the same when the file is one of the corpus', async () => {
    expect(FILES.length).toBeGreaterThan(500);
    const file = fc.constantFrom(...FILES);
    await fc.assert(
      fc.asyncProperty(file, fc.array(edit, { maxLength: 3 }), async (text, edits) => {
        await convertAnything(mutate(text, edits));
      }),
      runs(400),
    );
  });

  it('does the same when pieces of two files are put together', async () => {
    const file = fc.constantFrom(...FILES);
    const share = fc.double({ min: 0, max: 1, noNaN: true });
    await fc.assert(
      fc.asyncProperty(file, file, share, async (first, second, at) => {
        const [cut, from] = [Math.floor(at * first.length), Math.floor((1 - at) * second.length)];
        await convertAnything(first.slice(0, cut) + second.slice(from));
      }),
      runs(200),
    );
  });
});
