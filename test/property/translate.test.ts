import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { NO_OFFLOADS } from '../../src/stack/device/device.js'
import type { SentPacket, VnetHeader } from '../../src/stack/device/memory.js'
import { SYN } from '../../src/stack/wire/tcp.js'
import { checkPacket } from '../../src/testing/check-packet.js'
import { MemoryGateway } from '../../src/testing/memory-gateway.js'
import { buildIcmpEcho, buildTcp, buildUdp } from '../../src/testing/packets.js'
import { E, headerOf, ip, only, sourceOf, u16, u32, unfinish } from '../stack/support.js'

const ALL = { checksum: true, tcp: true, udp: true }
/** An ordinary address: no network 0 or 127, below 224. */
const address = fc.tuple(fc.integer({ min: 1, max: 223 }).filter((first) => first !== 127), fc.integer({ min: 0, max: 0xffffff })).map(([first, rest]) => (first << 24) | rest)
const port = fc.integer({ min: 1, max: 65535 })
const payload = fc.uint8Array({ maxLength: 300, size: 'max' })

const ends = fc.record({ source: address, destination: address, sourcePort: port, destinationPort: port, ttl: fc.integer({ min: 2, max: 255 }), tos: fc.nat(255), id: fc.nat(65535), df: fc.boolean(), payload })
  .filter(({ source, destination }) => source !== destination && destination !== ip('10.0.0.1') && destination !== ip(E) && source !== ip(E))
const kind = fc.constantFrom('udp', 'udp without checksum', 'tcp', 'icmp')

type Ends = { source: number; destination: number; sourcePort: number; destinationPort: number; payload: Uint8Array; acknowledgment?: number }
const build = (which: string, fields: Ends, isReply: boolean): Uint8Array => {
  if (which === 'tcp') return buildTcp({ ...fields, flags: isReply ? SYN | 0x10 : SYN, sequence: fields.sourcePort * 65537 })
  if (which === 'icmp') return buildIcmpEcho({ ...fields, identifier: isReply ? fields.destinationPort : fields.sourcePort, sequence: 7, reply: isReply })
  return buildUdp({ ...fields, checksum: which === 'udp' })
}
/** The answer that the other end gives to a packet: its ends turned round. */
const answer = (which: string, packet: Uint8Array, data: Uint8Array): Uint8Array => {
  const header = headerOf(packet)
  const isIcmp = which === 'icmp'
  const acknowledgment = which === 'tcp' ? u32(packet, header + 4) + packet.length - header - 20 + 1 : 0
  return build(which, {
    source: ip(packet.subarray(16, 20).join('.')), destination: ip(sourceOf(packet)),
    sourcePort: isIcmp ? 1 : u16(packet, header + 2), destinationPort: isIcmp ? u16(packet, header + 4) : u16(packet, header), payload: data, acknowledgment,
  }, true)
}

describe('translation', () => {
  it('there and back is the identity for addresses, ports and payload, and checksums are always right', () => {
    fc.assert(fc.property(fc.array(fc.tuple(kind, ends, payload, fc.boolean()), { minLength: 1, maxLength: 12 }), fc.boolean(), (flows, offloads) => {
      const gateway = new MemoryGateway({ lanOffloads: offloads ? ALL : NO_OFFLOADS, wanOffloads: offloads ? ALL : NO_OFFLOADS, ports: [[1, 1100]], lanMtu: 65535, wanMtu: 65535 })
      const sound = ({ bytes, vnet }: SentPacket): Uint8Array => {
        expect(checkPacket(bytes, vnet)).toEqual([])
        return bytes
      }
      const asKernel = (bytes: Uint8Array, partial: boolean): [Uint8Array, VnetHeader?] => {
        // A checksum of 0 means that there is none, so there is none to leave unfinished.
        if (!partial || bytes[9] === 1 || (bytes[9] === 17 && u16(bytes, headerOf(bytes) + 6) === 0)) return [bytes]
        const made = unfinish(bytes)
        return [made.bytes, made.vnet]
      }
      for (const [which, fields, data, partial] of flows) {
        const original = build(which, fields, false)
        const before = gateway.flows
        gateway.fromLan(...asKernel(original, partial))
        const sent = gateway.toWan()
        // The same ends may come twice; then the flow is the same.
        expect(gateway.flows - before).toBeLessThanOrEqual(1)
        const [packet] = sent
        if (packet === undefined) throw new Error(`not sent: ${JSON.stringify(gateway.drops)}`)
        const out = sound(packet)
        expect(sourceOf(out)).toBe(E)
        const header = headerOf(out)
        expect(out.subarray(16, 20)).toEqual(original.subarray(16, 20))
        // What is neither address, port, TTL nor checksum has not changed, nor has the ID with DF set.
        const id = fields.df ? original.subarray(4, 6) : out.subarray(4, 6)
        expect(out.subarray(0, 8)).toEqual(Uint8Array.of(...original.subarray(0, 4), ...id, ...original.subarray(6, 8)))
        expect(out[8]).toBe(original[8]! - 1)
        expect(out.subarray(header + (original[9] === 6 ? 18 : 8))).toEqual(original.subarray(header + (original[9] === 6 ? 18 : 8)))

        const reply = answer(which, out, data)
        gateway.fromWan(...asKernel(reply, partial))
        const back = sound(gateway.toLan()[0]!)
        const expected = answer(which, original, data)
        expect(back.subarray(12, 20)).toEqual(expected.subarray(12, 20))
        const checksum = back[9] === 6 ? 16 : back[9] === 17 ? 6 : 2
        const cleared = (bytes: Uint8Array): Uint8Array => {
          const copy = bytes.slice(20)
          if (partial) copy.fill(0, checksum, checksum + 2)
          return copy
        }
        expect(cleared(back)).toEqual(cleared(expected))
      }
      expect(Object.keys(gateway.drops)).toEqual([])
      gateway.advance(10_000)
      expect(gateway.flows).toBe(0)
    }), { numRuns: 150 })
  })

  it('never gives two live flows one external port towards one remote', () => {
    const host = fc.integer({ min: 2, max: 250 })
    fc.assert(fc.property(fc.array(fc.tuple(host, fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 3 })), { maxLength: 200 }), (packets) => {
      const gateway = new MemoryGateway({ ports: [[1, 30], [2000, 2010]] })
      const owners = new Map<string, string>()
      for (const [last, sourcePort, remote] of packets) {
        const source = `10.0.0.${last}`
        gateway.fromLan(buildUdp({ source, destination: `198.51.100.${remote}`, sourcePort, destinationPort: 53 }))
        const sent = gateway.toWan()
        if (sent.length === 0) continue
        const outside = `${u16(only(sent), 20)} ${remote}`
        const inside = `${source}:${sourcePort}`
        expect(owners.get(outside) ?? inside).toBe(inside)
        owners.set(outside, inside)
      }
      expect(new Set(owners.values()).size).toBeLessThanOrEqual(owners.size)
      expect(gateway.flows).toBe(owners.size)
    }), { numRuns: 60 })
  })
})
