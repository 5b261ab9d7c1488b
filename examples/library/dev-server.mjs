// Serves what a stage of a Dockerfile makes, and makes it again when a file is saved: node dev-server.mjs DIR PORT
// A page reloads itself if it has: <script>new EventSource('/reload').onmessage = () => location.reload()</script>
import { createReadStream } from 'node:fs';
import { mkdtemp, stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join, normalize } from 'node:path';
import { watch } from 'ocibuild';

const [context = '.', port = '8000'] = process.argv.slice(2);
const site = await mkdtemp(join(tmpdir(), 'site-'));
const pages = new Set();
let failure;

const server = createServer(async (request, response) => {
  if (request.url === '/reload') {
    response.writeHead(200, { 'content-type': 'text/event-stream' }).write(': open\n\n');
    pages.add(response);
    response.on('close', () => pages.delete(response));
    return;
  }
  if (failure !== undefined) return void response.writeHead(500).end(String(failure));
  const path = placeOf(request.url ?? '');
  if (path === undefined) return void response.writeHead(400).end('bad address\n');
  const file = (await stat(path).catch(() => undefined))?.isDirectory() ? join(path, 'index.html') : path;
  createReadStream(file)
    .on('error', () => response.writeHead(404).end('not found\n'))
    .pipe(response);
});
server.listen(Number(port), '127.0.0.1');

const builds = watch({ context, outputs: [{ type: 'local', dest: site, mode: 'delete' }] });
process.once('SIGINT', () => builds.close());

for await (const { changed, error, ms } of builds) {
  failure = error;
  console.log(error === undefined ? `built in ${Math.round(ms)} ms` : `failed: ${error.message}`, ...changed);
  for (const page of pages) page.write('data: reload\n\n');
}
server.close();
server.closeAllConnections();

/** Below the site, whatever the address says; undefined where it is no path. */
function placeOf(address) {
  try {
    const path = decodeURIComponent(address.replace(/\?.*/, ''));
    return path.includes('\0') ? undefined : join(site, normalize(`/${path}`));
  } catch {
    return undefined;
  }
}
