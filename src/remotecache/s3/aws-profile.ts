import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { errnoOf } from '../../util/atomic-fs.ts';

type Env = Readonly<Record<string, string | undefined>>;
/** Settings of one section of a file. */
export type ProfileSettings = Readonly<Record<string, string>>;

/**
 * What the profile of `AWS_PROFILE` (else `default`) says in AWS's two files, those of the credentials file first.
 * Undefined: neither file has it. @see AWS SDKs and Tools Reference Guide §Shared config and credentials files
 */
export function readProfile(env: Env): ProfileSettings | undefined {
  const name = profileName(env);
  const home = join(env.HOME || homedir(), '.aws');
  const credentials = sectionsOf(env.AWS_SHARED_CREDENTIALS_FILE || join(home, 'credentials')).get(name);
  const config = sectionsOf(env.AWS_CONFIG_FILE || join(home, 'config'));
  // In the config file all but the default one say what they are.
  const configured = config.get(`profile ${name}`) ?? (name === 'default' ? config.get(name) : undefined);
  if (credentials === undefined && configured === undefined) return undefined;
  return { ...configured, ...credentials };
}

export function profileName(env: Env): string {
  return env.AWS_PROFILE || env.AWS_DEFAULT_PROFILE || 'default';
}

function sectionsOf(file: string): Map<string, Record<string, string>> {
  const sections = new Map<string, Record<string, string>>();
  let current: Record<string, string> | undefined;
  for (const line of textOf(file).split(/\r?\n/)) {
    const header = /^\s*\[\s*([^\]]*?)\s*\]/.exec(line)?.[1]?.replace(/\s+/g, ' ');
    if (header !== undefined) {
      current = sections.get(header) ?? {};
      sections.set(header, current);
      continue;
    }
    // Indented lines are settings inside of a setting (`s3 =`), of which we need none.
    const [, key, value] = /^([^\s#;=][^=]*?)\s*=\s*(.*?)\s*$/.exec(line) ?? [];
    if (key !== undefined && value !== undefined && current !== undefined) {
      current[key.toLowerCase()] = value.replace(/\s+[#;].*$/, '');
    }
  }
  return sections;
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    // One that this user may not read holds nothing for this user.
    if (['ENOENT', 'ENOTDIR', 'EACCES', 'EISDIR'].includes(errnoOf(error) ?? '')) return '';
    throw error;
  }
}
