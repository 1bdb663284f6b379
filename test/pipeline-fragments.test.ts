import { describe, expect, it } from 'vitest'
import { checkPacket } from '../src/testing/check-packet.js'
import { MemoryGateway } from '../src/testing/memory-gateway.js'
import { buildFragments, buildIcmpEcho, buildIpv4, buildTcp, buildUdp } from '../src/testing/packets.js'
import { A, B, bytesOf, destinationOf, E, G, icmp, only, P, Q, sourceOf, u16 } from './stack/support.js'

const ORDERS = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] as const
const OUT = { source: A, destination: P, sourcePort: 5000, destinationPort: 53 }
const BACK = { source: P, destination: E, sourcePort: 53, destinationPort: 40000 }

/** The datagram that fragments make, in whatever order. Without the code under test. */
const join = (fragments: readonly Uint8Array[]): Uint8Array => {
  const sorted = [...fragments].sort((a, b) => (u16(a, 6) & 0x1fff) - (u16(b, 6) & 0x1fff))
  const parts = sorted.map((bytes) => bytes.subarray(20))
  for (let index = 1, end = parts[0]!.length; index < parts.length; end += parts[index]!.length, index++) {
    if ((u16(sorted[index]!, 6) & 0x1fff) * 8 !== end) throw new Error('a piece is missing')
  }
  return Buffer.concat(parts)
}
/** The IPv4 header checksum that is right. Without the code under test. */
const checksumOf = (bytes: Uint8Array): number => {
  let sum = 0
  for (let at = 0; at < (bytes[0]! & 15) * 4; at += 2) sum += at === 10 ? 0 : u16(bytes, at)
  return 0xffff - (sum % 0xffff)
}
const bytesIn = (sent: readonly { bytes: Uint8Array }[]): Uint8Array[] => sent.map(({ bytes }) => bytes)

describe('fragments', () => {
  const whole = buildUdp({ ...OUT, id: 7, payload: bytesOf(1200) })
  const pieces = buildFragments(whole, 500)
  const translated = buildUdp({ ...OUT, source: E, sourcePort: 40000, id: 7, payload: bytesOf(1200) })
  const reply = buildUdp({ ...BACK, id: 9, payload: bytesOf(1200, 3) })
  const replyPieces = buildFragments(reply, 500)

  for (const order of ORDERS) {
    it(`UDP-15 (REQ-14), CSUM-7: come through in the order ${order.join(' ')}, out and back`, () => {
      const gateway = new MemoryGateway({ ports: [[40000, 40000]] })
      for (const index of order) gateway.fromLan(pieces[index]!)
      const out = bytesIn(gateway.toWan())
      expect(out).toHaveLength(3)
      expect(out.flatMap((bytes) => checkPacket(bytes))).toEqual([])
      for (const bytes of out) expect([sourceOf(bytes), destinationOf(bytes), bytes[8]]).toEqual([E, P, 63])
      expect(join(out)).toEqual(Buffer.from(translated.subarray(20)))
      for (const index of order) gateway.fromWan(replyPieces[index]!)
      const back = bytesIn(gateway.toLan())
      expect(back).toHaveLength(3)
      for (const bytes of back) expect(destinationOf(bytes)).toBe(A)
      expect(join(back)).toEqual(Buffer.from(buildUdp({ ...BACK, destination: A, destinationPort: 5000, payload: bytesOf(1200, 3) }).subarray(20)))
      expect(gateway.drops).toEqual({})
      expect(gateway.flows).toBe(1)
    })
  }

  it('also of TCP and pings', () => {
    for (const packet of [buildTcp({ ...OUT, flags: 2, id: 3, payload: bytesOf(1200) }), buildIcmpEcho({ source: A, destination: P, identifier: 5, id: 3, payload: bytesOf(1200) })]) {
      for (const order of ORDERS) {
        const gateway = new MemoryGateway()
        const parts = buildFragments(packet, 500)
        for (const index of order) gateway.fromLan(parts[index]!)
        expect(gateway.toWan()).toHaveLength(3)
        expect(gateway.drops).toEqual({})
      }
    }
  })

  it('RTR-8: of a ping to the gateway itself go back, in any order', () => {
    const ping = buildFragments(buildIcmpEcho({ source: A, destination: G, identifier: 5, sequence: 6, id: 3, payload: bytesOf(1200) }), 500)
    const answer = buildIcmpEcho({ source: G, destination: A, reply: true, identifier: 5, sequence: 6, payload: bytesOf(1200) })
    for (const order of ORDERS) {
      const gateway = new MemoryGateway()
      for (const index of order) gateway.fromLan(ping[index]!)
      const back = bytesIn(gateway.toLan())
      expect(back.flatMap((bytes) => checkPacket(bytes))).toEqual([])
      for (const bytes of back) expect([sourceOf(bytes), destinationOf(bytes), u16(bytes, 4), bytes[8]]).toEqual([G, A, 3, 64])
      expect(join(back)).toEqual(Buffer.from(answer.subarray(20)))
      expect([gateway.drops, gateway.flows]).toEqual([{}, 0])
    }
  })

  it('RTR-16: when the first is refused, so are the others, before and after it', () => {
    for (const order of ORDERS) {
      const gateway = new MemoryGateway()
      const refused = buildFragments(buildUdp({ ...OUT, ttl: 1, id: 7, payload: bytesOf(1200) }), 500)
      for (const index of order) gateway.fromLan(refused[index]!)
      expect(gateway.toWan()).toEqual([])
      expect(gateway.toLan()).toHaveLength(1)
      expect(gateway.drops).toEqual({ 'ttl-expired': 1, 'fragment-orphan': 2 })
      expect(gateway.flows).toBe(0)
    }
  })

  it('from outside without a flow: dropped, whatever the order', () => {
    for (const order of ORDERS) {
      const gateway = new MemoryGateway()
      for (const index of order) gateway.fromWan(replyPieces[index]!)
      expect(gateway.toLan()).toEqual([])
      expect(gateway.drops).toEqual({ 'no-flow': 1, 'fragment-orphan': 2 })
    }
  })

  it('FRG-1: the same key inside and outside do not mix', () => {
    const gateway = new MemoryGateway()
    gateway.fromLan(pieces[0]!)
    gateway.toWan()
    gateway.fromWan(pieces[1]!)
    expect(gateway.toLan()).toEqual([])
    expect(gateway.toWan()).toEqual([])
    gateway.fromLan(pieces[1]!)
    expect(gateway.toWan()).toHaveLength(1)
  })

  it('FRG-2: a first fragment that does not come loses the others after 30 s; they are counted, and nobody is told', () => {
    const gateway = new MemoryGateway()
    gateway.fromLan(pieces[1]!).fromLan(pieces[2]!)
    gateway.advance(29)
    expect(gateway.drops).toEqual({})
    gateway.advance(1)
    expect(gateway.drops).toEqual({ 'fragment-expired': 2 })
    expect(gateway.toLan()).toEqual([])
    gateway.fromLan(pieces[0]!)
    expect(gateway.toWan()).toHaveLength(1)
  })

  it('FRG-2, RTR-17: when the first came and another did not, its sender is told 11/1 after 30 s, quoting it as it was sent', () => {
    const gateway = new MemoryGateway({ ports: [[40000, 40000]] })
    gateway.fromLan(pieces[2]!).fromLan(pieces[0]!)
    expect(gateway.toWan()).toHaveLength(2)
    gateway.advance(29)
    expect(gateway.toLan()).toEqual([])
    gateway.advance(1)
    const told = only(gateway.toLan())
    expect(checkPacket(told)).toEqual([])
    expect([sourceOf(told), destinationOf(told), icmp(told)]).toEqual([G, A, '11/1'])
    expect(told.subarray(28)).toEqual(pieces[0]!.subarray(0, 128))
    // The same from outside.
    gateway.fromWan(replyPieces[0]!)
    expect(gateway.toLan()).toHaveLength(1)
    gateway.advance(31)
    const back = only(gateway.toWan())
    expect([sourceOf(back), destinationOf(back), icmp(back)]).toEqual([E, P, '11/1'])
    expect(back.subarray(28)).toEqual(replyPieces[0]!.subarray(0, 128))
    expect(gateway.drops).toEqual({})
    // The time was over: what comes now begins anew.
    gateway.fromLan(pieces[1]!)
    expect(gateway.toWan()).toEqual([])
  })

  it('FRG-2: nobody is told of what was refused or came to nobody, and no more than the limit allows', () => {
    const gateway = new MemoryGateway()
    gateway.fromWan(replyPieces[0]!)
    gateway.fromLan(buildFragments(buildUdp({ ...OUT, ttl: 1, id: 7, payload: bytesOf(1200) }), 500)[0]!)
    expect(gateway.toLan()).toHaveLength(1)
    gateway.advance(60)
    expect([gateway.toLan(), gateway.toWan()]).toEqual([[], []])
    for (let id = 0; id < 500; id++) gateway.fromLan(buildFragments(buildUdp({ ...OUT, id, payload: bytesOf(1200) }), 500)[0]!)
    gateway.toWan()
    gateway.advance(60)
    expect(gateway.toLan()).toHaveLength(50)
  })

  it('FRG-2: they come through when it comes just in time', () => {
    const gateway = new MemoryGateway()
    gateway.fromLan(pieces[1]!).fromLan(pieces[2]!)
    gateway.advance(29)
    gateway.fromLan(pieces[0]!)
    expect(gateway.toWan()).toHaveLength(3)
  })

  it('later fragments of a flow that has ended go nowhere', () => {
    const gateway = new MemoryGateway({ timeouts: { udp: 5 } })
    gateway.fromLan(pieces[0]!)
    gateway.advance(6)
    gateway.toWan()
    gateway.fromLan(pieces[1]!)
    expect(gateway.toWan()).toEqual([])
    expect(gateway.drops).toEqual({ 'fragment-orphan': 1 })
  })

  it('an ID that is used again after 2 s while its predecessor is incomplete loses nothing more', () => {
    const gateway = new MemoryGateway()
    gateway.fromLan(pieces[0]!).fromLan(pieces[2]!)
    gateway.toWan()
    for (let round = 0; round < 3; round++) {
      gateway.advance(3)
      for (const piece of pieces) gateway.fromLan(piece)
      expect(join(bytesIn(gateway.toWan())).length).toBe(1208)
    }
    expect(gateway.drops).toEqual({})
  })

  it('FRG-3: that come twice leave once, before and after the first', () => {
    for (const order of ORDERS) {
      const gateway = new MemoryGateway()
      for (const index of order.slice(0, 2)) gateway.fromLan(pieces[index]!).fromLan(pieces[index]!)
      gateway.fromLan(pieces[order[2]]!)
      const out = bytesIn(gateway.toWan())
      expect(out).toHaveLength(3)
      expect(join(out).length).toBe(1208)
      expect(gateway.drops).toEqual({ 'fragment-duplicate': 2 })
    }
  })

  it('FRG-3: one that overlaps another loses its whole datagram, what waits of it and what is still to come', () => {
    const bad = buildIpv4({ source: A, destination: P, protocol: 17, id: 7, offset: 472, mf: true, payload: bytesOf(16) })
    const gateway = new MemoryGateway()
    gateway.fromLan(pieces[1]!).fromLan(bad)
    for (const piece of pieces) gateway.fromLan(piece)
    expect(gateway.toWan()).toEqual([])
    expect(gateway.drops).toEqual({ 'fragment-overlap': 5 })
    expect(gateway.flows).toBe(0)
    gateway.advance(30)
    expect(gateway.toLan()).toEqual([])
    for (const piece of pieces) gateway.fromLan(piece)
    expect(gateway.toWan()).toHaveLength(3)
  })

  it('FRG-7: what arrives is one datagram, of fragments no larger than those that came', () => {
    const gateway = new MemoryGateway()
    const parts = buildFragments(whole, 300)
    for (const piece of [...parts].reverse()) gateway.fromLan(piece)
    const out = bytesIn(gateway.toWan())
    expect(out.map(({ length }) => length).sort()).toEqual(parts.map(({ length }) => length).sort())
    expect(new Set(out.map((bytes) => u16(bytes, 4))).size).toBe(1)
    expect(join(out).subarray(8)).toEqual(Buffer.from(bytesOf(1200)))
  })

  it('FRG-4, FRG-5: impossible ones go nowhere', () => {
    const gateway = new MemoryGateway()
    const part = (protocol: number, offset: number, length: number, mf = false): Uint8Array =>
      buildIpv4({ source: A, destination: P, protocol, id: 7, offset, mf, payload: bytesOf(length) })
    // More than 65535 bytes in all, a length that is no multiple of 8, nothing at all, TCP headers that are short or split.
    for (const bytes of [part(1, 65528, 100), part(17, 0, 100, true), part(17, 800, 0), part(6, 0, 8, true), part(6, 8, 100)]) gateway.fromLan(bytes)
    gateway.advance(40)
    expect([gateway.toWan(), gateway.toLan()]).toEqual([[], []])
    expect(gateway.drops).toEqual({ 'bad-fragment': 5 })
  })

  it('RTR-11, RTR-12: keep TOS, the reserved bit and options', () => {
    const gateway = new MemoryGateway()
    const ipOptions = Uint8Array.of(200, 4, 1, 2)
    for (const piece of buildFragments(buildUdp({ ...OUT, tos: 0xb9, ipOptions, id: 7, payload: bytesOf(1200) }), 500)) {
      piece[6]! |= 0x80
      new DataView(piece.buffer).setUint16(10, checksumOf(piece))
      gateway.fromLan(piece)
    }
    const out = bytesIn(gateway.toWan())
    expect(out).toHaveLength(3)
    for (const bytes of out) expect([bytes[1], bytes[6]! & 0x80, bytes.subarray(20, 24)]).toEqual([0xb9, 0x80, ipOptions])
  })

  it('UDP-15 (REQ-14), FRG-6: 100 000 half datagrams hurt neither whole packets nor fragments in order, nor those of others', () => {
    const gateway = new MemoryGateway({ limits: { fragmentBytes: 64 << 10 } })
    const theirs = buildFragments(buildUdp({ ...OUT, source: B, id: 7, payload: bytesOf(1200) }), 500)
    gateway.fromLan(theirs[2]!)
    const half = buildIpv4({ source: A, destination: P, protocol: 17, offset: 8, mf: true, payload: bytesOf(64) })
    for (let flooded = 0; flooded < 100_000; flooded++) {
      const bytes = half.slice()
      new DataView(bytes.buffer).setUint16(4, flooded & 0xffff)
      // A second after 65536: other offsets, so that they are no duplicates.
      bytes[7] = flooded >>> 16 === 0 ? 1 : 101
      new DataView(bytes.buffer).setUint16(10, checksumOf(bytes))
      gateway.lan.push(bytes)
    }
    gateway.fromLan(buildIcmpEcho({ source: A, destination: P, identifier: 5 }))
    expect(gateway.toWan()).toHaveLength(1)
    for (let id = 60_000; id < 60_100; id++) {
      for (const piece of buildFragments(buildUdp({ ...OUT, destination: Q, id, payload: bytesOf(1200) }), 500)) gateway.fromLan(piece)
    }
    expect(gateway.toWan()).toHaveLength(300)
    gateway.fromLan(theirs[1]!).fromLan(theirs[0]!)
    expect(gateway.toWan()).toHaveLength(3)
    expect(gateway.flows).toBe(3)
    gateway.advance(31)
    const { 'fragment-limit': refused, 'fragment-expired': expired, ...others } = gateway.drops
    expect(others).toEqual({})
    expect(refused! + expired!).toBe(100_000)
    // And afterwards all is as it was.
    for (const order of ORDERS) {
      for (const index of order) gateway.fromLan(pieces[index]!)
      expect(gateway.toWan()).toHaveLength(3)
    }
  })

  it('that are themselves too long are cut further (FRG-8)', () => {
    const gateway = new MemoryGateway({ wanMtu: 400 })
    for (const piece of pieces) gateway.fromLan(piece)
    const out = bytesIn(gateway.toWan())
    expect(out.map(({ length }) => length)).toEqual([396, 124, 396, 124, 268])
    expect(out.flatMap((bytes) => checkPacket(bytes))).toEqual([])
    expect(join(out).length).toBe(1208)
  })

  it('that are too long and must not be cut are dropped; the sender is told about the first only (RTR-3)', () => {
    const gateway = new MemoryGateway({ wanMtu: 400 })
    const part = (offset: number): Uint8Array =>
      buildIpv4({ source: A, destination: P, protocol: 17, id: 7, df: true, mf: true, offset, payload: whole.subarray(20 + offset, 20 + offset + 480) })
    gateway.fromLan(part(0)).fromLan(part(480))
    expect(gateway.toWan()).toEqual([])
    expect(gateway.toLan().map(({ bytes }) => icmp(bytes))).toEqual(['3/4'])
    expect(gateway.drops).toEqual({ 'too-big': 1, 'fragment-orphan': 1 })
    // The first fits, the second does not.
    const short = buildIpv4({ source: A, destination: P, protocol: 17, id: 8, df: true, mf: true, payload: whole.subarray(20, 100) })
    gateway.fromLan(short)
    expect(gateway.toWan()).toHaveLength(1)
    const long = buildIpv4({ source: A, destination: P, protocol: 17, id: 8, df: true, offset: 80, payload: whole.subarray(100, 580) })
    gateway.fromLan(long)
    expect(gateway.toWan()).toEqual([])
    expect(gateway.toLan()).toEqual([])
    expect(gateway.drops).toEqual({ 'too-big': 2, 'fragment-orphan': 1 })
  })
})
