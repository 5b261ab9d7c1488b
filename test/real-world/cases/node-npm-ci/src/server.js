const http = require('node:http');
const ms = require('ms');
const router = require('find-my-way')();

router.on('GET', '/', (_req, res) => res.end(`${process.env.NODE_ENV} ${process.getuid()}\n`));
router.on('GET', '/wait/:text', (_req, res, { text }) => res.end(`${ms(text)} ms\n`));
router.on('GET', '/healthz', (_req, res) => res.end('ok\n'));

const server = http.createServer((req, res) => router.lookup(req, res));
if (require.main === module) {
  server.listen(process.env.PORT ?? 3000);
  process.on('SIGTERM', () => server.close());
}
module.exports = { router };
