import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { createCredentialStore } from '../../../src/registry/credentials.ts';

const dir = mkdtempSync(join(tmpdir(), 'ocibuild-credentials-'));
afterAll(() => rmSync(dir, { recursive: true }));

test('createCredentialStore() asks a helper again when the first to ask was cancelled', async () => {
  const bin = join(dir, 'bin');
  mkdirSync(bin);
  const answer = '{"Username":"me","Secret":"word"}';
  writeFileSync(
    join(bin, 'docker-credential-slow'),
    `#!/bin/sh\n[ -e ${dir}/ready ] || exec sleep 600\necho '${answer}'\n`,
    { mode: 0o755 },
  );
  writeFileSync(join(dir, 'config.json'), '{"credsStore":"slow"}');
  const store = createCredentialStore({ DOCKER_CONFIG: dir, PATH: `${bin}:/usr/bin:/bin` });
  const scope = { registry: 'registry.example', repository: 'app' };
  const controller = new AbortController();
  const first = store.find(scope, controller.signal);
  controller.abort();
  await expect(first).rejects.toMatchObject({ code: 'CANCELLED' });
  writeFileSync(join(dir, 'ready'), '');
  await expect(store.find(scope, new AbortController().signal)).resolves.toMatchObject({
    credential: { kind: 'password', username: 'me', password: 'word' },
  });
});
