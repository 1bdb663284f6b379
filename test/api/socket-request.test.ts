import { describe, expect, it } from 'vitest'
import { pingQuery, readPingRequest, readSocketRequest, socketQuery } from '../../src/api/socket-request.js'

const words = (query: string): Record<string, string> => Object.fromEntries(new URLSearchParams(query))

describe('a request for a socket', () => {
  it('has defaults, and is read as it was written', () => {
    const least = readSocketRequest({ host: '198.51.100.10', port: '80' })
    expect(least).toEqual({ protocol: 'tcp', remote: { address: '198.51.100.10', port: 80 }, localAddress: null, localPort: 0, mark: 0, tos: 0 })
    const most = readSocketRequest({ protocol: 'udp', host: '198.51.100.10', port: '53', source: '10.0.0.1', sourcePort: '4000', mark: '0xffffffff', tos: '0x10' })
    const listening = readSocketRequest({ sourcePort: '8080' })
    expect(listening.remote).toBeNull()
    for (const request of [least, most, listening]) expect(readSocketRequest(words(socketQuery(request)))).toEqual(request)
  })

  it.each([
    [{ host: 'example.org', port: '80' }, 'host "example.org" is not an IPv4 address', 'names are not looked up'],
    [{ host: '1.2.3', port: '80' }, 'host "1.2.3" is not an IPv4 address', 'for example'],
    [{ host: '192.0.2.1', port: '0' }, 'port "0" is not a number from 1 to 65535', ''],
    [{ host: '192.0.2.1' }, 'a host without a port', ''],
    [{ sourcePort: '65536' }, 'port "65536" is not', ''],
    [{ protocol: 'sctp' }, 'protocol "sctp" is unknown', 'tcp or udp'],
    [{ mark: '4294967296' }, 'mark "4294967296"', ''],
    [{ tos: '-1' }, 'tos "-1"', ''],
    [{ source: 'eth0' }, 'source "eth0" is not an IPv4 address', ''],
    [{ colour: 'red' }, '"colour" is not known to sockets', 'known: protocol'],
  ])('is refused: %j', (given, message, hint) => {
    expect(() => readSocketRequest(given)).toThrow(expect.objectContaining({ code: 'BAD_SOCKET', message: expect.stringContaining(message), hint: expect.stringContaining(hint), exitCode: 64 }))
  })
})

describe('a request to ping', () => {
  it('has defaults of ping, and is read as it was written', () => {
    const least = readPingRequest({ host: '192.0.2.1' })
    expect(least).toEqual({ host: '192.0.2.1', count: 0, interval: 1, size: 56, wait: 10, localAddress: null, mark: 0, tos: 0, ttl: 64 })
    const most = readPingRequest({ host: '192.0.2.1', count: '3', interval: '.2', size: '65507', wait: '0', source: '10.0.0.1', mark: '100', tos: '8', ttl: '1' })
    for (const request of [least, most]) expect(readPingRequest(words(pingQuery(request)))).toEqual(request)
  })

  it.each([
    [{}, 'host ""'], [{ host: '192.0.2.1', interval: '0.001' }, 'interval "0.001" is not a number of seconds from 0.002'], [{ host: '192.0.2.1', interval: 'x' }, 'interval "x"'],
    [{ host: '192.0.2.1', size: '65508' }, 'size "65508"'], [{ host: '192.0.2.1', ttl: '0' }, 'ttl "0"'], [{ host: '192.0.2.1', port: '1' }, '"port" is not known to ping'],
  ])('is refused: %j', (given, message) => {
    expect(() => readPingRequest(given)).toThrow(expect.objectContaining({ code: 'BAD_SOCKET', message: expect.stringContaining(message) }))
  })
})
