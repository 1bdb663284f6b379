/** Damaged and forged packets against UDP and ICMP echo sockets, and the reassembly before them: nothing throws, nothing leaks. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import * as ipv4 from '../../src/stack/wire/ipv4.js'
import { buildFragments, buildIcmpEcho, buildIcmpError, buildUdp } from '../../src/testing/packets.js'
import { bytesOf, ip } from '../stack/support.js'
import { Bed, bound, LEFT, open, RIGHT } from '../stack/sockets/udp/support.js'

const port = fc.constantFrom(53, 54, 55, 1000)
const udp = fc
  .record({ sourcePort: port, destinationPort: port, length: fc.integer({ min: 0, max: 3000 }), id: fc.integer({ min: 0, max: 3 }), destination: fc.constantFrom(RIGHT, '10.0.0.255') })
  .map(({ length, ...rest }) => buildUdp({ source: LEFT, payload: bytesOf(length), ...rest }))
const echo = fc
  .record({ identifier: fc.constantFrom(7, 8), sequence: fc.nat(9), reply: fc.boolean(), length: fc.integer({ min: 0, max: 3000 }) })
  .map(({ length, ...rest }) => buildIcmpEcho({ source: LEFT, destination: RIGHT, payload: bytesOf(length), ...rest }))
const turned = (packet: Uint8Array): Uint8Array => {
  const quote = packet.slice()
  quote.set(packet.subarray(16, 20), 12)
  quote.set(packet.subarray(12, 16), 16)
  return quote
}
const error = fc
  .record({ type: fc.constantFrom(3, 4, 5, 11, 12), code: fc.nat(16), mtu: fc.constantFrom(0, 20, 576, 65535), quote: fc.oneof(udp, echo).map(turned), quoteLength: fc.integer({ min: 0, max: 548 }) })
  .map((options) => buildIcmpError({ source: '10.0.0.254', destination: RIGHT, ...options }))
const packet = fc.oneof(udp, echo, error)

interface Damage { at: number; value: number; cut: number; fixes: boolean }
const damage = fc.record({ at: fc.nat(3000), value: fc.nat(255), cut: fc.nat(60), fixes: fc.boolean() })
/** With a right header checksum now and then, so that it is looked at. */
const damaged = (bytes: Uint8Array, { at, value, cut, fixes }: Damage): Uint8Array => {
  const copy = bytes.slice(0, Math.max(20, bytes.length - (cut > 30 ? cut : 0)))
  copy[at % Math.min(copy.length, 64)] = value
  const view = new DataView(copy.buffer)
  const headerLength = ipv4.headerLength(view, 0)
  if (fixes && headerLength >= 20 && headerLength <= copy.length) {
    if (cut > 30) ipv4.setTotalLength(view, 0, copy.length)
    ipv4.writeChecksum(view, 0)
  }
  return copy
}
const step = fc.record({
  packet, damage: fc.option(damage, { freq: 2 }), mtu: fc.constantFrom(0, 0, 68, 576, 1500), order: fc.array(fc.nat(), { maxLength: 6 }), wait: fc.constantFrom(0, 0, 0, 1, 5000, 40_000),
})

describe('UDP and ICMP echo sockets under fuzz', () => {
  it('neither throw nor leak, and still do their work', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const bed = new Bed()
        const server = bound(bed.right, 53)
        const connected = bound(bed.right, 54)
        connected.endpoint.connect(ip(LEFT), 1000)
        const ping = bed.right.stack.ping.open()
        ping.bind(0, 7)
        for (const { packet: whole, damage: harm, mtu, order, wait } of steps) {
          const pieces = mtu === 0 ? [whole] : buildFragments(whole, mtu)
          for (const pick of order) pieces.push(pieces[pick % pieces.length]!)
          for (const [index, piece] of pieces.entries()) bed.injectRight(harm !== null && index === harm.at % pieces.length ? damaged(piece, harm) : piece)
          bed.run(wait)
        }
        bed.run(70_000)
        const { stack } = bed.right
        expect([stack.table.count, stack.reassembly.count, stack.reassembly.bytes]).toEqual([3, 0, 0])
        server.got()
        const client = open(bed.left)
        client.endpoint.send(bytesOf(2000), ip(RIGHT), 53)
        bed.settle()
        expect(server.got().map(({ data }) => data)).toEqual([bytesOf(2000)])
      }),
      { numRuns: 150 },
    )
  })
})
