import { isUtf8 } from 'node:buffer';
import { createHash } from 'node:crypto';
import { redactCredentials } from '../errors/redact.ts';
import type { ProgressEvent } from '../solver/types.ts';
import type { Printer, PrinterDeps } from './types.ts';

type Warning = Extract<ProgressEvent, { kind: 'warning' }>;
type Finding = NonNullable<Warning['finding']>;

interface VertexState {
  digest: string;
  inputs?: readonly string[];
  name: string;
  started?: string;
  completed?: string;
  cached?: boolean;
  error?: string;
}

/** One JSON object for each event on a line of its own, in the shape of BuildKit's status stream: `vertexes`,
 * `statuses`, `logs` (base64), `warnings`; `explanations` is ours. */
export function createRawJsonPrinter(deps: Pick<PrinterDeps, 'write' | 'secrets'>): Printer {
  const vertices = new Map<string, VertexState>();
  const statusStarts = new Map<string, string>();
  const safe = (text: string): string => redactCredentials(text, deps.secrets);
  const vertex = (id: string, change: Partial<VertexState>): unknown => {
    const state = { ...(vertices.get(id) ?? newVertex(id)), ...change };
    vertices.set(id, state);
    return { vertexes: [state] };
  };

  const message = (event: Exclude<ProgressEvent, { kind: 'planned' }>): unknown => {
    const timestamp = new Date(event.time).toISOString();
    switch (event.kind) {
      case 'vertex':
        return vertex(event.vertex, {
          ...(event.inputs === undefined ? {} : { inputs: event.inputs }),
          name: safe(event.name),
        });
      case 'started': {
        // A step that is tried again has neither end nor error any more.
        const { completed: _, error: __, ...open } = vertices.get(event.vertex) ?? newVertex(event.vertex);
        vertices.set(event.vertex, open);
        return vertex(event.vertex, { started: timestamp });
      }
      case 'cached': {
        const started = vertices.get(event.vertex)?.started ?? timestamp;
        return vertex(event.vertex, { started, completed: timestamp, cached: true });
      }
      case 'completed': {
        const known = vertices.get(event.vertex)?.completed;
        const error = event.cancelled === true ? 'context canceled' : event.error?.message;
        return vertex(event.vertex, {
          completed: known ?? timestamp,
          ...(error === undefined ? {} : { error: safe(error) }),
        });
      }
      case 'status': {
        const key = `${event.vertex} ${event.id}`;
        const started = statusStarts.get(key) ?? timestamp;
        statusStarts.set(key, started);
        return {
          statuses: [
            {
              id: safe(event.id),
              vertex: digestFor(event.vertex),
              ...(event.total === undefined ? {} : { total: event.total }),
              current: event.current,
              timestamp,
              started,
              ...(event.done === true ? { completed: timestamp } : {}),
            },
          ],
        };
      }
      case 'log':
        return {
          logs: [
            {
              vertex: digestFor(event.vertex),
              stream: event.stream === 'stdout' ? 1 : 2,
              data: safeBytes(event.data, safe),
              timestamp,
            },
          ],
        };
      case 'warning':
        return { warnings: [warningJson(event, safe)] };
      case 'explain':
        return {
          explanations: [{ vertex: digestFor(event.vertex), changes: event.changes.map(safe), timestamp }],
        };
    }
  };

  return {
    event(event) {
      if (event.kind !== 'planned') deps.write(`${JSON.stringify(message(event))}\n`);
    },
    finish: async () => {},
  };
}

/** A warning as BuildKit's status stream has it. */
export function warningJson(
  { vertex, message, url, finding }: Warning,
  safe: (text: string) => string,
): object {
  return {
    ...(vertex === undefined ? {} : { vertex: digestFor(vertex) }),
    level: 1,
    short: base64(safe(message)),
    ...(url === undefined ? {} : { url }),
    ...(finding === undefined ? {} : findingFields(finding, safe)),
  };
}

/** Where a rule found something. Docker's own `definition` of the source is a graph of its kind, which there is none of. */
function findingFields({ detail, file, range }: Finding, safe: (text: string) => string): object {
  return {
    ...(detail === undefined ? {} : { detail: [base64(safe(detail))] }),
    sourceInfo: { filename: safe(file.name), data: base64(safe(file.text)), language: 'Dockerfile' },
    range: [{ start: { line: range.start }, end: { line: range.end } }],
  };
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}

function newVertex(id: string): VertexState {
  return { digest: digestFor(id), name: id };
}

/** Readers of the stream take ids for digests. */
function digestFor(id: string): string {
  return id.startsWith('sha256:') ? id : `sha256:${createHash('sha256').update(id).digest('hex')}`;
}

/** Bytes stay as they are unless a credential is in them: they need not be UTF-8. */
function safeBytes(data: Uint8Array, safe: (text: string) => string): string {
  const bytes = Buffer.from(data);
  const encoding = isUtf8(bytes) ? 'utf8' : 'latin1';
  const text = bytes.toString(encoding);
  const masked = safe(text);
  return masked === text ? bytes.toString('base64') : Buffer.from(masked, encoding).toString('base64');
}
