import { beforeEach, describe, expect, it } from 'vitest'
import { checkPacket } from '../../../../src/testing/check-packet.js'
import { buildIcmpError, buildIpv4, buildUdp } from '../../../../src/testing/packets.js'
import { bytesOf, icmp, ip, sourceOf } from '../../support.js'
import { Bed, bound, LEFT, type Open, open, RIGHT, text } from './support.js'

const ROUTER = '10.0.0.254'
const codes = ({ errors }: Open): string[] => errors.map((error) => error.split(':')[0]!)

describe('ICMP errors and UDP sockets', () => {
  let bed: Bed
  beforeEach(() => {
    bed = new Bed()
  })
  const connected = (): Open => {
    const client = open(bed.left)
    client.endpoint.connect(ip(RIGHT), 53)
    return client
  }

  it('nobody listens: connected ones are told ECONNREFUSED, others nothing', () => {
    const client = connected()
    client.endpoint.send(text('a'))
    const other = open(bed.left)
    other.endpoint.send(text('a'), ip(RIGHT), 53)
    bed.settle()
    expect(bed.toLeft.map(icmp)).toEqual(['3/3', '3/3'])
    expect(client.errors).toEqual([`ECONNREFUSED: recvmsg ECONNREFUSED ${RIGHT}:53`])
    expect(other.errors).toEqual([])
  })

  it('nobody listens on the loopback', () => {
    const client = open(bed.left)
    client.endpoint.connect(0, 53)
    client.endpoint.send(text('b'))
    bed.settle()
    expect(client.errors).toEqual(['ECONNREFUSED: recvmsg ECONNREFUSED 127.0.0.1:53'])
  })

  const meanings = [
    [3, 0, null], [3, 1, null], [3, 2, 'ENOPROTOOPT'], [3, 4, 'EMSGSIZE'], [3, 5, null], [3, 10, 'EHOSTUNREACH'], [3, 13, 'EHOSTUNREACH'],
    [3, 200, null], [11, 0, null], [12, 0, 'EPROTO'], [4, 0, null], [5, 1, null],
  ] as const
  it.each(meanings)('type %i code %i means to a connected one %s', (type, code, expected) => {
    bound(bed.right, 53)
    const client = connected()
    client.endpoint.send(text('a'))
    bed.settle()
    bed.injectLeft(buildIcmpError({ source: ROUTER, destination: LEFT, type, code, quote: bed.toRight.at(-1)! }))
    bed.settle()
    expect(codes(client)).toEqual(expected === null ? [] : [expected])
  })

  it('an error about what was not sent is not believed', () => {
    bound(bed.right, 53)
    const client = connected()
    const sourcePort = client.endpoint.localPort
    client.endpoint.send(text('a'))
    bed.settle()
    const forge = (over: Partial<Parameters<typeof buildUdp>[0]>): void => {
      const quote = buildUdp({ source: LEFT, destination: RIGHT, sourcePort, destinationPort: 53, ...over })
      bed.injectLeft(buildIcmpError({ source: RIGHT, destination: LEFT, type: 3, code: 3, quote }))
      bed.settle()
    }
    for (const over of [{ destinationPort: 54 }, { sourcePort: sourcePort ^ 1 }, { destination: '10.0.0.3' }, { source: '10.0.0.9' }]) forge(over)
    expect(client.errors).toEqual([])
    forge({})
    expect(codes(client)).toEqual(['ECONNREFUSED'])
  })

  it('PMTU-1: DF is set as far as the path is known to carry it, less after 3/4, and again after ten minutes', () => {
    bound(bed.right, 53)
    const client = connected()
    const df = (length: number): boolean => {
      bed.toRight.length = 0
      client.endpoint.send(bytesOf(length))
      bed.settle()
      return bed.toRight.every((packet) => (packet[6]! & 0x40) !== 0)
    }
    // The path is not known yet.
    expect(df(100)).toBe(false)
    expect(df(1473)).toBe(false)
    expect(bed.toRight.length).toBe(2)
    expect(df(1472)).toBe(true)
    const tell = (mtu: number): void => {
      bed.injectLeft(buildIcmpError({ source: ROUTER, destination: LEFT, type: 3, code: 4, mtu, quote: bed.toRight.at(-1)! }))
      bed.settle()
    }
    tell(1000)
    expect(codes(client)).toEqual(['EMSGSIZE'])
    expect([df(973), df(972)]).toEqual([false, true])
    tell(20)
    expect([df(41), df(40)]).toEqual([false, true])
    bed.run(600_000)
    expect(df(1472)).toBe(true)
  })

  it('what the network refused is told', () => {
    const client = connected()
    client.endpoint.send(text('a'))
    bed.left.stack.refused(bed.left.stack.table.ports.first(17, client.endpoint.localPort), 113)
    expect(client.errors).toEqual([`EHOSTUNREACH: send EHOSTUNREACH ${RIGHT}:53`])
  })

  it('RTR-4: few are sent to one, and to all together', () => {
    for (let port = 1; port <= 100; port++) bed.inject({ destinationPort: port, sourcePort: port })
    expect(bed.toLeft.length).toBe(6)
    bed.run(1000)
    bed.inject({ destinationPort: 5 })
    bed.inject({ destinationPort: 6 })
    expect(bed.toLeft.length).toBe(7)
    expect(bed.right.stack.udp.counters.noSocket).toBe(102)
    bed.toLeft.length = 0
    for (let host = 1; host <= 200; host++) bed.injectRight(buildUdp({ source: `10.0.0.${host + 3}`, destination: RIGHT, sourcePort: 1000, destinationPort: 9 }))
    bed.settle()
    expect(bed.toLeft.length).toBeGreaterThan(30)
    expect(bed.toLeft.length).toBeLessThanOrEqual(51)
  })

  it('RTR-5, ICMP-10d: one quotes what fits in 576 bytes, and has the DSCP of the offender', () => {
    bed.inject({ destinationPort: 9, payload: bytesOf(1400), tos: 0x28 })
    expect(bed.toLeft.map((packet) => [packet.length, packet[1], sourceOf(packet), icmp(packet)])).toEqual([[576, 0x28, RIGHT, '3/3']])
    expect(bed.toLeft.flatMap((packet) => checkPacket(packet))).toEqual([])
  })

  it('RTR-3: none is sent about what was sent to or from many', () => {
    bed.inject({ destinationPort: 9, destination: '10.0.0.255' })
    bed.inject({ destinationPort: 9, destination: '255.255.255.255' })
    for (const source of ['255.255.255.255', '224.0.0.1', '240.0.0.1', '0.0.0.0', '10.0.0.255']) bed.inject({ destinationPort: 9, source })
    expect(bed.toLeft).toEqual([])
  })

  it('RTR-8: a protocol that nobody takes is answered', () => {
    bed.injectRight(buildIpv4({ source: LEFT, destination: RIGHT, protocol: 200, payload: bytesOf(20) }))
    bed.settle()
    expect(bed.toLeft.map(icmp)).toEqual(['3/2'])
  })

  it('FRG-2: a datagram that is not complete after 30 s is answered with 11/1', () => {
    bound(bed.right, 53)
    bed.injectRight(buildIpv4({ source: LEFT, destination: RIGHT, protocol: 17, mf: true, payload: bytesOf(80) }))
    bed.run(29_999)
    expect(bed.toLeft).toEqual([])
    bed.run(2)
    bed.settle()
    expect(bed.toLeft.map(icmp)).toEqual(['11/1'])
    expect(bed.toLeft.flatMap((packet) => checkPacket(packet))).toEqual([])
  })
})
