import { writeFileSync } from 'node:fs';
import { extname } from 'node:path';
import { digestSet } from '../../attest/purl.ts';
import type { Subject } from '../../attest/types.ts';
import { OcibuildError } from '../../errors/error.ts';
import { platformDir } from '../../exporter/split-trees.ts';
import type { ExportTree } from '../../exporter/types.ts';
import { hashTree } from '../../layer/tree/hash-tree.ts';
import { compareEntries } from '../../layer/tree/tree.ts';
import type { Tree, TreeEntry } from '../../layer/types.ts';
import type { FileOutput } from '../options.ts';
import type { AttestedImage, Attester } from './attester.ts';

export interface AttestationFilesOptions {
  readonly attester: Attester;
  readonly output: FileOutput;
  /** Files of several images lie in one directory: the names say for which platform they are. */
  readonly named: boolean;
  readonly mtimeSec: number;
  /** Names a file that goes when the output is written. */
  readonly tempPath: () => string;
  readonly signal: AbortSignal;
}

/**
 * The files of an image with what is said about it beside them. The subjects are the files.
 * @throws EXPORT_TARGET_INVALID where the image has a file of such a name
 */
export async function withAttestations(
  files: ExportTree,
  image: AttestedImage,
  options: AttestationFilesOptions,
): Promise<ExportTree> {
  const { attester, output, mtimeSec, signal } = options;
  const hashed = await hashTree(files.tree, ({ path }) => ({ path: files.content(path) }), { signal });
  const paths = new Map<string, string>();
  const added: TreeEntry[] = [];
  for (const { name, text } of await attester.files(image, subjectsOf(hashed), output)) {
    const path = `${output.attestationPrefix ?? ''}${options.named ? nameFor(name, image) : name}`;
    if (paths.has(path) || hashed.some((entry) => entry.path === path)) throw clash(path);
    const temp = options.tempPath();
    writeFileSync(temp, text, { mode: 0o600, flag: 'wx' });
    paths.set(path, temp);
    const size = Buffer.byteLength(text);
    added.push({ path, type: 'file', mode: 0o600, uid: 0, gid: 0, size, mtimeSec });
  }
  return {
    tree: [...hashed, ...added].sort(compareEntries),
    content: (path) => paths.get(path) ?? files.content(path),
  };
}

function subjectsOf(tree: Tree): Subject[] {
  const digests = new Map(tree.flatMap(({ path, digest }) => (digest === undefined ? [] : [[path, digest]])));
  return tree.flatMap(({ path, type, link }): Subject[] => {
    const digest =
      type === 'file' ? digests.get(path) : type === 'hardlink' ? digests.get(link ?? '') : undefined;
    return digest === undefined ? [] : [{ name: path, digest: digestSet(digest) }];
  });
}

/** `provenance.json` → `provenance.linux_arm64.json` */
function nameFor(name: string, { planned }: AttestedImage): string {
  const extension = extname(name);
  return `${name.slice(0, name.length - extension.length)}.${platformDir(planned.platform)}${extension}`;
}

function clash(path: string): OcibuildError {
  return new OcibuildError(
    'EXPORT_TARGET_INVALID',
    `Cannot write the attestation "${path}": the image has a file of that name`,
    { hint: 'give its name a beginning of its own: attestation-prefix=NAME-', details: { path } },
  );
}
