import { describe, expect, it } from 'vitest';
import { pastaArguments } from '../../../../src/executor/net/pasta.ts';
import { portError, socketInodes } from '../../../../src/executor/net/port-error.ts';

const TCP = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0 0 10 0
   1: 0100007F:1F90 0100007F:C0DE 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0 100 0 0 10 0
   2: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4713 1 0 100 0 0 10 0
`;

const fault = (hostPort: number, errno: string, hostIp?: string) => ({
  port: {
    hostPort,
    containerPort: 80,
    protocol: 'tcp' as const,
    ...(hostIp === undefined ? {} : { hostIp }),
  },
  errno,
});

describe('socketInodes', () => {
  it('socketInodes() gives those that listen when others are connected', () => {
    expect(socketInodes(TCP, 8080, 'tcp')).toEqual([4711]);
    expect(socketInodes(TCP.replaceAll(' 0A ', ' 07 '), 80, 'udp')).toEqual([4713]);
    expect(socketInodes(TCP, 81, 'tcp')).toEqual([]);
  });
});

describe('portError', () => {
  it('portError() names every port and its holder when several are in use', () => {
    const faults = [fault(80, 'EACCES'), fault(8080, 'EADDRINUSE'), fault(8081, 'EADDRINUSE', '::1')];
    const error = portError(faults, ({ hostPort }) =>
      hostPort === 8080 ? { pid: 7, name: 'nginx' } : undefined,
    );
    expect(error).toMatchObject({
      code: 'PORT_IN_USE',
      message:
        'Cannot publish 2 ports: port 8080/tcp is in use by "nginx" (process 7), [::1]:8081/tcp is in use',
    });
  });

  it('portError() says which address is none of the machine when it cannot be had', () => {
    expect(portError([fault(80, 'EADDRNOTAVAIL', '192.0.2.9')])).toMatchObject({
      code: 'PORT_UNAVAILABLE',
      message: 'Cannot publish 192.0.2.9:80/tcp: "192.0.2.9" is no address of this machine',
    });
  });
});

describe('pastaArguments', () => {
  it('pastaArguments() forwards the TCP ports alone when there are ports', () => {
    const { port } = fault(8080, '');
    const ports = [port, { ...port, hostIp: '127.0.0.1' }, { ...port, protocol: 'udp' as const }];
    const text = pastaArguments(ports, '/state/c.pid').join(' ');
    expect(text).toContain(' -t 8080:80 -t 127.0.0.1/8080:80 -u none -T none -U none ');
    expect(pastaArguments([], '/state/c.pid').join(' ')).toContain(' -t none -u none ');
  });
});
