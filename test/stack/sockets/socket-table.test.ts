import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { SOCKET_FLAG, type SocketRow, SocketTable } from '../../../src/stack/sockets/socket-table.js'
import { ip } from '../support.js'
import { socketRow } from './support.js'

const TCP = 6
const UDP = 17
const { connected, listening, reusePort, timeWait, transparent } = SOCKET_FLAG
const HERE = ip('10.0.0.1')
const THERE = ip('198.51.100.10')

const row = socketRow
const tableOf = (...rows: readonly Partial<SocketRow>[]): SocketTable => {
  const table = new SocketTable(SocketTable.allocate(64))
  for (const one of rows) table.add(row(one))
  return table
}

describe('the socket of a packet', () => {
  it('is the connected one before a listener', () => {
    const table = tableOf(
      { protocol: TCP, flags: listening, localPort: 80 },
      { protocol: TCP, flags: connected, localAddress: HERE, localPort: 80, remoteAddress: THERE, remotePort: 999 },
    )
    expect(table.find(TCP, THERE, 999, HERE, 80, 0, 0)).toBe(1)
    expect(table.find(TCP, THERE, 998, HERE, 80, 0, 0)).toBe(0)
  })

  it('is the one at exactly the destination before one at any address', () => {
    const table = tableOf({ localAddress: HERE, localPort: 53 }, { localPort: 53 })
    expect(table.find(UDP, THERE, 1, HERE, 53, 0, 0)).toBe(0)
    expect(table.find(UDP, THERE, 1, ip('10.0.0.2'), 53, 0, 0)).toBe(1)
  })

  it('is the one bound to the interface before one bound to none, and never one bound to another', () => {
    const table = tableOf({ localPort: 53, interface: 2 }, { localPort: 53 }, { localPort: 53, interface: 3 }, { localPort: 54, interface: 3 })
    expect(table.find(UDP, THERE, 1, HERE, 53, 2, 0)).toBe(0)
    expect(table.find(UDP, THERE, 1, HERE, 53, 4, 0)).toBe(1)
    expect(table.find(UDP, THERE, 1, HERE, 54, 4, 0)).toBe(-1)
    expect(table.find(UDP, THERE, 1, HERE, 54, 0, 0)).toBe(3)
  })

  it('is a connected one without an address yet only for UDP, after those bound to the address', () => {
    const table = tableOf(
      { flags: connected, localPort: 5000, remoteAddress: THERE, remotePort: 53 },
      { localPort: 5000 },
      { protocol: TCP, flags: connected, localPort: 5000, remoteAddress: THERE, remotePort: 53 },
    )
    expect(table.find(UDP, THERE, 53, HERE, 5000, 0, 0)).toBe(0)
    expect(table.find(TCP, THERE, 53, HERE, 5000, 0, 0)).toBe(-1)
    table.add(row({ localAddress: HERE, localPort: 5000 }))
    expect(table.find(UDP, THERE, 53, HERE, 5000, 0, 0)).toBe(3)
  })

  it('TPX-2: is found as connected only where it is connected and has an address, and as bound only where it is not connected', () => {
    const table = tableOf(
      { localAddress: HERE, localPort: 53, flags: transparent },
      { flags: connected, localPort: 54, remoteAddress: THERE, remotePort: 999 },
      { flags: connected, localAddress: HERE, localPort: 55, remoteAddress: THERE, remotePort: 999 },
    )
    expect(table.findConnected(UDP, THERE, 999, HERE, 53, 0)).toBe(-1)
    expect(table.findConnected(UDP, THERE, 999, HERE, 54, 0)).toBe(-1)
    expect(table.findConnected(UDP, THERE, 999, HERE, 55, 0)).toBe(2)
    expect(table.findBound(UDP, HERE, 53, 0, 0)).toBe(0)
    expect(table.findBound(UDP, HERE, 54, 0, 0)).toBe(-1)
    expect(table.findBound(UDP, HERE, 55, 0, 0)).toBe(-1)
  })

  it('TPX-3: a TIME_WAIT is found by its ends, the listener beside it by its port', () => {
    const table = tableOf(
      { protocol: TCP, flags: connected | timeWait, localAddress: HERE, localPort: 80, remoteAddress: THERE, remotePort: 999 },
      { protocol: TCP, flags: listening | transparent, localPort: 80 },
    )
    const first = table.findConnected(TCP, THERE, 999, HERE, 80, 0)
    expect(table.flagsOf(first) & timeWait).toBe(timeWait)
    expect(table.findBound(TCP, HERE, 80, 0, 0)).toBe(1)
  })

  it('is no TCP socket that is neither connected nor a listener, and none of another protocol', () => {
    const table = tableOf({ protocol: TCP, localPort: 80 }, { protocol: UDP, localPort: 80 })
    expect(table.find(TCP, THERE, 1, HERE, 80, 0, 0)).toBe(-1)
  })

  it('is chosen in a reuseport group by the hash, evenly, and always the same one', () => {
    const members = 4
    const table = tableOf({ localPort: 53, flags: reusePort, interface: 9 }, ...Array.from({ length: members }, () => ({ localPort: 53, flags: reusePort })))
    const counts = new Map<number, number>()
    for (let port = 1; port <= 4000; port++) {
      const hash = table.flowHash(THERE, port, HERE, 53)
      const found = table.find(UDP, THERE, port, HERE, 53, 1, hash)
      expect(table.find(UDP, THERE, port, HERE, 53, 1, hash)).toBe(found)
      counts.set(found, (counts.get(found) ?? 0) + 1)
    }
    expect([...counts.keys()].sort()).toEqual([1, 2, 3, 4])
    for (const count of counts.values()) expect(count).toBeGreaterThan(700)
  })

  it('is chosen in a reuseport group evenly for senders in a row too, with any key', () => {
    for (let round = 0; round < 100; round++) {
      const table = tableOf(...Array.from({ length: 3 }, () => ({ localPort: 53, flags: reusePort })))
      const counts = [0, 0, 0]
      for (let port = 1; port <= 300; port++) counts[table.find(UDP, THERE, port, HERE, 53, 1, table.flowHash(THERE, port, HERE, 53))]!++
      for (const count of counts) expect(count).toBeGreaterThan(50)
    }
  })

  it('is the newest of several that are bound alike', () => {
    const table = tableOf({ localPort: 53 }, { localPort: 53 })
    expect(table.find(UDP, THERE, 1, HERE, 53, 0, 0)).toBe(1)
  })
})

describe('rows', () => {
  it('are refused when the table is full, and used again with another generation', () => {
    const table = new SocketTable(SocketTable.allocate(2))
    const first = table.add(row({ localPort: 1 }))
    table.add(row({ localPort: 2 }))
    expect(table.add(row({ localPort: 3 }))).toBe(-1)
    const generation = table.generationOf(first)
    table.remove(first)
    expect(table.count).toBe(1)
    expect(table.protocolOf(first)).toBe(0)
    expect(table.add(row({ localPort: 3 }))).toBe(first)
    expect(table.generationOf(first)).not.toBe(generation)
    expect(table.find(UDP, THERE, 1, HERE, 1, 0, 0)).toBe(-1)
    expect(table.find(UDP, THERE, 1, HERE, 3, 0, 0)).toBe(first)
  })

  it('say what was put in', () => {
    const full = row({
      protocol: TCP, flags: connected | transparent | SOCKET_FLAG.synReceived, localAddress: ip('255.1.2.3'), localPort: 65535,
      remoteAddress: ip('200.1.2.3'), remotePort: 40000, interface: 7, mark: 0xffffffff, tos: 0xb8,
    })
    const table = tableOf(full)
    expect(table.rowOf(0)).toEqual(full)
  })

  it('are found by their new ends after a change, no longer by the old ones', () => {
    const table = tableOf({ protocol: TCP, flags: connected, localPort: 5000, remoteAddress: THERE, remotePort: 80 })
    table.update(0, { localAddress: HERE })
    expect(table.find(TCP, THERE, 80, HERE, 5000, 0, 0)).toBe(0)
    table.update(0, { localPort: 5001, mark: 5 })
    expect(table.find(TCP, THERE, 80, HERE, 5000, 0, 0)).toBe(-1)
    expect(table.find(TCP, THERE, 80, HERE, 5001, 0, 0)).toBe(0)
    expect(table.markOf(0)).toBe(5)
    table.update(0, { flags: connected | timeWait })
    expect(table.find(TCP, THERE, 80, HERE, 5001, 0, 0)).toBe(0)
  })

  it('are all found for a broadcast', () => {
    const broadcast = ip('10.0.0.255')
    const table = tableOf(
      { localPort: 67 }, { localPort: 67, interface: 2 }, { localPort: 67, interface: 3 }, { localAddress: HERE, localPort: 67 },
      { localPort: 67, flags: connected, remoteAddress: THERE, remotePort: 68 },
    )
    const out = new Int32Array(8)
    expect([...out.subarray(0, table.findAll(UDP, THERE, 68, broadcast, 67, 2, out))].sort()).toEqual([0, 1, 4])
    expect([...out.subarray(0, table.findAll(UDP, THERE, 69, broadcast, 67, 2, out))].sort()).toEqual([0, 1])
    expect(table.findAll(UDP, THERE, 69, broadcast, 67, 2, new Int32Array(1))).toBe(1)
  })
})

/** What the kernel's scoring says, by looking at every row. `age` grows with each new key. */
interface Aged { row: SocketRow; age: number }
const oracle = (rows: ReadonlyMap<number, Aged>, protocol: number, source: number, sourcePort: number, destination: number, port: number, iface: number): number[] => {
  let best = -1
  let found: number[] = []
  let newest = -1
  let group: SocketRow | null = null
  for (const [index, { row: one, age }] of rows) {
    if (one.protocol !== protocol || one.localPort !== port) continue
    const isConnected = (one.flags & connected) !== 0
    if (protocol === TCP && !isConnected && (one.flags & listening) === 0) continue
    if (one.localAddress !== destination && (one.localAddress !== 0 || (protocol === TCP && isConnected))) continue
    if (isConnected && (one.remoteAddress !== source || one.remotePort !== sourcePort)) continue
    if (one.interface !== 0 && iface !== 0 && one.interface !== iface) continue
    const score = (one.localAddress !== 0 ? 100 : 0) + (isConnected ? 10 : 0) + (one.interface !== 0 ? 1 : 0)
    if (score < best || (score === best && age < newest)) continue
    best = score
    newest = age
    found = [index]
    group = one
  }
  if (group !== null && (group.flags & reusePort) !== 0 && (group.flags & connected) === 0) {
    const { interface: device, localAddress } = group
    found = [...rows]
      .filter(([, { row: one }]) => one.protocol === protocol && one.localPort === port && one.localAddress === localAddress && one.interface === device)
      .filter(([, { row: one }]) => (one.flags & (connected | reusePort)) === reusePort && (protocol !== TCP || (one.flags & listening) !== 0))
      .map(([index]) => index)
  }
  return found
}

const addresses = [HERE, ip('10.0.0.2'), 0]
const remotes = [THERE, ip('203.0.113.9')]
const arbitraryRow = fc
  .record({
    protocol: fc.constantFrom(TCP, UDP, 1), localAddress: fc.constantFrom(...addresses), localPort: fc.integer({ min: 1, max: 3 }),
    remoteAddress: fc.constantFrom(...remotes), remotePort: fc.integer({ min: 1, max: 2 }), interface: fc.constantFrom(0, 0, 2, 3),
    kind: fc.constantFrom(0, connected, listening), reuse: fc.constantFrom(0, reusePort), mark: fc.nat(), tos: fc.integer({ min: 0, max: 255 }),
  })
  .map(({ kind, reuse, ...rest }): SocketRow => {
    const flags = (kind === listening && rest.protocol !== TCP ? 0 : kind) | reuse
    return kind === connected ? { ...rest, flags } : { ...rest, flags, remoteAddress: 0, remotePort: 0 }
  })
const arbitraryStep = fc.oneof(
  { weight: 4, arbitrary: fc.record({ step: fc.constant('add' as const), row: arbitraryRow, pick: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ step: fc.constant('update' as const), row: arbitraryRow, pick: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ step: fc.constant('remove' as const), row: arbitraryRow, pick: fc.nat() }) },
)

const keyOf = (one: SocketRow): string =>
  [one.protocol, one.localAddress, one.localPort, one.remoteAddress, one.remotePort, one.flags & connected].join()

describe('the table against an oracle that scores every row', () => {
  it('finds the same socket, or a member of the same group, after any changes', () => {
    fc.assert(
      fc.property(fc.array(arbitraryStep, { maxLength: 40 }), fc.integer(), (steps, hash) => {
        const table = new SocketTable(SocketTable.allocate(24))
        const rows = new Map<number, Aged>()
        let age = 0
        for (const { step, row: one, pick } of steps) {
          const known = [...rows.keys()]
          const chosen = known[pick % Math.max(1, known.length)]
          if (step === 'add') {
            const index = table.add(one)
            expect(index === -1).toBe(rows.size === 24)
            if (index !== -1) rows.set(index, { row: one, age: age++ })
          } else if (chosen !== undefined && step === 'remove') {
            table.remove(chosen)
            rows.delete(chosen)
          } else if (chosen !== undefined) {
            const before = rows.get(chosen)!
            table.update(chosen, one)
            rows.set(chosen, { row: one, age: keyOf(before.row) === keyOf(one) ? before.age : age++ })
          }
        }
        expect(table.count).toBe(rows.size)
        for (const protocol of [TCP, UDP, 1]) {
          for (const destination of [HERE, ip('10.0.0.2'), ip('10.0.0.3')]) {
            for (let port = 1; port <= 3; port++) {
              for (const iface of [0, 2, 4]) {
                const expected = oracle(rows, protocol, THERE, 1, destination, port, iface)
                const found = table.find(protocol, THERE, 1, destination, port, iface, hash)
                if (expected.length === 0) expect(found).toBe(-1)
                else expect(expected).toContain(found)
              }
            }
          }
          for (let port = 1; port <= 3; port++) {
            const here = [...rows.values()].filter(({ row: one }) => one.protocol === protocol && one.localPort === port)
            for (const address of addresses) {
              const there: number[] = []
              for (let index = table.nextAt(protocol, address, port, -1); index !== -1; index = table.nextAt(protocol, address, port, index)) there.push(index)
              const isThere = ({ row: one }: Aged): boolean => one.localAddress === address && (one.flags & connected) === 0
              expect(there.length).toBe(here.filter(isThere).length)
            }
            expect(table.ports.bound(protocol, port)).toBe(here.filter(({ row: one }) => (one.flags & connected) === 0).length)
            expect(table.ports.connected(protocol, port)).toBe(here.filter(({ row: one }) => (one.flags & connected) !== 0).length)
          }
        }
      }),
      { numRuns: 300 },
    )
  })
})
