import { execFileSync } from 'node:child_process';
import { createSign } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';

/** A token service that docker-registry trusts. It knows one user and one refresh token. */
export interface TokenServer extends AsyncDisposable {
  /** The `auth` part of the registry's configuration. */
  readonly registryAuth: Readonly<Record<string, unknown>>;
  /** What was asked, oldest first: `METHOD grant scope`. */
  readonly asked: string[];
  /** Seconds; tokens carry it and the registry looks at it. */
  lifeSec: number;
  /** Give nothing to whom a scope is asked for that matches. */
  refuseScope: RegExp | undefined;
  /** Answer POST as services do that know only GET. */
  refusePost: boolean;
}

export const USER = 'alice';
export const PASSWORD = 's3cret:pass';
export const REFRESH_TOKEN = 'refresh-me-0123456789';

const SERVICE = 'test-registry';
const ISSUER = 'test-issuer';

export async function startTokenServer(): Promise<TokenServer> {
  const dir = mkdtempSync(join(tmpdir(), 'ocibuild-token-'));
  const [key, certificate] = [join(dir, 'key.pem'), join(dir, 'certificate.pem')];
  const subject = ['-subj', '/CN=test', '-days', '2'];
  execFileSync(
    'openssl',
    ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', key, '-out', certificate, ...subject],
    { stdio: 'ignore' },
  );
  const asked: string[] = [];
  const state: Pick<TokenServer, 'lifeSec' | 'refusePost' | 'refuseScope'> = {
    ...{ lifeSec: 300, refusePost: false, refuseScope: undefined },
  };
  const server = createServer(async (request, response) => {
    const url = new URL(request.url ?? '/', 'http://localhost');
    const form = request.method === 'POST' ? new URLSearchParams(await text(request)) : url.searchParams;
    const scopes = request.method === 'POST' ? (form.get('scope') ?? '').split(' ') : form.getAll('scope');
    asked.push(`${request.method} ${form.get('grant_type') ?? ''} ${scopes.join(' ')}`);
    const basic = Buffer.from(
      request.headers.authorization?.slice('Basic '.length) ?? '',
      'base64',
    ).toString();
    const known =
      basic === `${USER}:${PASSWORD}` ||
      (form.get('username') === USER && form.get('password') === PASSWORD) ||
      form.get('refresh_token') === REFRESH_TOKEN;
    const refused = scopes.some((scope) => state.refuseScope?.test(scope));
    if (!known || refused || (state.refusePost && request.method === 'POST')) {
      response.writeHead(request.method === 'POST' && state.refusePost ? 405 : 401).end();
      return;
    }
    const token = sign({ key, certificate, scopes, lifeSec: state.lifeSec });
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ access_token: token, expires_in: state.lifeSec }));
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as AddressInfo;
  return Object.assign(state, {
    asked,
    registryAuth: {
      token: {
        realm: `http://127.0.0.1:${port}/token`,
        service: SERVICE,
        issuer: ISSUER,
        rootcertbundle: certificate,
      },
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
      rmSync(dir, { recursive: true, force: true });
    },
  });
}

/** @see https://distribution.github.io/distribution/spec/auth/jwt/ */
function sign(about: {
  key: string;
  certificate: string;
  scopes: readonly string[];
  lifeSec: number;
}): string {
  const der = readFileSync(about.certificate, 'utf8').replace(/-----[^-]+-----|\s/g, '');
  const nowSec = Math.floor(Date.now() / 1000);
  const access = about.scopes.flatMap((scope) => {
    const [type, name, actions] = scope.split(':');
    return type === 'repository' ? [{ type, name, actions: actions?.split(',') ?? [] }] : [];
  });
  const times = { iat: nowSec, nbf: nowSec - 5, exp: nowSec + about.lifeSec };
  const claims = { iss: ISSUER, sub: USER, aud: SERVICE, jti: String(Math.random()), access, ...times };
  const encode = (json: unknown) => Buffer.from(JSON.stringify(json)).toString('base64url');
  const body = `${encode({ typ: 'JWT', alg: 'RS256', x5c: [der] })}.${encode(claims)}`;
  return `${body}.${createSign('RSA-SHA256').update(body).sign(readFileSync(about.key)).toString('base64url')}`;
}
