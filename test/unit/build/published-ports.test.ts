import { describe, expect, it } from 'vitest';
import { parsePublish, parsePublishedPorts } from '../../../src/build/published-ports.ts';

const tcp = (hostPort: number, containerPort: number, hostIp?: string) => ({
  ...(hostIp === undefined ? {} : { hostIp }),
  hostPort,
  containerPort,
  protocol: 'tcp' as const,
});

describe('parsePublish', () => {
  it.each([
    ['80', [tcp(0, 80)]],
    ['8080:80', [tcp(8080, 80)]],
    ['0:80', [tcp(0, 80)]],
    ['8080:80/TCP', [tcp(8080, 80)]],
    ['127.0.0.1:8080:80/udp', [{ ...tcp(8080, 80, '127.0.0.1'), protocol: 'udp' }]],
    ['127.0.0.1::80', [tcp(0, 80, '127.0.0.1')]],
    ['[::1]:80:80', [tcp(80, 80, '::1')]],
    ['[::]::80', [tcp(0, 80, '::')]],
    ['8000-8002:8000-8002', [tcp(8000, 8000), tcp(8001, 8001), tcp(8002, 8002)]],
    ['127.0.0.1:9000-9001:80-81', [tcp(9000, 80, '127.0.0.1'), tcp(9001, 81, '127.0.0.1')]],
    ['80-81', [tcp(0, 80), tcp(0, 81)]],
  ])('parsePublish() gives the ports when the word is "%s"', (word, ports) => {
    expect(parsePublish(word)).toEqual(ports);
  });

  it.each([
    ['', 'no port'],
    ['8080:', 'no port'],
    ['8080:80/sctp', 'tcp or udp'],
    ['8080:80/tcp/udp', 'no port'],
    ['http:80', '"http" is not a port'],
    ['80:70000', '65535'],
    ['80:0', 'port 0'],
    ['8002-8000:8000-8002', 'ends before'],
    ['8000-8001:8000-8002', 'differ in length'],
    ['8000-8002:80', 'name one'],
    ['1-60000', 'at most'],
    ['::1:80:80', 'brackets'],
    ['[::1:80:80', 'brackets'],
    ['localhost:8080:80', '"localhost" is no address'],
    ['300.0.0.1:8080:80', '"300.0.0.1" is no address'],
  ])('parsePublish() says what is wrong when the word is "%s"', (word, why) => {
    expect(() => parsePublish(word)).toThrow(
      expect.objectContaining({ code: 'USAGE_INVALID', message: expect.stringContaining(why) }),
    );
  });
});

describe('parsePublishedPorts', () => {
  it('parsePublishedPorts() keeps each port once when words repeat or overlap', () => {
    expect(parsePublishedPorts(['80:80', '80:80/tcp', '80-81:80-81', '80:80/udp'])).toEqual([
      tcp(80, 80),
      tcp(81, 81),
      { ...tcp(80, 80), protocol: 'udp' },
    ]);
  });

  it('parsePublishedPorts() refuses when one host port leads to two of the container', () => {
    expect(() => parsePublishedPorts(['80:80', '80:81'])).toThrow('Cannot publish port 80/tcp twice');
    expect(parsePublishedPorts(['80:80', '127.0.0.1:80:81', '81', '82'])).toHaveLength(4);
  });
});
