import { describe, expect, it } from 'vitest'
import { createLogRing, LOG_BYTES, LOG_RING_MIN, RuleLog, RuleLogReader, type LogRecord } from '../../src/hooks/log-ring.js'
import type { PacketMeta } from '../../src/policy/engine/packet-meta.js'
import { HOOK_NAMES } from '../../src/policy/model.js'
import { checkPacket } from '../../src/testing/check-packet.js'
import { buildFragments, buildTcp, buildUdp, buildUdpLite, type PacketOptions } from '../../src/testing/packets.js'
import { Bed, packetOf } from '../policy/engine/support.js'
import { A, bytesOf, ip, P, parsed, Q, superpacket, taken, unfinish } from '../stack/support.js'

const FORWARD = HOOK_NAMES.indexOf('FORWARD')
const ENDS: PacketOptions & { sourcePort: number; destinationPort: number } = { source: A, destination: P, sourcePort: 40000, destinationPort: 80 }

/** Rules, and the ring that what they log goes through. */
const setUp = (rules: string, ring = createLogRing(LOG_RING_MIN)) => {
  const bed = new Bed(rules)
  const clock = { now: 1234.5 }
  const log = new RuleLog(ring, (into) => (into[0] = clock.now))
  const reader = new RuleLogReader(ring)
  /** A packet passes FORWARD, with what rules see of it. */
  const pass = ({ slab, packet }: ReturnType<typeof parsed>, change: Partial<PacketMeta> = {}): void => {
    const { source, destination, protocol, length, ttl, fragment, tcpFlags } = packet
    const ports = { sourcePort: packet.ports >>> 16, destinationPort: packet.ports & 0xffff, hasPorts: fragment !== 2 }
    const meta = packetOf({ source, destination, protocol, length, ttl, fragment, tcpFlags, ...ports, ...change })
    const outcome = bed.run('FORWARD', meta)
    if (outcome.logCount > 0) log.write(outcome, bed.compiled, FORWARD, slab, packet, meta)
  }
  const all = (): LogRecord[] => {
    const records: LogRecord[] = []
    for (let record = reader.read(); record !== undefined; record = reader.read()) records.push(record)
    return records
  }
  const idOf = (index: number): number => bed.ruleset.tables.filter.chains.find(({ name }) => name === 'FORWARD')!.rules[index]!.id
  return { bed, clock, log, reader, pass, all, idOf }
}

describe('the ring of what rules log', () => {
  it('hands over who logged, where and when, the mark of that moment, and the packet', () => {
    const { pass, all, idOf } = setUp('-A FORWARD -j LOG\n-A FORWARD -j MARK --set-mark 0xfffffffe\n-A FORWARD -j NFLOG\n-A FORWARD -j DROP')
    const bytes = buildTcp({ ...ENDS, payload: bytesOf(500) })
    pass(parsed(bytes), { inInterface: 2, outInterface: 3 })
    const common = { hook: FORWARD, input: 2, output: 3, time: 1234.5, originalLength: bytes.length }
    expect(all()).toEqual([
      { ...common, rule: idOf(0), mark: 0, bytes: bytes.slice(0, LOG_BYTES) },
      { ...common, rule: idOf(2), mark: 0xfffffffe, bytes },
    ])
  })

  it.each([
    ['LOG', 1000, LOG_BYTES],
    ['LOG', 45, 45],
    ['NFLOG', 1001, 1001],
    ['NFLOG --nflog-size 999', 1002, 999],
    ['NFLOG --nflog-size 4', 1000, LOG_BYTES],
    ['NFLOG --nflog-range 300', 1003, 1003],
    ['NFLOG --nflog-size 5000', 1000, 1000],
  ])('%s keeps of a packet of %i bytes %i', (target, length, kept) => {
    const { pass, all } = setUp(`-A FORWARD -j ${target}`)
    const bytes = buildTcp({ ...ENDS, payload: bytesOf(length - 40) })
    pass(parsed(bytes))
    expect(all()).toMatchObject([{ originalLength: length, bytes: bytes.slice(0, kept) }])
  })

  it('keeps a superpacket whole', () => {
    const { pass, all } = setUp('-A FORWARD -j NFLOG')
    const { bytes, vnet } = superpacket(buildTcp({ ...ENDS, payload: bytesOf(65495) }), 1460)
    pass(parsed(bytes, vnet))
    expect(Buffer.compare(all()[0]!.bytes, bytes)).toBe(0)
  })

  it.each([
    ['TCP', buildTcp({ ...ENDS, payload: bytesOf(33) })],
    ['UDP', buildUdp({ ...ENDS, payload: bytesOf(33) })],
    ['UDP without a checksum', buildUdp({ ...ENDS, checksum: false, payload: bytesOf(33) })],
    ['UDP-Lite', buildUdpLite({ ...ENDS, payload: bytesOf(33) })],
  ])('shows addresses, ports, TTL and TOS as rules saw them, with fitting checksums, and leaves the packet alone: %s', (_, bytes) => {
    const { pass, all } = setUp('-A FORWARD -j NFLOG')
    const { slab, packet } = parsed(bytes)
    const seen = { source: ip(Q), destination: ip('10.0.0.99'), sourcePort: 1025, destinationPort: 8080, ttl: 5, tos: 0xb8 }
    pass({ slab, packet }, seen)
    const [record] = all()
    expect(checkPacket(record!.bytes)).toEqual([])
    const copy = parsed(record!.bytes).packet
    expect(copy).toMatchObject({ source: seen.source, destination: seen.destination, ports: (1025 << 16) | 8080, ttl: 5 })
    expect(record!.bytes[1]).toBe(0xb8)
    expect(record!.bytes.slice(-33)).toEqual(bytes.slice(-33))
    expect(taken(slab, bytes.length)).toEqual(bytes)
  })

  it('leaves an unfinished checksum unfinished', () => {
    const { pass, all } = setUp('-A FORWARD -j NFLOG')
    const made = unfinish(buildUdp({ ...ENDS, payload: bytesOf(8) }))
    pass(parsed(made.bytes, made.vnet), { destination: ip('10.0.0.99'), destinationPort: 8080 })
    const expected = unfinish(buildUdp({ ...ENDS, destination: '10.0.0.99', destinationPort: 8080, payload: bytesOf(8) }))
    expect(all()[0]!.bytes).toEqual(expected.bytes)
  })

  it('does not look for ports in later fragments', () => {
    const { pass, all } = setUp('-A FORWARD -j NFLOG')
    const [, later] = buildFragments(buildUdp({ ...ENDS, payload: bytesOf(3000) }), 1500)
    pass(parsed(later!), { destination: ip(Q) })
    const record = all()[0]!
    expect(record.bytes.slice(20)).toEqual(later!.slice(20))
    expect(checkPacket(record.bytes)).toEqual([])
  })

  it('counts what finds no room, and what the evaluator had no room for', () => {
    const { pass, all, reader } = setUp(`${'-A FORWARD -j LOG\n'.repeat(40)}-A FORWARD -j NFLOG`)
    const packet = parsed(buildTcp(ENDS))
    pass(packet)
    expect(reader.lost).toBe(9)
    expect(all()).toHaveLength(32)

    const full = setUp('-A FORWARD -j NFLOG')
    const large = parsed(buildUdp({ ...ENDS, payload: bytesOf(65507) }))
    for (let count = 0; count < 5; count++) full.pass(large)
    expect([full.reader.lost, full.all().length]).toEqual([2, 3])
    full.pass(large)
    expect([full.reader.lost, full.all().length]).toEqual([2, 1])
  })

  it('writes nothing for a packet that only asks what would be', () => {
    const { bed, log, all } = setUp('-A FORWARD -j LOG')
    const { slab, packet } = parsed(buildTcp(ENDS))
    bed.evaluator.outcome.isDry = true
    const outcome = bed.run('FORWARD', packetOf())
    expect(outcome.logCount).toBe(1)
    log.write(outcome, bed.compiled, FORWARD, slab, packet, packetOf())
    expect(all()).toEqual([])
  })
})
