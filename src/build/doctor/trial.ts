import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isOcibuildError, OcibuildError } from '../../errors/error.ts';
import { createRuncExecutor } from '../../executor/runc.ts';
import { inUserNamespace } from '../engine.ts';
import { withScratch } from './scratch.ts';
import type { DoctorOptions } from './types.ts';

/** How the smallest container went. */
export interface TrialResult {
  readonly ms?: number;
  /** Why it did not run. */
  readonly error?: { readonly code: string; readonly message: string; readonly hint?: string };
}

/** Machine code of `exit(0)` and the number of its processor. @see elf(5), `e_machine` */
const EXIT_ZERO: Readonly<Record<string, { readonly machine: number; readonly code: string }>> = {
  // xor edi, edi; mov eax, 60; syscall
  x64: { machine: 0x3e, code: '31ffb83c0000000f05' },
  // mov x0, 0; mov x8, 93; svc 0
  arm64: { machine: 0xb7, code: '000080d2a80b80d2010000d4' },
  // li a0, 0; li a7, 93; ecall
  riscv64: { machine: 0xf3, code: '130500009308d00573000000' },
};

const HEADER_BYTES = 64;
const SEGMENT_BYTES = 56;
const LOAD_ADDRESS = 0x400000;
/** The largest page that these processors have. */
const PAGE_BYTES = 0x10000;

/** A static program that ends with 0: no image is needed to try a container. Undefined for other processors. */
export function exitProgram(arch: string): Buffer | undefined {
  const kind = EXIT_ZERO[arch];
  if (kind === undefined) return undefined;
  const code = Buffer.from(kind.code, 'hex');
  const size = HEADER_BYTES + SEGMENT_BYTES + code.length;
  const program = Buffer.alloc(size);
  program.write('7f454c46020101', 'hex');
  program.writeUInt16LE(2, 16);
  program.writeUInt16LE(kind.machine, 18);
  program.writeUInt32LE(1, 20);
  program.writeBigUInt64LE(BigInt(LOAD_ADDRESS + HEADER_BYTES + SEGMENT_BYTES), 24);
  program.writeBigUInt64LE(BigInt(HEADER_BYTES), 32);
  program.writeUInt16LE(HEADER_BYTES, 52);
  program.writeUInt16LE(SEGMENT_BYTES, 54);
  program.writeUInt16LE(1, 56);
  const segment = program.subarray(HEADER_BYTES);
  segment.writeUInt32LE(1, 0);
  segment.writeUInt32LE(5, 4);
  segment.writeBigUInt64LE(BigInt(LOAD_ADDRESS), 16);
  segment.writeBigUInt64LE(BigInt(LOAD_ADDRESS), 24);
  segment.writeBigUInt64LE(BigInt(size), 32);
  segment.writeBigUInt64LE(BigInt(size), 40);
  segment.writeBigUInt64LE(BigInt(PAGE_BYTES), 48);
  code.copy(program, HEADER_BYTES + SEGMENT_BYTES);
  return program;
}

/** Runs the smallest container as a RUN step would: overlay, sandbox, runtime. Leaves nothing. */
export async function trial(options: DoctorOptions): Promise<TrialResult> {
  try {
    return await withScratch(options.root, (dir) => runIn(dir, options));
  } catch (error) {
    if (!isOcibuildError(error)) return { error: { code: 'INTERNAL', message: String(error) } };
    const { code, message, hint } = error;
    return { error: { code, message, ...(hint === undefined ? {} : { hint }) } };
  }
}

async function runIn(dir: string, { runtime, env, signal }: DoctorOptions): Promise<TrialResult> {
  const program = exitProgram(process.arch);
  if (program === undefined) {
    throw new OcibuildError(
      'USAGE_UNSUPPORTED',
      `Cannot try a container on ${process.arch}: no program for it`,
    );
  }
  const at = (name: string): string => join(dir, name);
  for (const name of ['lower', 'upper', 'work', 'run', 'state']) mkdirSync(at(name), { mode: 0o711 });
  writeFileSync(at('lower/exit'), program, { mode: 0o755 });
  const executor = createRuncExecutor({
    ...(runtime === undefined ? {} : { runtime }),
    ...{ runDir: at('run'), stateDir: at('state'), rootless: inUserNamespace() },
    ...(env.PATH === undefined ? {} : { searchPath: env.PATH }),
  });
  const started = performance.now();
  try {
    const { code } = await executor.run(
      {
        id: `ocibuild-doctor-${process.pid}`,
        rootfs: { lower: [at('lower')], upper: at('upper'), work: at('work') },
        ...{ args: ['/exit'], env: [], cwd: '/', user: '', network: 'none', security: 'sandbox' },
        ...{ mounts: [], hostname: 'doctor', extraHosts: [], ulimits: [] },
      },
      { signal, onOutput: () => undefined },
    );
    if (code === 0) return { ms: Math.round(performance.now() - started) };
    throw new OcibuildError(
      'RUNTIME_FAILED',
      `Cannot run a container: its program ended with ${code}, not 0`,
    );
  } finally {
    await executor.close();
  }
}
