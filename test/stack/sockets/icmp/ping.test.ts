import { beforeEach, describe, expect, it } from 'vitest'
import type { Datagram } from '../../../../src/stack/sockets/datagram.js'
import type { DeviceHost } from '../../../../src/stack/sockets/device-host.js'
import type { PingEndpoint, PingFailure } from '../../../../src/stack/sockets/icmp/ping.js'
import { formatIpv4 } from '../../../../src/stack/wire/address.js'
import { checkPacket } from '../../../../src/testing/check-packet.js'
import { buildIcmpEcho, buildIcmpError } from '../../../../src/testing/packets.js'
import { bytesOf, icmp, ip, sourceOf, u16 } from '../../support.js'
import { Bed, LEFT, RIGHT } from '../udp/support.js'

interface Open { endpoint: PingEndpoint; got: Datagram[]; errors: (string | undefined)[]; failures: [string | undefined, PingFailure][] }
const open = ({ stack }: DeviceHost): Open => {
  const opened: Open = { endpoint: stack.ping.open(), got: [], errors: [], failures: [] }
  const { endpoint, got, errors, failures } = opened
  endpoint.events = {
    onReadable: () => {
      for (let datagram = endpoint.read(); datagram !== null; datagram = endpoint.read()) got.push(datagram)
    },
    onError: ({ code }) => errors.push(code),
    onDrain: () => errors.push('drain'),
  }
  endpoint.onFailure = ({ code }, failure) => failures.push([code, failure])
  return opened
}

describe('ICMP echo', () => {
  let bed: Bed
  beforeEach(() => {
    bed = new Bed()
  })

  it('RTR-8: requests are answered whole, from the address that was asked, and replies find their socket', () => {
    const one = open(bed.left)
    const other = open(bed.left)
    for (const length of [0, 56, 1472, 65_000]) {
      one.got.length = 0
      expect(one.endpoint.send(bytesOf(length), 5, ip(RIGHT))).toBeNull()
      bed.settle()
      expect(one.got.map(({ data, port, address }) => [Buffer.from(data).equals(bytesOf(length)), port, formatIpv4(address)])).toEqual([[true, 5, RIGHT]])
    }
    expect(other.got).toEqual([])
    expect(bed.right.stack.icmp.counters.echoes).toBe(4)
    expect([...bed.toLeft, ...bed.toRight].filter((packet) => (u16(packet, 6) & 0x3fff) === 0).flatMap((packet) => checkPacket(packet))).toEqual([])
  })

  it('connected sockets have the address that routes chose, and hear their peer alone', () => {
    const { endpoint, got } = open(bed.left)
    endpoint.connect(ip(RIGHT), 0)
    endpoint.send(bytesOf(8), 1)
    bed.settle()
    expect([formatIpv4(endpoint.localAddress), got.length]).toEqual([LEFT, 1])
    const reply = (source: string): void => bed.injectLeft(buildIcmpEcho({ source, destination: LEFT, identifier: endpoint.localPort, reply: true }))
    reply('10.0.0.9')
    bed.settle()
    expect(got.length).toBe(1)
    reply(RIGHT)
    bed.settle()
    expect(got.length).toBe(2)
    bed.left.stack.path(bed.left.stack.table.ports.first(1, endpoint.localPort), ip('10.1.0.1'), 1500)
    expect(formatIpv4(endpoint.localAddress)).toBe('10.1.0.1')
  })

  it('sockets are told of errors: each with what it is about, connected ones of hard errors as of their own', () => {
    const { endpoint, errors, failures } = open(bed.left)
    const fail = (type: number, code: number): void => {
      bed.injectLeft(buildIcmpError({ source: '10.0.0.254', destination: LEFT, type, code, quote: bed.toRight.at(-1)! }))
      bed.settle()
    }
    endpoint.send(bytesOf(8), 77, ip(RIGHT))
    bed.settle()
    fail(11, 0)
    fail(3, 13)
    const failure = { address: ip(RIGHT), sequence: 77, from: ip('10.0.0.254') }
    expect(failures).toEqual([['EHOSTUNREACH', { ...failure, type: 11, code: 0 }], ['EHOSTUNREACH', { ...failure, type: 3, code: 13 }]])
    expect(errors).toEqual([])
    endpoint.connect(ip(RIGHT), 0)
    endpoint.send(bytesOf(8), 78)
    bed.settle()
    fail(11, 0)
    fail(3, 2)
    expect(errors).toEqual(['ENOPROTOOPT'])
    endpoint.close()
    fail(3, 2)
    expect(failures.length).toBe(4)
  })

  it('RTR-3: requests to broadcast addresses and from nobody are not answered, replies and unknown types neither', () => {
    const request = { source: LEFT, destination: RIGHT, identifier: 9 }
    for (const over of [{ destination: '10.0.0.255' }, { destination: '255.255.255.255' }, { source: '10.0.0.255' }, { source: '224.0.0.1' }, { reply: true }]) {
      bed.injectRight(buildIcmpEcho({ ...request, ...over }))
    }
    const unknown = buildIcmpEcho({ ...request, reply: true })
    unknown[20] = 40
    unknown[22]! -= 40
    bed.injectRight(unknown)
    bed.settle()
    expect(bed.toLeft).toEqual([])
    bed.injectRight(buildIcmpEcho({ ...request, destination: RIGHT }))
    bed.settle()
    expect(bed.toLeft.map((packet) => [icmp(packet), sourceOf(packet)])).toEqual([['0/0', RIGHT]])
  })

  it('is refused what cannot be sent', () => {
    const { endpoint } = open(bed.left)
    expect(endpoint.send(bytesOf(1), 1)).toBe('EDESTADDRREQ')
    expect(endpoint.send(bytesOf(1), 1, ip('10.0.0.255'))).toBe('EACCES')
    expect(endpoint.send(bytesOf(65_508), 1, ip(RIGHT))).toBe('EMSGSIZE')
    expect(endpoint.send(bytesOf(65_507), 1, ip(RIGHT))).toBeNull()
  })
})
