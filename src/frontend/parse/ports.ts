import { instructionError } from './flags.ts';
import type { RawInstruction } from './parser.ts';

const SIGNALS: ReadonlySet<string> = new Set(
  (
    'ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT SEGV STKFLT STOP SYS TERM ' +
    'TRAP TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ RTMIN RTMAX'
  ).split(' '),
);

/** A name with or without `SIG`, `RTMIN+n`, `RTMAX-n`, or a number above 0. */
export function isSignal(text: string): boolean {
  if (/^\d{1,3}$/.test(text)) return Number(text) > 0;
  const name = text.toUpperCase().replace(/^SIG/, '');
  const [, base, offset] = /^(RTMIN\+|RTMAX-)(\d{1,2})$/.exec(name) ?? [];
  if (base === undefined) return SIGNALS.has(name);
  return Number(offset) >= 1 && Number(offset) <= (base === 'RTMIN+' ? 15 : 14);
}

/**
 * Words of EXPOSE (`80`, `53/udp`, `8000-8010`, `ip:host:port`) as `port/protocol`, in order of the words.
 * @throws DOCKERFILE_INSTRUCTION_INVALID
 */
export function expandPorts(raw: RawInstruction, words: readonly string[]): string[] {
  return words.flatMap((word) => {
    const fail = (why: string) =>
      instructionError(raw, 'DOCKERFILE_INSTRUCTION_INVALID', {
        message: `Cannot expose "${word}": ${why}`,
        hint: 'write it as "80", "53/udp" or "8000-8010/tcp"',
      });
    const [spec = '', protocol = '', ...more] = word.split('/');
    const name = (protocol || 'tcp').toLowerCase();
    if (more.length > 0 || !['tcp', 'udp', 'sctp'].includes(name)) {
      throw fail('the protocol can be tcp, udp or sctp');
    }
    const range = (text: string): { first: number; count: number } => {
      const [, from, to = from] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text) ?? [];
      const [first, last] = [Number(from), Number(to)];
      if (from === undefined) throw fail('it is not a port');
      if (first > last) throw fail('the range ends before it starts');
      if (last > 65_535) throw fail('ports go up to 65535');
      return { first, count: last - first + 1 };
    };
    const [, address = '', host = '', port = ''] = /^(?:(.*):)?([^:]*):([^:]*)$/.exec(`:${spec}`) ?? [];
    const { first, count } = range(port);
    // A host part means nothing in an image, but it must make sense.
    if (host !== '' && count > 1 && range(host).count !== count) {
      throw fail('the ranges differ in length');
    }
    if (host !== '') range(host);
    const ip = address.replace(/^:/, '').replace(/^\[(.*)\]$/, '$1');
    if (ip !== '' && !isAddress(ip)) throw fail(`"${ip}" is no address`);
    return Array.from({ length: count }, (_, index) => `${first + index}/${name}`);
  });
}

const BYTE = '(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)';
const IPV4 = new RegExp(`^${BYTE}(?:\\.${BYTE}){3}$`);

function isAddress(text: string): boolean {
  return IPV4.test(text) || (/^[\da-f:.]+$/i.test(text) && URL.canParse(`http://[${text}]/`));
}
