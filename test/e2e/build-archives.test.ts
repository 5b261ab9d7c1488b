import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { checkedLayout } from '../support/images.ts';
import { createProject } from './cli-support.ts';

/** A tar with the file `f`, which says hello, by `bzip2` and by `xz`, in base64. */
const BZIP2_TAR =
  'QlpoOTFBWSZTWf/hyE8AAHD7hMmQAERAAGWAAADjRJ4AAACACCAAVDSJkYTT0AJ6CSp5IaZMgDQW+4m7oQRvASM6RKzywK3JIGDth7M0Elv0QX49RqZVqwebJrY+Bjb9IwIjSIgOC7kinChIf/DkJ4A=';
const XZ_TAR =
  '/Td6WFoAAATm1rRGAgAhARYAAAB0L+Wj4Cf/AF9dADMAM1AYaImDAdzibkdnUCbaMYkclpBPWVwqyA2vshrqXeB6UvwBMMS0jKw38DCuZ2pyQLNzFhWm8nrXV9DBMgwgyE5GEaiDNOc/PAnqwN+mqyk+vUv+yUSzcy+yyTQAAABZWkLOMxCOSQABe4BQAAAA75Zb2LHEZ/sCAAAAAARZWg==';

describe('the bundled command line', () => {
  it('unpacks archives of bzip2 and xz', async () => {
    const project = createProject({ Dockerfile: 'FROM scratch\nADD b /b/\nADD x /x/\n' });
    writeFileSync(join(project.dir, 'b'), Buffer.from(BZIP2_TAR, 'base64'));
    writeFileSync(join(project.dir, 'x'), Buffer.from(XZ_TAR, 'base64'));
    const { code, stderr } = await project.run(['-t', 'app', '.']);
    expect(code, stderr).toBe(0);
    const { files } = await checkedLayout(project.store, 'app:latest');
    expect([files.get('/b/f')?.text, files.get('/x/f')?.text]).toEqual(['hello\n', 'hello\n']);
  });
});
