import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { OcibuildError } from '../../src/errors/error.ts';
import { convert } from '../unit/frontend/support.ts';

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

const MARKS = [...'\\"\'`${}[]<>#=-:/,*?%\n\r\t é😀0', '\uFEFF'];
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
const edit = fc.record({ at: fc.nat(SEED.length), cut: fc.nat(12), put: piece });

describe('convertDockerfile() on mutated files', () => {
  it('gives a result or throws an OcibuildError when characters are cut and put in', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(edit, { minLength: 1, maxLength: 4 }), async (edits) => {
        const text = edits.reduce(
          (each, { at, cut, put }) => each.slice(0, at) + put + each.slice(at + cut),
          SEED,
        );
        try {
          const { config } = await convert(text);
          expect(config.rootfs.diff_ids).toEqual([]);
        } catch (error) {
          // The resolver of the tests knows one image and throws this for the others.
          if (error instanceof RangeError && error.message.startsWith('no image ')) return;
          expect(error).toBeInstanceOf(OcibuildError);
          expect(error).not.toHaveProperty('code', 'INTERNAL');
        }
      }),
      { numRuns: 600 },
    );
  });
});
