// The licences of what a bundle holds: most of them ask that their text goes wherever the code goes.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** @param root where node_modules is; @param inputs paths of modules relative to it, as esbuild's metafile has them */
export function noticesOf(root, inputs) {
  const names = new Set(
    inputs.map((path) => /.*node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[0]).filter(Boolean),
  );
  const parts = new Set([...names].sort().map((path) => noticeOf(join(root, path))));
  return ['What is bundled here, and the terms of each part.', ...parts].join(`\n\n${'-'.repeat(80)}\n\n`);
}

function noticeOf(dir) {
  const { name, version, license = 'unknown' } = JSON.parse(readFileSync(join(dir, 'package.json'), 'utf8'));
  const texts = readdirSync(dir)
    .filter((file) => /^(licen[cs]e|notice|copying)/i.test(file))
    .map((file) => readFileSync(join(dir, file), 'utf8').trim());
  return [`${name} ${version} (${typeof license === 'string' ? license : license.type})`, ...texts].join(
    '\n\n',
  );
}
