/**
 * Where a worker's code is. `base` is the caller's `import.meta.url`, `file` the module beside it with its `.ts` name;
 * the bundle puts every entry point and chunk side by side into one folder as `.js`.
 */
export function workerUrl(base: string, file: string): URL {
  const name = base.endsWith('.ts') ? file : file.slice(file.lastIndexOf('/') + 1).replace(/\.ts$/, '.js');
  return new URL(`./${name}`, base);
}
