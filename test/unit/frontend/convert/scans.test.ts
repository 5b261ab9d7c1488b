import { describe, expect, it } from 'vitest';
import { convert } from '../support.ts';

const STAGES = `FROM base AS deps
RUN a
FROM base AS tools
ARG BUILDKIT_SBOM_SCAN_STAGE
RUN b
FROM deps AS unused
RUN c
FROM deps
COPY --from=tools /x /x
`;
const KEY = 'BUILDKIT_SBOM_SCAN_STAGE';

async function scanned(text: string, buildArgs: Readonly<Record<string, string>> = {}): Promise<string[]> {
  const { scans = [], target } = await convert(text, { buildArgs, scan: true });
  expect(scans.map(({ root }) => root)).not.toContain(target);
  return scans.map(({ name }) => name);
}

describe('stages and the context of an SBOM', () => {
  it('are those that an ARG before the first FROM names, as far as the target needs them', async () => {
    expect(await scanned(`ARG ${KEY}=true\n${STAGES}`)).toEqual(['deps', 'tools']);
    expect(await scanned(`ARG ${KEY}=tools,unused\n${STAGES}`)).toEqual(['tools']);
    expect(await scanned(`ARG ${KEY}=false\n${STAGES}`)).toEqual([]);
    expect(await scanned(`ARG ${KEY}=true\n${STAGES}`, { [KEY]: 'deps' })).toEqual(['deps']);
  });

  it('are the stage that an ARG stands in, and not those on top of it', async () => {
    expect(await scanned(STAGES)).toEqual([]);
    expect(await scanned(STAGES, { [KEY]: '1' })).toEqual(['tools']);
    expect(await scanned(STAGES.replace('RUN a', `ARG ${KEY}=1\nRUN a`))).toEqual(['deps']);
  });

  it('are the context as one layer, and nothing that other builds see', async () => {
    const text = 'ARG BUILDKIT_SBOM_SCAN_CONTEXT=1\nFROM base\nRUN a\n';
    expect(await scanned(text)).toEqual(['context']);
    const [plain, scan] = [await convert(text), await convert(text, { scan: true })];
    expect(plain.scans).toBeUndefined();
    expect(scan.target).toBe(plain.target);
    expect(scan.definition.vertices.size).toBe(plain.definition.vertices.size + 2);
  });
});
