import type { OcibuildConfig } from './types.ts';

/**
 * Gives its argument back: for the types of an `ocibuild.config.ts`.
 * @example
 * export default defineConfig({ builds: { api: { context: './api', tags: 'api:v1' } } });
 */
export function defineConfig(config: OcibuildConfig): OcibuildConfig {
  return config;
}
