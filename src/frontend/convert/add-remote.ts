import type { GitSource, HttpSource } from '../../llb/ops.ts';
import { flagRange } from '../parse/copy-values.ts';
import { flagError, instructionError } from '../parse/flags.ts';
import type { CopyInstruction } from '../parse/instructions.ts';
import { parseGitRef, parseHttpRef } from '../parse/remote-ref.ts';

/** What Docker gives a downloaded file. */
const DOWNLOAD_MODE = 0o600;
const HEX_DIGITS: Readonly<Record<string, number>> = { sha256: 64, sha384: 96, sha512: 128 };

/**
 * What a source of ADD names on the network; undefined for a path.
 * @param checksum expanded
 * @throws DOCKERFILE_INSTRUCTION_INVALID for COPY, which takes paths only; DOCKERFILE_FLAG_INVALID
 */
export function remoteSource(
  instruction: CopyInstruction,
  text: string,
  checksum: string | undefined,
): HttpSource | GitSource | undefined {
  const { raw, kind } = instruction;
  const git = parseGitRef(text, raw);
  const http = git === undefined ? parseHttpRef(text) : undefined;
  if (git === undefined && http === undefined) return undefined;
  if (kind === 'COPY') {
    throw instructionError(raw, 'DOCKERFILE_INSTRUCTION_INVALID', {
      message: `Cannot copy "${text}": COPY takes paths only`,
      hint: 'use ADD for URLs and git repositories',
    });
  }
  if (git !== undefined) return gitSource(instruction, git, checksum);
  if (http === undefined) return undefined;
  return {
    type: 'http',
    ...http,
    mode: DOWNLOAD_MODE,
    ...(checksum ? { checksum: contentDigest(instruction, checksum) } : {}),
  };
}

/** `--checksum` stands for one download or checkout. @throws DOCKERFILE_FLAG_INVALID */
export function checkChecksum({ raw }: CopyInstruction, about: { remotes: number; sources: number }): void {
  const wrong =
    about.sources > 1
      ? 'it has several sources, and a checksum stands for one'
      : about.remotes === 0
        ? 'its source is neither a URL nor a git repository'
        : undefined;
  if (wrong === undefined) return;
  throw flagError(raw, { range: flagRange(raw, 'checksum') }, `Cannot check the content of ADD: ${wrong}`);
}

function gitSource(
  { raw, keepGitDir }: CopyInstruction,
  git: GitSource,
  checksum: string | undefined,
): GitSource {
  const range = flagRange(raw, 'checksum');
  if (checksum && !/^[0-9a-f]{7,64}$/.test(checksum)) {
    const message = `Cannot use "--checksum=${checksum}": expected the start of a commit, 7 or more hex digits`;
    throw flagError(raw, { range }, message);
  }
  if (checksum && git.checksum !== undefined && git.checksum !== checksum) {
    const message = `Cannot use "--checksum=${checksum}": the address asks for commit "${git.checksum}"`;
    throw flagError(raw, { range }, message);
  }
  return {
    ...git,
    ...(checksum ? { checksum } : {}),
    ...(keepGitDir === undefined ? {} : { keepGitDir }),
  };
}

function contentDigest({ raw }: CopyInstruction, checksum: string): string {
  const [algorithm = '', hex = ''] = checksum.split(':', 2);
  const digits = Object.hasOwn(HEX_DIGITS, algorithm) ? HEX_DIGITS[algorithm] : undefined;
  const wrong =
    digits === undefined
      ? `"${algorithm}" is none of ${Object.keys(HEX_DIGITS).join(', ')}`
      : !/^[0-9a-f]*$/.test(hex) || hex.length !== digits
        ? `expected ${digits} lower-case hex digits after "${algorithm}:"`
        : undefined;
  if (wrong === undefined) return checksum;
  throw flagError(
    raw,
    { range: flagRange(raw, 'checksum') },
    `Cannot use "--checksum=${checksum}": ${wrong}`,
  );
}
