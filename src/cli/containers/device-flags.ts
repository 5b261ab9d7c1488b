import type { DeviceRequest } from '../../build/containers/types.ts';
import { OcibuildError } from '../../errors/error.ts';

const ACCESS = /^[rwm]{1,3}$/;

/** `SRC[:DST][:rwm]`, or the name of a CDI device. @throws USAGE_INVALID */
export function parseDevice(text: string): DeviceRequest {
  if (/^[A-Za-z0-9_.-]+\/[A-Za-z0-9_.-]+=.+$/.test(text))
    return { source: text, target: text, access: 'rwm' };
  const [source = '', second, third, ...more] = text.split(':');
  const isAccess = third === undefined && second !== undefined && ACCESS.test(second);
  const target = isAccess ? source : (second ?? source);
  const access = (isAccess ? second : third) ?? 'rwm';
  if (source.startsWith('/') && target.startsWith('/') && ACCESS.test(access) && more.length === 0)
    return { source, target, access };
  throw new OcibuildError('USAGE_INVALID', `Cannot use --device "${text}": expected SRC[:DST][:rwm]`, {
    hint: 'for example --device /dev/fuse:/dev/fuse:rw, or the name of a CDI device',
  });
}

/** `80`, `80/udp`, `8000-8010/tcp`: one `PORT/PROTOCOL` each. @throws USAGE_INVALID */
export function parseExpose(text: string): string[] {
  const [, first = '', last = first, protocol = 'tcp'] =
    /^(\d+)(?:-(\d+))?(?:\/(tcp|udp))?$/.exec(text) ?? [];
  const [from, to] = [Number(first), Number(last)];
  if (first === '' || from < 1 || to < from || to > 65535)
    throw new OcibuildError(
      'USAGE_INVALID',
      `Cannot use --expose "${text}": expected PORT[-PORT][/tcp|/udp]`,
    );
  return Array.from({ length: to - from + 1 }, (_, i) => `${from + i}/${protocol}`);
}
