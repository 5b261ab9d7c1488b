import { readText } from './read-text.ts';

/** What a JSON file holds; undefined where it is missing or damaged, as a power loss may leave it. */
export function readJson<T>(path: string): T | undefined {
  try {
    return JSON.parse(readText(path) ?? '') as T;
  } catch {
    return undefined;
  }
}
