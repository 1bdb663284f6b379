import { describe, expect, it } from 'vitest'
import type { PortRange } from '../../../src/stack/port-range.js'
import { EPHEMERAL_PORTS, EphemeralPorts } from '../../../src/stack/sockets/ports.js'
import { KeyedHash } from '../../../src/stack/sockets/siphash.js'
import { SOCKET_FLAG, SocketTable } from '../../../src/stack/sockets/socket-table.js'
import { ip } from '../support.js'
import { numbersFrom, socketRow } from './support.js'

const TCP = 6
const UDP = 17
const { connected, listening } = SOCKET_FLAG
const HERE = ip('10.0.0.1')
const THERE = ip('198.51.100.10')

interface Setup { seed?: number; range?: PortRange; capacity?: number }
const setup = ({ seed = 1, range, capacity = 1 << 16 }: Setup = {}): { table: SocketTable; ports: EphemeralPorts } => {
  const table = new SocketTable(SocketTable.allocate(capacity))
  const secret = Uint8Array.from({ length: 16 }, (_, index) => (seed * 31 + index * 7) & 0xff)
  return { table, ports: new EphemeralPorts(table, new KeyedHash(secret), numbersFrom(seed), range) }
}

/** Chi-square of how often ports fell into `cells` equal parts of the range. */
const chiSquare = (ports: readonly number[], cells: number): number => {
  const [lowest, highest] = EPHEMERAL_PORTS
  const counts = new Array<number>(cells).fill(0)
  for (const port of ports) counts[Math.floor(((port - lowest) / (highest - lowest + 1)) * cells)]!++
  const expected = ports.length / cells
  return counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0)
}

describe('ephemeral ports', () => {
  it('RND-1: come from the widest pool, and all of it', () => {
    const { ports } = setup()
    const seen = new Set<number>()
    for (let index = 0; index < 64512; index++) seen.add(ports.choose(TCP, HERE, THERE, 80))
    expect(seen.size).toBe(64512)
    expect(Math.min(...seen)).toBe(1024)
    expect(Math.max(...seen)).toBe(65535)
  })

  it('RND-1: are never those of listeners or bound sockets', () => {
    const { table, ports } = setup({ range: [1024, 1031] })
    table.add(socketRow({ protocol: TCP, flags: listening, localPort: 1024 }))
    table.add(socketRow({ protocol: TCP, localPort: 1025 }))
    table.add(socketRow({ protocol: TCP, localAddress: ip('10.9.9.9'), flags: listening, localPort: 1026 }))
    table.add(socketRow({ protocol: UDP, localPort: 1024 }))
    const tcp = new Set(Array.from({ length: 100 }, () => ports.choose(TCP, HERE, THERE, 80)))
    expect([...tcp].sort()).toEqual([1027, 1028, 1029, 1030, 1031])
    const udp = new Set(Array.from({ length: 200 }, () => ports.draw(UDP)))
    expect([...udp].sort()).toEqual([1025, 1026, 1027, 1028, 1029, 1030, 1031])
  })

  it('are shared by connections to other ends, but not when own addresses may turn out the same', () => {
    const { table, ports } = setup({ range: [5000, 5000] })
    table.add(socketRow({ protocol: TCP, flags: connected, localAddress: HERE, localPort: 5000, remoteAddress: THERE, remotePort: 80 }))
    expect(ports.choose(TCP, HERE, THERE, 81)).toBe(5000)
    expect(ports.choose(TCP, ip('10.0.0.2'), THERE, 80)).toBe(5000)
    expect(ports.choose(TCP, HERE, THERE, 80)).toBe(-1)
    expect(ports.choose(TCP, 0, THERE, 80)).toBe(-1)
    table.update(0, { localAddress: 0 })
    expect(ports.choose(TCP, ip('10.0.0.2'), THERE, 80)).toBe(-1)
  })

  it('RND-2: are spread evenly and without order when drawn', () => {
    const { ports } = setup()
    const drawn = Array.from({ length: 10_000 }, () => ports.draw(UDP))
    // 99.9 % of honest draws stay below 149.
    expect(chiSquare(drawn, 100)).toBeLessThan(149)
    const mean = drawn.reduce((sum, port) => sum + port, 0) / drawn.length
    let variance = 0
    let serial = 0
    for (let index = 0; index < drawn.length; index++) {
      variance += (drawn[index]! - mean) ** 2
      if (index > 0) serial += (drawn[index]! - mean) * (drawn[index - 1]! - mean)
    }
    expect(Math.abs(serial / variance)).toBeLessThan(0.04)
  })

  it('RND-2: of connections to different ends are spread evenly', () => {
    const { ports } = setup()
    const chosen = Array.from({ length: 10_000 }, (_, index) => ports.choose(TCP, HERE, ip('198.51.100.0') + index, 443))
    expect(chiSquare(chosen, 100)).toBeLessThan(149)
  })

  it('RND-3: are others with another secret, and with another remote end', () => {
    const series = (seed: number, remotePort: number): number[] => {
      const { ports } = setup({ seed })
      return Array.from({ length: 8 }, () => ports.choose(TCP, HERE, THERE, remotePort))
    }
    expect(series(1, 80)).toEqual(series(1, 80))
    expect(series(1, 80)).not.toEqual(series(2, 80))
    expect(series(1, 80)).not.toEqual(series(1, 81))
  })

  it('RND-4: the search ends when every port is taken', () => {
    const { table, ports } = setup()
    for (let port = 1024; port <= 65535; port++) {
      table.add(socketRow({ protocol: TCP, flags: connected, localAddress: HERE, localPort: port, remoteAddress: THERE, remotePort: 80 }))
    }
    expect(ports.choose(TCP, HERE, THERE, 80)).toBe(-1)
    expect(ports.draw(TCP)).toBe(-1)
    table.remove(table.find(TCP, THERE, 80, HERE, 40000, 0, 0))
    expect(ports.choose(TCP, HERE, THERE, 80)).toBe(40000)
    expect(ports.draw(TCP)).toBe(40000)
  })
})
