import { existsSync } from 'node:fs';
import { readHandlers } from '../../executor/binfmt.ts';
import { foreignArchitectures, isDynamic, readHead } from '../../executor/elf.ts';
import { findProgram } from '../../executor/find-program.ts';
import { hostPlatform } from '../../image/platform.ts';
import type { Finding, Machine } from './types.ts';

const BINFMT_DIR = '/proc/sys/fs/binfmt_misc';

/** Platforms whose RUN steps this machine can run. */
export function probeEmulation({ searchPath, install }: Machine): Finding {
  const { architecture: native } = hostPlatform();
  const registered = readHandlers(BINFMT_DIR)
    .filter(({ interpreter, isFixed }) => isFixed || existsSync(interpreter))
    .map(({ interpreter }) => interpreter);
  const foreign = foreignArchitectures(native).filter(({ qemu }) => {
    if (registered.some((path) => new RegExp(`/qemu-${qemu}(?:-static)?$`).test(path))) return true;
    return [`qemu-${qemu}-static`, `qemu-${qemu}`].some((name) => {
      const path = findProgram(name, searchPath);
      return path !== undefined && !isDynamic(readHead(path));
    });
  });
  const names = foreign.map(({ architecture }) => architecture);
  if (names.length > 0)
    return { id: 'emulation', status: 'ok', message: `${native}, and by qemu ${names.join(', ')}` };
  const other = native === 'arm64' ? 'x86_64' : 'aarch64';
  return {
    id: 'emulation',
    status: 'warn',
    message: `RUN steps for ${native} only: no qemu is installed for other platforms`,
    fix: install({ apt: 'qemu-user-static', apk: `qemu-${other}` }),
  };
}
