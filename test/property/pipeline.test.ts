import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseForward } from '../../src/forward-text.js'
import { type Behaviour, DEPENDENCES, MAPPINGS } from '../../src/nat/behaviour.js'
import type { Forward } from '../../src/nat/forwards.js'
import { checkPacket } from '../../src/testing/check-packet.js'
import { buildFragments, buildIcmpEcho, buildIcmpError, buildTcp, buildUdp } from '../../src/testing/packets.js'
import { FuzzPlane, type PlaneOptions, type Step } from '../fuzz/plane.js'
import { bytesOf, E, NOTHING, sourceOf, superpacket, unfinish } from '../stack/support.js'

/** Packets that are right in themselves, from few ends, so that they meet. */
const inside = fc.constantFrom('10.0.0.2', '10.0.0.3')
const remote = fc.constantFrom('198.51.100.10', '198.51.100.20', E)
const port = fc.constantFrom(1, 700, 5000, 5001, 40000)
const side = fc.constantFrom('lan' as const, 'wan' as const)
const packet = fc.record({
  side, inside, remote, near: port, far: fc.constantFrom(53, 80), kind: fc.constantFrom('udp', 'tcp', 'ping', 'error', 'fragments'),
  length: fc.constantFrom(0, 1, 100, 1400, 3000), flags: fc.constantFrom(0x02, 0x12, 0x10, 0x11, 0x18, 0x04), ttl: fc.constantFrom(64, 64, 2, 1),
  df: fc.boolean(), id: fc.nat(3), how: fc.constantFrom('finished', 'unfinished', 'super'), size: fc.constantFrom(100, 1000, 1440), turn: fc.nat(5),
})
type Made = typeof packet extends fc.Arbitrary<infer T> ? T : never
const behaviour: fc.Arbitrary<Behaviour> = fc.record({ mapping: fc.constantFrom(...MAPPINGS), filtering: fc.constantFrom(...DEPENDENCES) })
const FORWARD = parseForward('udp:700:10.0.0.3:5000')!
const options: fc.Arbitrary<PlaneOptions> = fc.record({
  lanMtu: fc.constantFrom(1500, 9000), wanMtu: fc.constantFrom(1500, 1400, 576),
  lanOffloads: fc.constantFrom({ checksum: false, tcp: false, udp: false }, { checksum: true, tcp: true, udp: true }),
  wanOffloads: fc.constantFrom({ checksum: false, tcp: false, udp: false }, { checksum: true, tcp: false, udp: false }, { checksum: true, tcp: true, udp: true }),
  neighbours: fc.boolean(), flows: fc.constantFrom(3, 100), ports: fc.constantFrom<[number, number][]>([[1, 65535]], [[40000, 40001]]),
  fragmentBytes: fc.constantFrom(4096, 65536), mssClamp: fc.boolean(),
  behaviours: fc.record({ tcp: behaviour, udp: behaviour, icmp: behaviour }), forwards: fc.constantFrom<Forward[]>([], [FORWARD]),
})

const bytesFor = (made: Made): Uint8Array[] => {
  const out = made.side === 'lan'
  const ends = out ? { source: made.inside, destination: made.remote } : { source: made.remote, destination: E }
  const ports = out ? { sourcePort: made.near, destinationPort: made.far } : { sourcePort: made.far, destinationPort: made.near }
  const base = { ...ends, ttl: made.ttl, df: made.df, id: made.id, payload: bytesOf(made.length) }
  switch (made.kind) {
    case 'tcp':
      return [buildTcp({ ...base, ...ports, flags: made.flags, options: Uint8Array.of(1, 2, 4, 0x23, 0x28, 1, 1, 1) })]
    case 'ping':
      return [buildIcmpEcho({ ...base, identifier: made.near, reply: !out })]
    case 'error': {
      const quote = buildUdp({ source: ends.destination, destination: ends.source, sourcePort: ports.destinationPort, destinationPort: ports.sourcePort, payload: base.payload })
      return [buildIcmpError({ ...ends, type: 3, code: 1, quote, ttl: made.ttl })]
    }
    case 'fragments': {
      const pieces = buildFragments(buildUdp({ ...base, ...ports, df: false }), 500)
      return pieces.map((_, index) => pieces[(index + made.turn) % pieces.length]!)
    }
    default:
      return [buildUdp({ ...base, ...ports })]
  }
}
const toStep = (made: Made): Step => ({
  kind: made.side,
  packets: bytesFor(made).map((bytes) => {
    const ported = (made.kind === 'udp' || made.kind === 'tcp') && made.how !== 'finished'
    const { bytes: last, vnet } = !ported ? { bytes, vnet: NOTHING } : made.how === 'super' ? superpacket(bytes, made.size) : unfinish(bytes)
    return { bytes: Buffer.from(last).toString('base64'), vnet }
  }),
})
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 12, arbitrary: packet.map(toStep) },
  { weight: 2, arbitrary: fc.constantFrom<Step>({ kind: 'learn' }, { kind: 'fail' }) },
  { weight: 1, arbitrary: fc.constantFrom(1, 20, 301).map((seconds): Step => ({ kind: 'advance', seconds })) },
)

describe('any sequence of sound packets', () => {
  it('leaves as sound packets, on the WAN from a WAN address, touches nothing else, and is forgotten in the end', () => {
    fc.assert(fc.property(options, fc.array(step, { maxLength: 40 }), (settings, steps) => {
      const gateway = new FuzzPlane(settings, 0x3c)
      for (const one of [...steps, { kind: 'learn' } as const, { kind: 'advance', seconds: 10_000 } as const]) {
        expect(gateway.step(one)).toBe('')
        const { lan, wan } = gateway.take()
        // A packet that is quoted with its checksum unfinished stays so, as with the kernel.
        for (const { bytes, vnet } of [...lan, ...wan]) expect(checkPacket(bytes, vnet).filter((text) => !/^quoted .* checksum/.test(text))).toEqual([])
        for (const { bytes } of wan) expect(sourceOf(bytes)).toBe(E)
        // From there only by hairpin.
        if (one.kind === 'wan') for (const { bytes } of lan) expect(sourceOf(bytes)).not.toBe(E)
        expect(gateway.plane.table.count).toBeLessThanOrEqual(settings.flows)
      }
      expect(gateway.plane.table.count).toBe(0)
    }), { numRuns: 150 })
  })
})
