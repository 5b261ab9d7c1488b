// A build of four steps that print; writes the share of a core that it took to the file named last.
// Run by bench/terminal.ts: MODE LINES_PER_SECOND SECONDS FILE
import { writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { createPrinter } from '../src/ui/create-printer.ts';

const [mode = '', rate = '', seconds = '', file = ''] = process.argv.slice(2);
const STEPS = ['a', 'b', 'c', 'd'];

const { stderr } = process;
const how = { stream: stderr, terminal: stderr, color: true, title: 'bench' };
const printer = await createPrinter(mode === 'tty' ? 'tty' : 'quiet', how);
for (const vertex of STEPS) {
  printer.event({ kind: 'vertex', time: Date.now(), vertex, name: `[${vertex} 2/3] RUN make` });
  printer.event({ kind: 'started', time: Date.now(), vertex });
}
// Ink is loaded in this time.
await delay(1500);
const before = process.cpuUsage();
const begin = performance.now();
const passed = (): number => (performance.now() - begin) / 1000;
let peakBytes = 0;
for (let sent = 0; passed() < Number(seconds); await delay(5)) {
  const time = Date.now();
  for (const due = passed() * Number(rate); sent < due; sent++) {
    const vertex = STEPS[sent % STEPS.length] ?? '';
    const line = `\u001b[32msrc/file-${sent}.c\u001b[0m:${sent}:7: warning: something is not as it should be\n`;
    printer.event({ kind: 'log', time, vertex, stream: 'stdout', data: Buffer.from(line) });
  }
  peakBytes = Math.max(peakBytes, process.memoryUsage.rss());
}
const { user, system } = process.cpuUsage(before);
const share = (user + system) / 1e6 / passed();
await printer.finish();
writeFileSync(file, JSON.stringify({ share, peakBytes }));
