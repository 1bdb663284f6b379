/** Fragments and path MTU, row by row. */
import { describe, expect, it } from 'vitest'
import { SYN } from '../../src/stack/wire/tcp.js'
import {
  A, B, buildFragments, buildIpv4, buildTcp, buildUdp, bytesOf, checkPacket, destinationOf, E, end, from, G, gatewayOf, icmp, inward, mssOption, only,
  outward, P, packet, pieces, ping, Q, same, silent, sourceOf, swallows, u16,
} from './support.js'

const HOST = end(A, 5000)
const REMOTE = end(P, 53)
const offsetOf = (bytes: Uint8Array): number => (u16(bytes, 6) & 0x1fff) * 8
const bytesIn = (sent: readonly { bytes: Uint8Array }[]): Uint8Array[] => sent.map(({ bytes }) => bytes)

/** The datagram that fragments make, in whatever order, verified. Without the code under test. */
const joined = (fragments: readonly Uint8Array[]): Uint8Array => {
  const sorted = [...fragments].sort((a, b) => offsetOf(a) - offsetOf(b))
  const [first] = sorted as [Uint8Array]
  let end = 0
  for (const piece of sorted) {
    if (offsetOf(piece) !== end) throw new Error(`a piece is missing at ${end}`)
    end += piece.length - 20
  }
  const whole = buildIpv4({ source: sourceOf(first), destination: destinationOf(first), protocol: first[9]!, payload: Buffer.concat(sorted.map((piece) => piece.subarray(20))) })
  expect(checkPacket(whole)).toEqual([])
  return whole
}

describe('fragments', () => {
  it('FRG-1: datagrams with one ID from different hosts, of different protocols and from either side do not mix', () => {
    const gateway = gatewayOf('behave')
    const sources = [HOST, end(B, 6000)]
    const datagrams = sources.map((source) => pieces(source, REMOTE, 7, 900))
    const tcp = buildFragments(buildTcp({ source: A, sourcePort: 7000, destination: P, destinationPort: 80, flags: SYN, id: 7, payload: bytesOf(900) }), 500)
    const home = pieces(REMOTE, end(E, 5000), 7, 900)
    const sent: Uint8Array[] = []
    for (const index of [0, 1]) {
      for (const each of [...datagrams, tcp]) sent.push(...bytesIn(gateway.fromLan(each[index]!).toWan()))
      gateway.fromWan(home[index]!)
    }
    const ids = sent.map((bytes) => `${bytes[9]} ${u16(bytes, 4)}`)
    const whole = [...new Set(ids)].map((id) => joined(sent.filter((_, index) => ids[index] === id)))
    expect(whole.map(from).sort()).toEqual([`${E}:5000`, `${E}:6000`, `${E}:7000`])
    expect(bytesIn(gateway.toLan()).map(destinationOf)).toEqual([A, A])
  })

  it('FRG-2: later fragments wait up to 30 s for their first, counted from the first arrival; then they are gone, without a word', () => {
    const [first, ...later] = pieces(HOST, REMOTE, 7, 1200) as [Uint8Array, ...Uint8Array[]]
    for (const [seconds, passed] of [[29, 3], [31, 1]] as const) {
      const gateway = gatewayOf('behave')
      gateway.fromLan(later[0]!)
      gateway.advance(15)
      gateway.fromLan(later[1]!)
      gateway.advance(seconds - 15)
      expect(gateway.toLan()).toEqual([])
      expect(gateway.fromLan(first).toWan()).toHaveLength(passed)
    }
  })

  it('FRG-2: an incomplete datagram whose first fragment came is told to its sender with 11/1 after 30 s, quoting what it sent', () => {
    const gateway = gatewayOf('behave')
    const [first, , last] = pieces(HOST, REMOTE, 7, 1200) as [Uint8Array, Uint8Array, Uint8Array]
    gateway.fromLan(first)
    gateway.advance(20)
    gateway.fromLan(last)
    gateway.advance(9)
    expect(gateway.toLan()).toEqual([])
    gateway.advance(2)
    const told = only(gateway.toLan())
    expect([sourceOf(told), destinationOf(told), icmp(told), same(told.subarray(40, 56), first.subarray(12, 28))]).toEqual([G, A, '11/1', true])
    // Nobody is told of a datagram whose first fragment never came, nor of one that was refused.
    gateway.fromLan(pieces(HOST, REMOTE, 8, 1200)[1]!).fromWan(pieces(REMOTE, end(E, 9), 9, 1200)[0]!)
    gateway.toWan()
    gateway.advance(40)
    expect(silent(gateway)).toBe(true)
  })

  const part = (offset: number, length: number, id = 7): Uint8Array => {
    const whole = buildUdp({ source: A, sourcePort: 5000, destination: P, destinationPort: 53, payload: bytesOf(1992) }).subarray(20)
    return buildIpv4({ source: A, destination: P, protocol: 17, id, offset, mf: offset + length < whole.length, payload: whole.subarray(offset, offset + length) })
  }
  it.each([
    ['reaches into its predecessor', 640, 800], ['reaches into its successor', 480, 400], ['covers what came', 480, 1200], ['begins where another does, and is longer', 800, 640],
  ])('FRG-3: a fragment that %s ends its datagram: nothing more of it passes, also what is right', (_, offset, length) => {
    const gateway = gatewayOf('behave')
    for (const [at, bytes] of [[0, 480], [800, 480]] as const) expect(gateway.fromLan(part(at, bytes)).toWan()).toHaveLength(1)
    if (offset === 640) expect(gateway.fromLan(part(480, 320)).toWan()).toHaveLength(1)
    for (const [at, bytes] of [[offset, length], [480, 320], [1280, 720], [0, 480]] as const) expect(gateway.fromLan(part(at, bytes)).toWan()).toEqual([])
    // Others are not touched; and the ID is good again when its time is over.
    expect(gateway.fromLan(part(0, 480, 8)).toWan()).toHaveLength(1)
    gateway.advance(31)
    expect(gateway.fromLan(part(0, 480)).toWan()).toHaveLength(1)
  })

  it('FRG-3: a duplicate, exact or contained, is ignored, and the datagram completes', () => {
    const gateway = gatewayOf('behave')
    const passed: Uint8Array[] = []
    for (const [at, bytes] of [[0, 480], [480, 480], [480, 480], [560, 160], [1280, 720], [1280, 720], [960, 320]] as const) passed.push(...bytesIn(gateway.fromLan(part(at, bytes)).toWan()))
    expect(passed).toHaveLength(4)
    expect(same(joined(passed).subarray(28), bytesOf(1992))).toBe(true)
  })

  it('FRG-4: a fragment that reaches beyond 65535 bytes, or of odd length before the last, is dropped', () => {
    const gateway = gatewayOf('behave')
    const part = { source: A, destination: P, protocol: 17, id: 7 }
    for (const bytes of [
      buildIpv4({ ...part, offset: 65_528, payload: bytesOf(100) }), buildIpv4({ ...part, offset: 65_512, mf: true, payload: bytesOf(8) }),
      buildIpv4({ ...part, mf: true, payload: bytesOf(101) }), buildIpv4({ ...part, mf: true, offset: 80, payload: new Uint8Array(0) }),
    ]) expect(swallows(gateway, 'lan', bytes)).toBe(true)
    expect([gateway.flows, gateway.dropped]).toEqual([0, 4])
  })

  it('FRG-5: a TCP header cut in two is dropped: first fragments of 8 or 16 bytes, any fragment at offset 8', () => {
    const gateway = gatewayOf('behave')
    const segment = buildTcp({ source: A, sourcePort: 5000, destination: P, destinationPort: 80, flags: SYN, payload: bytesOf(100) }).subarray(20)
    const part = { source: A, destination: P, protocol: 6, id: 7, mf: true }
    for (const length of [8, 16]) expect(swallows(gateway, 'lan', buildIpv4({ ...part, payload: segment.subarray(0, length) }))).toBe(true)
    expect(swallows(gateway, 'lan', buildIpv4({ ...part, offset: 8, payload: segment.subarray(8, 48) }))).toBe(true)
    expect([gateway.flows, gateway.dropped]).toEqual([0, 3])
  })

  it('FRG-6: a flood of fragments is bounded in memory, and touches no whole packet', () => {
    const gateway = gatewayOf('behave', { limits: { fragmentBytes: 64 << 10 } })
    for (let id = 0; id < 5000; id++) gateway.lan.push(buildIpv4({ source: A, destination: P, protocol: 17, id, offset: 800, mf: true, payload: bytesOf(800) }))
    expect(outward(gateway, packet('udp', end(B, 5000), REMOTE)).length).toBe(28)
    expect(gateway.drops['fragment-limit']).toBeGreaterThan(4000)
    expect([ping(gateway, A, Q), gateway.flows]).toEqual([7, 2])
  })

  it('FRG-6: one host\'s flood of half datagrams leaves room for another\'s, in any order', () => {
    const gateway = gatewayOf('behave', { limits: { fragmentBytes: 64 << 10 } })
    for (let id = 0; id < 20_000; id++) {
      gateway.lan.push(buildIpv4({ source: A, destination: P, protocol: 17, id, offset: 800, mf: true, payload: bytesOf(400) }))
      if (id % 2000 !== 1999) continue
      gateway.fromLan(packet('udp', end(A, 5000), REMOTE)).toWan()
      const [first, ...later] = pieces(end(B, 5000), REMOTE, id, 1200) as [Uint8Array, ...Uint8Array[]]
      for (const piece of later) gateway.fromLan(piece)
      expect(gateway.fromLan(first).toWan()).toHaveLength(3)
    }
  })

  it('FRG-7: the receiver gets one right datagram, in pieces as large as they came, whatever their order', () => {
    for (const order of [[0, 1, 2], [2, 1, 0], [1, 0, 2], [1, 2, 0]]) {
      const gateway = gatewayOf('behave', { ports: [[40000, 40000]] })
      const parts = buildFragments(buildUdp({ source: A, sourcePort: 5000, destination: P, destinationPort: 53, id: 7, payload: bytesOf(1200) }), 500)
      for (const index of order) gateway.fromLan(parts[index]!)
      const sent = bytesIn(gateway.toWan())
      expect(sent.map(({ length }) => length).sort()).toEqual(parts.map(({ length }) => length).sort())
      const whole = joined(sent)
      expect([from(whole), same(whole.subarray(28), bytesOf(1200))]).toEqual([`${E}:40000`, true])
    }
  })

  it('FRG-8: 2801 bytes at an MTU of 1400 leave in 3 pieces, in order, with what options fragments carry in each', () => {
    const gateway = gatewayOf('behave', { wanMtu: 1400 })
    const sent = bytesIn(gateway.fromLan(buildUdp({ source: A, sourcePort: 5000, destination: P, destinationPort: 53, payload: bytesOf(2773) })).toWan())
    expect(sent.map((bytes) => [bytes.length, offsetOf(bytes)])).toEqual([[1396, 0], [1396, 1376], [49, 2752]])
    expect(same(joined(sent).subarray(28), bytesOf(2773))).toBe(true)
    const ipOptions = Uint8Array.of(7, 7, 4, 0, 0, 0, 0, 1, 148, 4, 0, 0)
    const marked = bytesIn(gateway.fromLan(buildUdp({ source: A, sourcePort: 5000, destination: P, destinationPort: 53, ipOptions, payload: bytesOf(1400) })).toWan())
    // Router alert has the copy bit, record route has not.
    expect(marked.map((bytes) => [(bytes[0]! & 15) * 4, bytes[20]])).toEqual([[32, 7], [24, 148]])
  })

  it('FRG-8: a middle fragment that is too long is cut further, its offsets going on', () => {
    const gateway = gatewayOf('behave', { wanMtu: 700 })
    for (const piece of pieces(HOST, REMOTE, 7, 4000, 1500)) gateway.fromLan(piece)
    const sent = bytesIn(gateway.toWan())
    expect(sent.every(({ length }) => length <= 700)).toBe(true)
    expect(joined(sent).length).toBe(4028)
  })
})

describe('path MTU', () => {
  it('PMTU-1: a datagram of 68 bytes passes, DF or not, also where the MTU is no more than that', () => {
    for (const df of [true, false]) {
      const gateway = gatewayOf('behave', { wanMtu: 68, lanMtu: 68 })
      const out = buildUdp({ source: A, sourcePort: 5000, destination: P, destinationPort: 53, df, payload: bytesOf(40) })
      expect(outward(gateway, out).length).toBe(68)
      expect(inward(gateway, buildUdp({ source: P, sourcePort: 53, destination: E, destinationPort: 5000, df, payload: bytesOf(40) })).length).toBe(68)
    }
  })

  it('PMTU-3: the MSS is lowered to what both MTUs carry, in SYN and SYN-ACK, at any offset; a lower one, and data segments, are not touched', () => {
    const gateway = gatewayOf('behave', { wanMtu: 1400 })
    const out = { source: A, sourcePort: 5000, destination: P, destinationPort: 80 }
    const inn = { source: P, sourcePort: 80, destination: E, destinationPort: 5000 }
    const mss = (bytes: Uint8Array, at = 42): number => u16(bytes, at)
    expect(mss(outward(gateway, buildTcp({ ...out, flags: SYN, options: mssOption(1460) })))).toBe(1360)
    expect(mss(inward(gateway, buildTcp({ ...inn, flags: SYN | 0x10, options: mssOption(1460), acknowledgment: 1 })))).toBe(1360)
    expect(mss(outward(gateway, buildTcp({ ...out, sourcePort: 5001, flags: SYN, options: mssOption(1200) })))).toBe(1200)
    expect(mss(outward(gateway, buildTcp({ ...out, sourcePort: 5002, flags: SYN, options: Uint8Array.of(1, ...mssOption(1460)) })), 43)).toBe(1360)
    expect(mss(outward(gateway, buildTcp({ ...out, flags: 0x10, sequence: 1, acknowledgment: 1, options: mssOption(1460) })))).toBe(1460)
  })
})
