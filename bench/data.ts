import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** Deterministic numbers in [0, 1): the same seed gives the same tree on every machine (mulberry32). */
export function createRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const WORDS =
  'const return function import export value index options module require length string number object array result error path buffer stream encode decode parse format cache entry layer digest config default undefined prototype callback'.split(
    ' ',
  );

/** Text that gzip packs about as well as JavaScript sources: common words, fresh names, punctuation. */
export function createText(random: () => number, bytes: number): Buffer {
  const parts: string[] = [];
  for (let size = 0; size < bytes; ) {
    const fresh = random() < 0.3;
    const word = fresh ? random().toString(36).slice(2, 9) : WORDS[Math.floor(random() * WORDS.length)];
    const end = random() < 0.15 ? ';\n  ' : random() < 0.2 ? '(' : ' ';
    parts.push(`${word}${end}`);
    size += (word?.length ?? 0) + end.length;
  }
  return Buffer.from(parts.join('')).subarray(0, bytes);
}

export interface TreeOptions {
  readonly files: number;
  readonly totalBytes: number;
  readonly seed: number;
}

/** Fills `folder` with a tree shaped like node_modules: many small files, a few large, 20 to a folder. */
export function writeTree(folder: string, { files, totalBytes, seed }: TreeOptions): void {
  const random = createRandom(seed);
  const pool = createText(random, 8 << 20);
  // Sizes follow a square law, then are scaled to the asked-for total.
  const weights = Array.from({ length: files }, () => 0.02 + random() ** 4);
  const scale = totalBytes / weights.reduce((sum, weight) => sum + weight, 0);
  for (const [index, weight] of weights.entries()) {
    const path = join(
      folder,
      `pkg-${Math.floor(index / 200)}`,
      `lib-${Math.floor(index / 20) % 10}`,
      `file-${index}.js`,
    );
    const size = Math.max(1, Math.round(weight * scale));
    const start = Math.floor(random() * Math.max(1, pool.length - size));
    const body = pool.subarray(start, start + Math.min(size, pool.length));
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, Buffer.concat([Buffer.from(`// ${index} ${random()}\n`), body]));
  }
}
